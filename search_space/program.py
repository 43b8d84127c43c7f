"""The data of a rule: frozen, hashable, made by the parser, moved around by search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["global", "tensor", "row", "col", "full", "left", "right", "history"]
Prior = Literal["unit", "scale", "number"]

KINDS: tuple[Kind, ...] = ("global", "tensor", "row", "col", "full")
"""Kinds of the core language, which the interpreter runs and search draws from."""

SQUARE_KINDS: tuple[Kind, ...] = ("left", "right")
"""rows × rows and cols × cols."""

PRIORS: tuple[Prior, ...] = ("unit", "scale", "number")
CORE_INPUTS = ("w", "g", "lr")
"""Arguments that every rule has, in this order."""

TENSOR_CONSTANTS = ("numel", "fan_in", "fan_out", "ndim")

POSITION_INPUTS: dict[str, Kind] = {"tensor_index": "tensor", "row_index": "row", "col_index": "col"}
"""Number of the tensor among the parameters, of the row, of the column, from 0."""

QUERY_INPUTS: dict[str, Kind] = {"f": "global", "h": "full", "g2": "full", "u": "full", "task": "global", "examples": "global"}
"""Further arguments that the training loop gives: loss value, Hessian diagonal, mean squared per-example gradient, the update of a wrapped
rule, number of the task, examples in the batch."""

EVALUATIONS: dict[str, tuple[int, Kind]] = {
    "gradient": (1, "full"),
    "value": (1, "global"),
    "hessian_vector": (1, "full"),
    "gauss_newton_vector": (1, "full"),
    "sampled_gradient": (0, "full"),
    "mean_square_gradient": (0, "full"),
    "vector": (1, "full"),
}
"""What a query can ask for: (number of points, kind). The point is the weights, or the vector of a product."""

INPUT_KINDS: dict[str, Kind] = {
    "w": "full",
    "g": "full",
    "lr": "global",
    "t": "global",
    **dict.fromkeys(TENSOR_CONSTANTS, "tensor"),
    **POSITION_INPUTS,
    **QUERY_INPUTS,
}
READ_ONLY = ("t", *TENSOR_CONSTANTS, *POSITION_INPUTS)
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
    """A body repeated `count` times; unrolled before execution. `index` names the round (0, 1, …) in the body; "_" for none."""

    count: int
    body: tuple[Assign, ...]
    index: str = "_"

    def unrolled(self) -> tuple[Assign, ...]:
        """All rounds, with the index replaced by its number."""
        if self.index == "_":
            return self.body * self.count
        return tuple(Assign(s.target, _with_number(s.value, self.index, k)) for k in range(self.count) for s in self.body)


def _with_number(expr: Expr, name: str, value: int) -> Expr:
    if isinstance(expr, Var):
        return Const(float(value)) if expr.name == name else expr
    if isinstance(expr, Call):
        return Call(expr.op, tuple(_with_number(a, name, value) for a in expr.args))
    return expr


Stmt = Assign | Loop


@dataclass(frozen=True, slots=True)
class Slot:
    """State that carries over steps. `init` is "zeros", "ones", "identity" or the expression inside `first(...)`.

    A slot of kind "history" holds the last `depth` values of kind full, the newest first.
    """

    name: str
    kind: Kind
    init: Literal["zeros", "ones", "identity"] | Expr = "zeros"
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Hyper:
    """A named number with a prior, which search and users may change."""

    name: str
    prior: Prior
    default: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One entry of a query plan: before the step, `name` gets the evaluation `what` at `point`, at steps 1, 1 + every, … (0 elsewhere).

    `point` may read what a rule's first statement may read, and evaluations named before.
    """

    name: str
    what: str
    point: Expr | None
    every: int = 1


@dataclass(frozen=True, slots=True)
class Program:
    """One rule: `body` runs every step, `result` is subtracted from the weights.

    `queries` are the inputs that a training loop gives by itself, `plan` those that it must evaluate for this rule. `view` is what to
    evaluate the model at: an expression over the weights and slots as they are between steps.
    """

    name: str
    slots: tuple[Slot, ...]
    hypers: tuple[Hyper, ...]
    body: tuple[Stmt, ...]
    result: Expr
    queries: tuple[str, ...] = ()
    plan: tuple[Evaluation, ...] = ()
    view: Expr | None = None

    def statements(self) -> tuple[Assign, ...]:
        """The body with loops unrolled."""
        out: list[Assign] = []
        for stmt in self.body:
            if isinstance(stmt, Assign):
                out.append(stmt)
            else:
                out.extend(stmt.unrolled())
        return tuple(out)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Several rules, one for each role: `parts` are (roles, program); an empty tuple of roles serves the rest."""

    parts: tuple[tuple[tuple[str, ...], Program], ...]


class RuleError(ValueError):
    """A rule text that cannot be accepted: one line that says what is wrong, where, and what is allowed."""
