"""The data of a rule: frozen, hashable, made by the parser, moved around by search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["global", "tensor", "row", "col", "full"]
Prior = Literal["unit", "scale", "number"]

KINDS: tuple[Kind, ...] = ("global", "tensor", "row", "col", "full")
PRIORS: tuple[Prior, ...] = ("unit", "scale", "number")
CORE_INPUTS = ("w", "g", "lr")
"""Arguments that every rule has, in this order."""

TENSOR_CONSTANTS = ("numel", "fan_in", "fan_out", "ndim")

QUERY_INPUTS: dict[str, Kind] = {"f": "global", "h": "full", "g2": "full"}
"""Further arguments a rule may ask for: loss value, Hessian diagonal, mean squared per-example gradient."""

INPUT_KINDS: dict[str, Kind] = {
    "w": "full",
    "g": "full",
    "lr": "global",
    "t": "global",
    **dict.fromkeys(TENSOR_CONSTANTS, "tensor"),
    **QUERY_INPUTS,
}
READ_ONLY = ("t", *TENSOR_CONSTANTS)
ROLES = ("scalar", "vector", "matrix", "kernel", "input", "hidden", "output")


@dataclass(frozen=True, slots=True)
class Const:
    """A number; executors round it to float32."""

    value: float


@dataclass(frozen=True, slots=True)
class Var:
    """A name: an input, a slot, a hyperparameter or a temporary."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A primitive applied to arguments."""

    op: str
    args: tuple[Expr, ...]


Expr = Const | Var | Call


@dataclass(frozen=True, slots=True)
class Assign:
    """`target = value`."""

    target: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Loop:
    """A body repeated `count` times; unrolled before execution."""

    count: int
    body: tuple[Assign, ...]


Stmt = Assign | Loop


@dataclass(frozen=True, slots=True)
class Slot:
    """State that carries over steps. `init` is "zeros", "ones" or the expression inside `first(...)`."""

    name: str
    kind: Kind
    init: Literal["zeros", "ones"] | Expr = "zeros"


@dataclass(frozen=True, slots=True)
class Hyper:
    """A named number with a prior, which search and users may change."""

    name: str
    prior: Prior
    default: float


@dataclass(frozen=True, slots=True)
class Program:
    """One rule: `body` runs every step, `result` is subtracted from the weights."""

    name: str
    slots: tuple[Slot, ...]
    hypers: tuple[Hyper, ...]
    body: tuple[Stmt, ...]
    result: Expr
    queries: tuple[str, ...] = ()

    def statements(self) -> tuple[Assign, ...]:
        """The body with loops unrolled."""
        out: list[Assign] = []
        for stmt in self.body:
            if isinstance(stmt, Assign):
                out.append(stmt)
            else:
                out.extend(stmt.body * stmt.count)
        return tuple(out)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Several rules, one for each role: `parts` are (roles, program); an empty tuple of roles serves the rest."""

    parts: tuple[tuple[tuple[str, ...], Program], ...]


class RuleError(ValueError):
    """A rule text that cannot be accepted: one line that says what is wrong, where, and what is allowed."""
