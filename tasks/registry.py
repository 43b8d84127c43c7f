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
    """Where a built-in family is, what can be set and what is set. A test compares this with the family's own fields."""

    module: str
    family: str
    parameters: Mapping[str, Parameter]
    fixed: Mapping[str, str | Number] = field(default_factory=dict)


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
_LANGUAGE = {"width": _SIZE, "depth": _DEPTH, "context": _SIZE, "batch": _SIZE, "vary": _VARY}
_FIELD = {"width": _SIZE, "depth": _DEPTH, "batch": _SIZE, "vary": _VARY}


def _language(net: str, grammar: int) -> Builtin:
    rotary = {"rotary": _FLAG} if net == "transformer" else {}
    return Builtin("tasks.families.text", "LanguageModel", {**_LANGUAGE, **rotary}, {"net": net, "grammar": grammar})


BUILTINS: Mapping[str, Builtin] = {
    "adding_rnn": Builtin("tasks.families.memory", "Adding", {"length": _SIZE, **_WIDTH_BATCH}),
    "bbob": Builtin(
        "tasks.families.functions", "Bbob", {"function": Parameter(int, 0, 11), "size": _SIZE, "noise": _POSITIVE, "vary": _VARY}
    ),
    "bilinear_game": Builtin("tasks.families.games", "Game", {"size": _SIZE, "noise": _POSITIVE, "vary": _VARY}, {"alpha": 0.0}),
    "breast_cancer": Builtin("tasks.logistic", "BreastCancer", {"batch": _SIZE, "vary": _VARY}),
    "coherent_game": Builtin("tasks.families.games", "Game", {"size": _SIZE, "noise": _POSITIVE, "vary": _VARY}, {"alpha": 0.1}),
    "deep_linear": Builtin("tasks.families.known", "DeepLinear", {"inputs": _SIZE, "depth": _DEPTH, **_WIDTH_BATCH}),
    "diabetes_mlp": Builtin("tasks.families.tables", "DiabetesMLP", _WIDTH_BATCH),
    "digits_autoencoder": Builtin(
        "tasks.autoencoder",
        "DigitsAutoencoder",
        {"width": _SIZE, "latent": _SIZE, "batch": _SIZE, "tanh": _FLAG, "vary": _VARY},
    ),
    "digits_convnet": Builtin("tasks.families.vision", "DigitsConvnet", _WIDTH_BATCH),
    "digits_mlp": Builtin(
        "tasks.digits",
        "DigitsMLP",
        {"width": _SIZE, "depth": Parameter(int, 0, 64), "batch": _SIZE, "tanh": _FLAG, "vary": _VARY},
    ),
    "digits_vit": Builtin("tasks.families.vision", "DigitsTransformer", {"depth": _DEPTH, **_WIDTH_BATCH}),
    "flow_2d": Builtin("tasks.families.generative", "RectifiedFlow", _FIELD, {"digits": 0}),
    "flow_digits": Builtin("tasks.families.generative", "RectifiedFlow", _FIELD, {"digits": 1}),
    "grammar_lstm": _language("lstm", 1),
    "grammar_recurrence": _language("recurrence", 1),
    "grammar_transformer": _language("transformer", 1),
    "lasso": Builtin("tasks.families.known", "Lasso", {"inputs": _SIZE, "batch": _SIZE, "penalty": _POSITIVE, "vary": _VARY}),
    "matrix_sensing": Builtin("tasks.families.known", "MatrixSensing", {"size": _SIZE, "start": _POSITIVE, **_WIDTH_BATCH}),
    "micro_mlp": Builtin("tasks.digits", "MicroMLP", {"batch": _SIZE, "tanh": _FLAG, "vary": _VARY}),
    "noisy_quadratic": Builtin("tasks.quadratic", "NoisyQuadratic", {"rows": _SIZE, "cols": _SIZE, "vary": _VARY}),
    "patch_denoising": Builtin("tasks.families.generative", "PatchDenoising", {"masked": _VARY, **_WIDTH_BATCH}),
    "pinn_burgers": Builtin("tasks.families.fields", "Pinn", _FIELD, {"equation": "burgers"}),
    "pinn_poisson": Builtin("tasks.families.fields", "Pinn", _FIELD, {"equation": "poisson"}),
    "rosenbrock": Builtin("tasks.families.functions", "Rosenbrock", {"size": _SIZE, "noise": _POSITIVE, "vary": _VARY}),
    "siren": Builtin("tasks.families.fields", "Siren", {"frequency": _POSITIVE, **_FIELD}),
    "text_lstm": _language("lstm", 0),
    "text_recurrence": _language("recurrence", 0),
    "text_transformer": _language("transformer", 0),
    "wine_softmax": Builtin("tasks.families.tables", "WineSoftmax", {"batch": _SIZE, "vary": _VARY}),
    "xor": Builtin("tasks.families.known", "Parity", {"inputs": _SIZE, **_WIDTH_BATCH}),
}


def names() -> tuple[str, ...]:
    """The built-in tasks, sorted."""
    return tuple(sorted(BUILTINS))


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
