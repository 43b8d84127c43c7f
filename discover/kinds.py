"""Kind rules of primitives as small integers, asked from `search_space.dataflow` once for each combination."""

from __future__ import annotations

from functools import cache

from search_space.dataflow import dataflow
from search_space.ops import OPS
from search_space.program import KINDS, Call, Program, RuleError, Slot, Var

KIND_BITS = {"global": 0, "tensor": 1, "row": 3, "col": 5, "full": 7}
"""Kinds as bit sets: broadcasting two kinds is `|`, and `a` may be broadcast to `b` where `a | b == b`."""

KIND_OF_BITS = {bits: kind for kind, bits in KIND_BITS.items()}
ALL_KINDS = frozenset(KIND_BITS.values())
_SLOTS = tuple(Slot(kind, kind) for kind in KINDS)


@cache
def result_kind(op: str, kinds: tuple[int, ...]) -> int | None:
    """Kind of a primitive's result for arguments of these kinds, None where it does not take them."""
    call = Call(op, tuple(Var(KIND_OF_BITS[kind]) for kind in kinds))
    try:
        flow = dataflow(Program("probe", _SLOTS, (), (), call))
    except RuleError:
        return None
    return KIND_BITS[flow.kinds[flow.result]]


@cache
def takes(op: str, which: int) -> frozenset[int]:
    """Kinds to draw an argument from so that the primitive is legal, whatever the other arguments are where that is possible."""
    arity = OPS[op].arity
    first = frozenset(k for k in ALL_KINDS if result_kind(op, (k, *[0] * (arity - 1))) is not None)
    if first:
        return first if which == 0 else ALL_KINDS
    return frozenset(k for k in ALL_KINDS if result_kind(op, (k,) * arity) is not None)
