"""Two plain kinds of target: functions of this step's gradient and weight alone, and any target times a power of the step's number."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np

from discover.imitate.deep import seen_as
from discover.imitate.epsilon import with_epsilons
from discover.imitate.fit import Form
from discover.imitate.products import EXACT, times
from discover.imitate.signals import POINTWISE, G, Node, W
from discover.imitate.stages import CLOSE, Problem, linear, multiplied, softened
from discover.imitate.streams import Array, Layout

_UNARY = ("abs", "square", "cube", "sqrt", "cbrt", "sign", "neg", "exp", "tanh", "arctan", "arcsinh", "sigmoid", "log1p")
_BINARY = ("add", "sub", "mul", "ratio", "max", "min")
_SYMMETRIC = ("add", "mul", "max", "min")
_POINTS = 600
"""Points that expressions are told apart and judged by; the few that pass are fitted on all."""
_MOST = 100_000
_DEPTH = 4
_POWERS = (0.5, 1.0, -0.5, -1.0)


def pointwise(p: Problem) -> Iterator[Form]:
    """Functions of this step's gradient and weight: all small expressions, each value once, times a fitted factor."""
    if not (p.facts.memoryless and p.facts.timeless and p.facts.elementwise):
        return
    leaves: list[Node] = [G, W] if p.facts.uses_weights else [G]
    places = np.linspace(0, p.y.size - 1, _POINTS).astype(int)
    y = (p.y * p.probe.row).ravel()[places]
    row = np.broadcast_to(p.probe.row, p.y.shape).ravel()[places]
    tried = 0
    for node, value in _expressions(leaves, lambda leaf: np.broadcast_to(p.probe.signals(leaf), p.y.shape).ravel()[places]):
        tried += 1
        if tried > _MOST or (tried % 500 == 0 and p.stop()):
            return
        x = value * row
        size = float(x @ x)
        if size == 0 or float(np.linalg.norm(y - x * (x @ y / size))) > CLOSE * float(np.linalg.norm(y)):
            continue
        form = p.probe.refine((node,))
        if form is not None and form.error < CLOSE:
            yield form
            if form.error < EXACT:
                return


def _expressions(leaves: list[Node], value_of: Callable[[Node], Array]) -> Iterator[tuple[Node, Array]]:
    """Expressions of up to `_DEPTH` operations on top of a leaf, smaller first: functions of the last ones, and their pairs with a leaf."""
    seen: set[bytes] = set()

    def fresh(value: Array) -> bool:
        if not np.isfinite(value).all() or np.ptp(value) == 0 or float(np.abs(value).max()) > 1e12:
            return False
        key = hashlib.blake2b(np.asarray(value, np.float32).round(6).tobytes(), digest_size=16).digest()
        known = key in seen
        seen.add(key)
        return not known

    with np.errstate(all="ignore"):
        start = [(leaf, value_of(leaf)) for leaf in leaves]
        yield from start
        last = start
        for depth in range(_DEPTH):
            grown = (pair for pair in _grown(last, start) if fresh(pair[1]))
            if depth < _DEPTH - 1:
                last = list(grown)
                yield from last
            else:
                yield from grown  # the most by far, and nothing grows on them


def _grown(last: list[tuple[Node, Array]], start: list[tuple[Node, Array]]) -> Iterator[tuple[Node, Array]]:
    for a, x in last:
        yield from (((op, a), POINTWISE[op](x)) for op in _UNARY)
        for b, z in start:
            for op in _BINARY:
                yield (op, a, b), POINTWISE[op](x, z)
                if op not in _SYMMETRIC:
                    yield (op, b, a), POINTWISE[op](z, x)


def scheduled(p: Problem) -> Iterator[Form]:
    """A target that falls or grows with a power of the step's number."""
    if p.facts.timeless:
        return
    for power in _POWERS:

        def undone(y: Array, layout: Layout, power: float = power) -> Array:
            del layout
            return y * np.arange(1, y.shape[-1] + 1) ** power

        seen = seen_as(p, undone)
        size: Node = ("time", G) if abs(power) == 1.0 else ("sqrt", ("time", G))
        factor: Node = ("ratio", 1, size) if power > 0 else size
        for stage in (linear, multiplied, softened):
            for form in stage(seen):
                if form.error > CLOSE or p.stop():
                    break
                refined = p.probe.refine(tuple(times(factor, term) for term in form.terms))
                if refined is not None and refined.error < CLOSE:
                    yield with_epsilons(p.probe, refined)
