"""Is an update proportional to the learning rate? A rule that is not hides a rate of its own from the grid and from the schedule.

Degrees of homogeneity in `lr` follow the table of primitives (its `units`): `lr * g` has degree 1, `g` 0, `arccos(lr) * g` none.
"""

from __future__ import annotations

from search_space.dataflow import Dataflow, Node
from search_space.ops import OPS

MIXED = float("nan")
"""Degree of a value that is not homogeneous in the learning rate."""

ANY = float("inf")
"""Degree of zero, which fits every other."""


def proportional(flow: Dataflow) -> bool:
    """Whether the update is homogeneous of degree 1 in `lr` at every step, slots included."""
    slots = {slot.read: 0.0 if slot.ones else ANY for slot in flow.slots}
    degrees = _degrees(flow, slots)
    for _ in range(len(slots) + 1):
        merged = {slot.read: _same(slots[slot.read], degrees[slot.next]) for slot in flow.slots}
        if repr(merged) == repr(slots):  # as text, because MIXED differs from itself
            break
        slots = merged
        degrees = _degrees(flow, slots)
    return degrees[flow.result] in (1.0, ANY)


def _degrees(flow: Dataflow, slots: dict[int, float]) -> list[float]:
    degrees: list[float] = []
    for index, node in enumerate(flow.nodes):
        if index in slots:
            degrees.append(slots[index])
        elif node.op in OPS:
            degrees.append(_result(node, [degrees[arg] for arg in node.args]))
        elif node.op == "input":
            degrees.append(1.0 if node.ref == "lr" else 0.0)
        else:
            degrees.append(ANY if node.ref == 0.0 else 0.0)
    return degrees


def _result(node: Node, args: list[float]) -> float:
    """The degree of a primitive's value; where nothing depends on the rate, neither does the value."""
    if all(arg == 0.0 for arg in args):
        return 0.0
    units = OPS[node.op].units
    if node.op == "where":
        return _same(args[1], args[2]) if args[0] in (0.0, 1.0, ANY) else MIXED
    if node.op == "lerp":
        return _same(args[0], args[1]) if args[2] in (0.0, ANY) else MIXED
    if units == "same":
        degree = args[0]
        for arg in args[1:]:
            degree = _same(degree, arg)
        return (0.0 if degree == degree else MIXED) if node.op == "less" else degree
    if units == "none":
        return 0.0 if all(arg in (0.0, ANY) for arg in args) else MIXED
    if any(arg != arg for arg in args):
        return MIXED
    if ANY in args:
        return ANY
    return float(sum(arg * power for arg, power in zip(args, units, strict=True)))


def _same(a: float, b: float) -> float:
    """The common degree of two values that are added or compared."""
    if a == ANY:
        return b
    return a if b in (a, ANY) else MIXED
