"""Task names to families. Checks names and parameters without importing jax; a family's module is imported by `load`.

A spec is a built-in name, or `module:function` of a user's own module, and may carry parameters:
`digits_mlp`, `digits_mlp?width=64&depth=2`, `my_tasks:make_task`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from tasks.errors import TaskError

if TYPE_CHECKING:
    from tasks.contracts import TaskFamily

Number = int | float


@dataclass(frozen=True)
class Parameter:
    """A parameter of a built-in family: its type and the values that are allowed."""

    type: type[int] | type[float]
    low: Number
    high: Number


@dataclass(frozen=True)
class Builtin:
    """Where a built-in family is, what can be set and what is set. A test compares this with the family's own fields.

    `needs` names the data set (see `external`) without which the family cannot be made.
    """

    module: str
    family: str
    parameters: Mapping[str, Parameter]
    fixed: Mapping[str, str | Number] = field(default_factory=dict)
    needs: str = ""


@dataclass(frozen=True)
class Spec:
    """A task specification that was checked as far as is possible without importing anything."""

    name: str
    parameters: Mapping[str, Number]

    @property
    def builtin(self) -> bool:
        return ":" not in self.name


_SIZE = Parameter(int, 1, 65536)
_FLAG = Parameter(int, 0, 1)
_VARY = Parameter(float, 0.0, 1.0)
_POSITIVE = Parameter(float, 0.0, 1e6)

_DEPTH = Parameter(int, 1, 64)
_WIDTH_BATCH = {"width": _SIZE, "batch": _SIZE, "vary": _VARY}
_LANGUAGE = {"width": _SIZE, "depth": _DEPTH, "context": Parameter(int, 1, 1024), "batch": _SIZE, "vary": _VARY}
_FIELD = {"width": _SIZE, "depth": _DEPTH, "batch": _SIZE, "vary": _VARY}


_SPACE = Parameter(int, 2, 4096)
_CONVNET_DEPTH = Parameter(int, 1, 3)
_EXAMPLES = Parameter(int, 1, 59_000)


def _language(net: str, text: str, needs: str = "") -> Builtin:
    rotary = {"rotary": _FLAG} if net == "transformer" else {}
    return Builtin("tasks.families.text", "LanguageModel", {**_LANGUAGE, **rotary}, {"net": net, "text": text}, needs)


def _images(net: str, source: str) -> Builtin:
    depth = _CONVNET_DEPTH if net == "convnet" else Parameter(int, 0, 64)
    sizes = {"depth": depth, "pool": Parameter(int, 1, 4), "examples": _EXAMPLES, **_WIDTH_BATCH}
    return Builtin("tasks.families.vision", "ImageClassifier", sizes, {"net": net, "source": source}, source)


BUILTINS: Mapping[str, Builtin] = {
    "adding_rnn": Builtin("tasks.families.memory", "Adding", {"length": _SIZE, **_WIDTH_BATCH}),
    "bbob": Builtin(
        "tasks.families.functions", "Bbob", {"function": Parameter(int, 0, 11), "size": _SPACE, "noise": _POSITIVE, "vary": _VARY}
    ),
    "bilinear_game": Builtin("tasks.families.games", "Game", {"size": _SIZE, "noise": _POSITIVE, "vary": _VARY}, {"alpha": 0.0}),
    "breast_cancer": Builtin("tasks.families.logistic", "BreastCancer", {"batch": _SIZE, "vary": _VARY}),
    "cifar_convnet": _images("convnet", "cifar10"),
    "cifar_mlp": _images("mlp", "cifar10"),
    "coherent_game": Builtin("tasks.families.games", "Game", {"size": _SIZE, "noise": _POSITIVE, "vary": _VARY}, {"alpha": 0.1}),
    "deep_linear": Builtin("tasks.families.known", "DeepLinear", {"inputs": _SIZE, "depth": _DEPTH, **_WIDTH_BATCH}),
    "diabetes_mlp": Builtin("tasks.families.tables", "DiabetesMLP", _WIDTH_BATCH),
    "digits_autoencoder": Builtin(
        "tasks.families.autoencoder",
        "DigitsAutoencoder",
        {"width": _SIZE, "latent": _SIZE, "batch": _SIZE, "tanh": _FLAG, "vary": _VARY},
    ),
    "digits_convnet": Builtin("tasks.families.vision", "DigitsConvnet", {"depth": _CONVNET_DEPTH, **_WIDTH_BATCH}),
    "digits_mlp": Builtin(
        "tasks.families.digits",
        "DigitsMLP",
        {"width": _SIZE, "depth": Parameter(int, 0, 64), "batch": _SIZE, "tanh": _FLAG, "vary": _VARY},
    ),
    "digits_stream": Builtin(
        "tasks.families.stream",
        "DigitsStream",
        {"depth": Parameter(int, 0, 64), "classes": Parameter(int, 1, 10), "period": _SIZE, **_WIDTH_BATCH},
    ),
    "digits_vit": Builtin("tasks.families.vision", "DigitsTransformer", {"depth": _DEPTH, **_WIDTH_BATCH}),
    "fashion_convnet": _images("convnet", "fashion_mnist"),
    "fashion_mlp": _images("mlp", "fashion_mnist"),
    "flow_2d": Builtin("tasks.families.generative", "RectifiedFlow", _FIELD, {"digits": 0}),
    "flow_digits": Builtin("tasks.families.generative", "RectifiedFlow", _FIELD, {"digits": 1}),
    "grammar_lstm": _language("lstm", "grammar"),
    "grammar_recurrence": _language("recurrence", "grammar"),
    "grammar_transformer": _language("transformer", "grammar"),
    "lasso": Builtin("tasks.families.known", "Lasso", {"inputs": _SIZE, "batch": _SIZE, "penalty": _POSITIVE, "vary": _VARY}),
    "matrix_sensing": Builtin("tasks.families.known", "MatrixSensing", {"size": _SIZE, "start": _POSITIVE, **_WIDTH_BATCH}),
    "micro_mlp": Builtin("tasks.families.digits", "MicroMLP", {"batch": _SIZE, "tanh": _FLAG, "vary": _VARY}),
    "newsgroups_lstm": _language("lstm", "newsgroups", "newsgroups"),
    "newsgroups_recurrence": _language("recurrence", "newsgroups", "newsgroups"),
    "newsgroups_transformer": _language("transformer", "newsgroups", "newsgroups"),
    "noisy_quadratic": Builtin("tasks.families.quadratic", "NoisyQuadratic", {"rows": _SIZE, "cols": _SIZE, "vary": _VARY}),
    "own_text_lstm": _language("lstm", "own_text", "own_text"),
    "own_text_recurrence": _language("recurrence", "own_text", "own_text"),
    "own_text_transformer": _language("transformer", "own_text", "own_text"),
    "patch_denoising": Builtin("tasks.families.generative", "PatchDenoising", {"masked": _VARY, **_WIDTH_BATCH}),
    "pinn_burgers": Builtin("tasks.families.fields", "Pinn", _FIELD, {"equation": "burgers"}),
    "pinn_poisson": Builtin("tasks.families.fields", "Pinn", _FIELD, {"equation": "poisson"}),
    "rosenbrock": Builtin("tasks.families.functions", "Rosenbrock", {"size": _SPACE, "noise": _POSITIVE, "vary": _VARY}),
    "siren": Builtin("tasks.families.fields", "Siren", {"frequency": _POSITIVE, **_FIELD}),
    "text_lstm": _language("lstm", "text"),
    "text_recurrence": _language("recurrence", "text"),
    "text_transformer": _language("transformer", "text"),
    "wine_softmax": Builtin("tasks.families.tables", "WineSoftmax", {"batch": _SIZE, "vary": _VARY}),
    "xor": Builtin("tasks.families.known", "Parity", {"inputs": _SIZE, **_WIDTH_BATCH}),
}


def names() -> tuple[str, ...]:
    """The built-in tasks, sorted."""
    return tuple(sorted(BUILTINS))


def installed() -> tuple[str, ...]:
    """Those of them that need no data beyond what comes with Python and scikit-learn."""
    return tuple(name for name in names() if not BUILTINS[name].needs)


def parse(spec: str) -> Spec:
    """Check a spec without importing jax or any task. Raises `TaskError`."""
    name, mark, query = spec.partition("?")
    name = name.replace("-", "_") if ":" not in name else name
    if mark and not query:
        raise TaskError(f"task {spec!r} has nothing after '?', expected name=number&name=number")
    parameters = _assignments(spec, query) if query else {}
    if ":" in name:
        module, _, function = name.partition(":")
        if not all(part.isidentifier() for part in [*module.split("."), function]):
            raise TaskError(f"task {spec!r} is not of the form module:function")
        return Spec(name, parameters)
    if name not in BUILTINS:
        raise TaskError(f"unknown task {name!r}, allowed: {', '.join(names())}, or module:function of your own")
    _check_data(BUILTINS[name].needs)
    allowed = BUILTINS[name].parameters
    return Spec(name, {key: _checked(name, key, value, allowed) for key, value in parameters.items()})


def load(spec: str) -> TaskFamily:
    """Make the family that a spec names; a user's function may return a task or a family. Raises `TaskError`."""
    parsed = parse(spec)
    if not parsed.builtin:
        from tasks.user import load_user

        return load_user(parsed.name, parsed.parameters)
    entry = BUILTINS[parsed.name]
    return getattr(import_module(entry.module), entry.family)(**entry.fixed, **parsed.parameters)


def _check_data(source: str) -> None:
    """Raise `TaskError` unless the data set is there and can be read; a worker would find out much later."""
    if source:
        from tasks import corpora, images

        images.load(source) if source in images.SHAPES else corpora.local(source)


def _assignments(spec: str, query: str) -> dict[str, Number]:
    """Read name=number&name=number."""
    parameters: dict[str, Number] = {}
    for text in query.split("&"):
        name, value = _assignment(spec, text)
        if name in parameters:
            raise TaskError(f"task {spec!r} sets {name!r} twice")
        parameters[name] = value
    return parameters


def _assignment(spec: str, text: str) -> tuple[str, Number]:
    """Read name=number."""
    name, _, value = text.partition("=")
    try:
        return name, int(value)
    except ValueError:
        pass
    try:
        return name, float(value)
    except ValueError:
        raise TaskError(f"task {spec!r} has {text!r}, expected name=number") from None


def _checked(task: str, name: str, value: Number, allowed: Mapping[str, Parameter]) -> Number:
    """The value in the parameter's type, if task, name and value fit together."""
    if name not in allowed:
        raise TaskError(f"task {task!r} has no parameter {name!r}, allowed: {', '.join(sorted(allowed))}")
    rule = allowed[name]
    whole = isinstance(value, int) or rule.type is float
    if not whole or not rule.low <= value <= rule.high:
        kind = "a whole number" if rule.type is int else "a number"
        raise TaskError(f"task {task!r} has {name} {value}, allowed: {kind} from {rule.low} to {rule.high}")
    return rule.type(value)
