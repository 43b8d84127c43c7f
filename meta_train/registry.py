"""Names to architectures of learned optimizers. Checks names and parameters without importing jax; `load` imports the module.

A spec is a name with optional parameters, `small_fc?hidden=8`, or `program:RULE`, a rule (a known name, a path or a text) whose
hyperparameters are the meta-parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from meta_train.errors import LearnedOptimizerError

if TYPE_CHECKING:
    from meta_train.contracts import LearnedOptimizer

Number = int | float


@dataclass(frozen=True)
class Parameter:
    """A parameter of an architecture: its type and the values that are allowed."""

    type: type[int] | type[float]
    low: Number
    high: Number


@dataclass(frozen=True)
class Entry:
    """Where an architecture is and what can be set. A test compares this with its fields."""

    module: str
    type: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


_SIZE, _LAYERS, _FLAG = Parameter(int, 1, 1024), Parameter(int, 1, 4), Parameter(int, 0, 1)
_POSITIVE = Parameter(float, 1e-9, 1e3)


def _entry(module: str, type_: str, **parameters: Parameter) -> Entry:
    return Entry(f"meta_train.architectures.{module}", type_, parameters)


ARCHITECTURES: Mapping[str, Entry] = {
    "adam": _entry("adam", "LearnableAdam"),
    "celo2": _entry("celo2", "Celo2", hidden=_SIZE, vector_rate=_POSITIVE),
    "coordinate_lstm": _entry("coordinate_lstm", "CoordinateLSTM", hidden=_SIZE, layers=_LAYERS),
    "scale_free": _entry("scale_free", "ScaleFree", hidden=_SIZE, bf16=_FLAG, adaptive=_FLAG),
    "sgd": _entry("sgd", "LearnableSGD"),
    "small_fc": _entry("small_fc", "SmallFC", hidden=_SIZE, step=_POSITIVE),
    "structured": _entry("structured", "StructuredLSTM", hidden=_SIZE, layers=_LAYERS),
    "velo": _entry("velo", "VeLO", hidden=_SIZE, bases=_SIZE, units=_SIZE),
}


def names() -> tuple[str, ...]:
    """The architectures, sorted."""
    return tuple(sorted(ARCHITECTURES))


def parse(spec: str) -> tuple[str, dict[str, Number]]:
    """Name and parameters of a spec, checked without importing jax; for a program, "program:RULE" and none.

    Raises `LearnedOptimizerError` with one line.
    """
    if spec.startswith("program:"):
        return spec, {}
    name, mark, query = spec.partition("?")
    name = name.replace("-", "_")
    if name not in ARCHITECTURES:
        raise LearnedOptimizerError(f"unknown learned optimizer {name!r}, allowed: {', '.join(names())}, or program:RULE")
    if mark and not query:
        raise LearnedOptimizerError(f"learned optimizer {spec!r} has nothing after '?', expected name=number&name=number")
    parameters: dict[str, Number] = {}
    for text in query.split("&") if query else []:
        key, value = _assignment(spec, text)
        if key in parameters:
            raise LearnedOptimizerError(f"learned optimizer {spec!r} sets {key!r} twice")
        parameters[key] = _checked(name, key, value)
    return name, parameters


def load(spec: str) -> LearnedOptimizer:
    """Make the architecture that a spec names. Raises `LearnedOptimizerError`, or `RuleError` for a rule that is not one."""
    name, parameters = parse(spec)
    if name.startswith("program:"):
        from meta_train.architectures.program import ProgramOptimizer

        return ProgramOptimizer(name.removeprefix("program:"))
    entry = ARCHITECTURES[name]
    return getattr(import_module(entry.module), entry.type)(**parameters)


def _assignment(spec: str, text: str) -> tuple[str, Number]:
    """Read name=number."""
    name, _, value = text.partition("=")
    for read in (int, float):
        try:
            return name, read(value)
        except ValueError:
            continue
    raise LearnedOptimizerError(f"learned optimizer {spec!r} has {text!r}, expected name=number")


def _checked(name: str, key: str, value: Number) -> Number:
    """The value in the parameter's type, if architecture, parameter and value fit together."""
    allowed = ARCHITECTURES[name].parameters
    if key not in allowed:
        raise LearnedOptimizerError(f"learned optimizer {name!r} has no parameter {key!r}, allowed: {', '.join(sorted(allowed)) or 'none'}")
    rule = allowed[key]
    whole = isinstance(value, int) or rule.type is float
    if not whole or not rule.low <= value <= rule.high:
        kind = "a whole number" if rule.type is int else "a number"
        raise LearnedOptimizerError(f"learned optimizer {name!r} has {key} {value}, allowed: {kind} from {rule.low} to {rule.high}")
    return rule.type(value)
