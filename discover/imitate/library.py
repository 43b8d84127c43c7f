"""Building blocks of candidates, made level by level from primitives: columns that a linear fit may use, and factors that multiply them."""

from __future__ import annotations

from collections.abc import Iterator

from discover.imitate.facts import Facts
from discover.imitate.signals import SLOTS, G, Node, W

FAST_GRID = (0.5, 0.8, 0.9, 0.95, 0.98)
"""Decays tried for averages that carry a sign (numerators)."""
SLOW_GRID = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
"""Decays tried for averages of sizes; refined afterwards, so they only need to be near."""

Weighted = tuple[Node, float]
"""A node and its degree: how it scales when all gradients are scaled."""


def linear_columns(facts: Facts, source: Node = G, grid: tuple[float, ...] = FAST_GRID) -> list[Node]:
    """Columns that span linear filters of a source: itself, its last value and averages over a grid of decays."""
    columns: list[Node] = [source]
    if facts.memoryless and facts.timeless:
        return columns + ([W] if facts.uses_weights else [])
    columns += [("lag", source)]
    columns += [("ema", source, b) for b in (*grid, 0.99, 0.999)]
    if not facts.timeless:
        columns += [("debiased", source, b) for b in grid]
        columns += [("debias", source, b) for b in (0.8, 0.9)]
        columns += [("debias", ("ema", source, b), b, 1) for b in (0.8, 0.9)]
        if plain(source):
            change: Node = ("sub", source, ("held", source))
            columns += [("held", source), *(("debiased", change, b) for b in grid), *(("warm", source, b) for b in grid)]
    if facts.uses_weights:
        columns.append(W)
    return columns


def averages(x: Node, facts: Facts, grid: tuple[float, ...] = SLOW_GRID) -> Iterator[Node]:
    """Slots over a quantity: the quantity itself, averages, sums, decaying and running maxima."""
    yield x
    if facts.memoryless and facts.timeless:
        return
    for b in grid:
        yield ("ema", x, b)
        if not facts.timeless:
            yield ("debiased", x, b)
            if plain(x):
                yield ("warm", x, b)
    yield ("total", x)
    yield ("record", x)
    for b in grid:
        yield ("peak", x, b)
    yield ("lag", x)


def plain(x: Node) -> bool:
    """Whether a node is a function of this step's inputs alone."""
    return x[0] not in SLOTS and all(plain(arg) for arg in x[1:] if isinstance(arg, tuple))


def slots_of_slots(x: Node, facts: Facts) -> Iterator[Node]:
    """Slots over averages: running maxima, second averages, and pulls towards the quantity."""
    if facts.memoryless:
        return
    for b in (0.9, 0.99, 0.999):
        yield ("record", ("ema", x, b))
        yield ("pulled", x, b)
        yield ("lag", ("ema", x, b))
        if not facts.timeless:
            yield ("record", ("debiased", x, b))
            yield ("debias", ("pulled", x, b), b)
        for c in (0.9, 0.99):
            yield ("ema", ("ema", x, b), c)
        yield ("sub", ("ema", x, b), ("square", ("ema", ("sqrt", x), b)))


def sizes(facts: Facts) -> list[Weighted]:
    """Non-negative quantities with their degrees: sizes of the gradient, of its averages and of its surprises."""
    found: list[Weighted] = [(("abs", G), 1.0), (("square", G), 2.0)]
    if not facts.elementwise or facts.uses_weights:
        found += reductions(G)
    if facts.memoryless:
        return found
    for b in FAST_GRID:
        m: Node = ("ema", G, b)
        for centre in (m, ("lag", m)):
            found.append((("square", ("sub", G, centre)), 2.0))
            found.append((("abs", ("sub", G, centre)), 1.0))
        found += [(("abs", m), 1.0), (("square", m), 2.0)]
        if not facts.elementwise:
            found += reductions(m)
    found.append((("square", ("sub", G, ("lag", G))), 2.0))
    for last in [("lag", G)] if facts.timeless else [("lag", G), ("held", G)]:
        found.append((("square", ("add", G, ("mul", 0.9, ("sub", G, last)))), 2.0))
    found.append((("abs", ("sub", G, ("lag", G))), 1.0))
    found.append((("cube", ("abs", G)), 3.0))
    return found


def reductions(x: Node) -> list[Weighted]:
    """Sizes of a whole tensor, of its rows and columns, and of all tensors."""
    found: list[Weighted] = [((op, x), 1.0) for op in ("norm", "rms", "norm1", "norm_inf", "std", "global_norm")]
    found += [(("mean", ("abs", x)), 1.0), (("mean", ("square", x)), 2.0), (("square", ("norm", x)), 2.0)]
    found.append((("square", ("global_norm", x)), 2.0))
    for axis in ("row", "col"):
        found += [((f"{axis}_norm", x), 1.0), ((f"{axis}_rms", x), 1.0), (("square", (f"{axis}_rms", x)), 2.0)]
    return found


def signs(facts: Facts) -> list[Node]:
    """Quantities whose agreement in sign with the gradient may switch or bend an update."""
    if facts.memoryless:
        return []
    return [("lag", G), *(("ema", G, b) for b in FAST_GRID), *(("lag", ("ema", G, b)) for b in FAST_GRID)]


def factors(facts: Facts, wanted: float) -> Iterator[Node]:
    """Factors of a degree: powers of slots over sizes."""
    for x, degree in sizes(facts):
        for slot in (*averages(x, facts), *slots_of_slots(x, facts)):
            yield power(slot, wanted / degree)


def power(x: Node, exponent: float) -> Node:
    """x to a power, spelled with the primitives that people read."""
    if exponent < 0:
        return ("ratio", 1, power(x, -exponent))
    spelled = {0.0: x, 1.0: x, 0.5: ("sqrt", x), 2.0: ("square", x), 0.25: ("sqrt", ("sqrt", x)), 3.0: ("cube", x)}
    if exponent in spelled:
        return spelled[exponent]
    return ("cbrt", x) if abs(exponent - 1 / 3) < 1e-9 else ("pow", x, float(exponent))
