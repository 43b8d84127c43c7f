"""One row of the table of primitives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from search_space.program import Kind

Tier = Literal["E", "C", "R", "A", "G", "N", "S", "H", "M"]
"""Elementwise, step control, per tensor, row/column, across tensors, noise, order statistics, history, matrix."""

Rule = Literal["elementwise", "nullary", "tensor", "row", "col", "global", "signature"]
"""How the kind of the result follows: `elementwise` the smallest kind that holds the arguments, `nullary` global, `signature` as its
table says, others as named."""

Powers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Op:
    """One primitive.

    `fn(xp, *args)` computes it. For rule `global`, `fn` gives the part of one tensor, (…, 1, 1); parts are combined by `combine`; with
    `combine="gather"` it gets every argument as a list with one array for each tensor, and gives such a list.
    A `shaped` function also gets the tensor's own shape, `fn(xp, *args, shape=...)`.
    `macro`, if any, is the definition in the language itself (arguments x, y, z), an expression or a body that ends with `return`, or
    one for each kind of the first argument; a macro has no `fn` and is expanded before execution.
    `units`: "same" = all arguments and the result share units; powers = the result's units are the product of arguments' to these powers;
    "none" = arguments must be pure numbers. `flops` are per element of the (largest) argument.
    """

    name: str
    arity: int
    tier: Tier
    rule: Rule = "elementwise"
    fn: Callable[..., Any] | None = None
    macro: str | dict[Kind, str] | None = field(default=None, hash=False)
    combine: Literal["sum", "mean", "max", "gather"] | None = None
    commutative: bool = False
    units: Literal["same", "none"] | Powers = "none"
    flops: int = 1
    infix: str | None = None
    signatures: dict[tuple[Kind, ...], Kind] = field(default_factory=dict, hash=False)
    shaped: bool = False
