"""Lifted stages: the core of a target is found on runs where the rest of it is idle, then dressed until all runs agree.

With weights at zero, weight decay and trust ratios are idle; with tiny gradients, clipping is. The dressings are compositions of primitives
around the gradient (before the core) or around the core.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from discover.imitate.deep import as_node, filtered
from discover.imitate.epsilon import with_epsilons
from discover.imitate.fit import Form
from discover.imitate.library import linear_columns
from discover.imitate.products import EXACT, replaced
from discover.imitate.signals import G, Node, W
from discover.imitate.stages import CLOSE, Problem, fitter_on, linear, multiplied

_IDLE_WEIGHTS = ("base", "large", "small", "shifted", "past", "impulse")
_IDLE_CLIPS = ("small", "tiny")
_SIZES = tuple(10.0**k for k in range(-5, 3))
_SHARES = (1.0, 0.1, 0.01, 0.001)


def lifted(p: Problem) -> Iterator[Form]:
    """Cores from both kinds of idle runs, each with every dressing."""
    for names in (_IDLE_WEIGHTS, _IDLE_CLIPS):
        for core in _cores(p, names):
            if p.stop():
                return
            for terms in _dressed(p, core):
                form = p.full.refine(terms)
                if form is None or form.error > CLOSE:
                    continue
                yield form if form.error < EXACT else with_epsilons(p.full, form)


def _cores(p: Problem, names: tuple[str, ...]) -> Iterator[Form]:
    fitter, y = fitter_on(p, names)
    facts = replace(p.facts, decay=0.0, elementwise=True)
    for degree in (0.0, 1.0):
        inner = replace(p, probe=fitter, y=y, facts=replace(facts, degree=degree), columns=tuple(linear_columns(facts)))
        for stage in (linear, multiplied, filtered):
            for form in stage(inner):
                if form.error < CLOSE:
                    better = with_epsilons(fitter, form)
                    if better.error < 1e-3:
                        yield better
                if form.error < EXACT:
                    break


def _dressed(p: Problem, core: Form) -> Iterator[tuple[Node, ...]]:
    """The closest size of each dressing, closest dressing first."""
    ranked: list[tuple[float, tuple[Node, ...]]] = []
    for dressings in _dressings(core):
        tried = [(p.full.error(terms), terms) for terms in dressings]
        ranked.append(min(tried, key=lambda pair: pair[0]))
    ranked.sort(key=lambda pair: pair[0])
    yield from (terms for error, terms in ranked[:6] if error < 0.7)


def _dressings(core: Form) -> Iterator[list[tuple[Node, ...]]]:
    """Each dressing with its number at several sizes."""
    whole = as_node(core)
    shrunk = [_decayed(G, c) for c in _SIZES]
    yield [(*core.terms, W)]
    yield [replaced(core.terms, G, x) for x in shrunk]
    yield [(_trusted(whole, c),) for c in _SIZES]
    yield [(_trusted(x, c),) for x in (_decayed(whole, k) for k in _SIZES) for c in _SHARES]
    yield [replaced(core.terms, G, _trusted(G, c)) for c in _SIZES]
    yield [replaced(core.terms, G, _trusted(x, c)) for x in shrunk for c in _SHARES]
    yield [(_trusted(replaced((whole,), G, x)[0], c),) for x in shrunk for c in _SHARES]
    for size in ("norm", "rms", "global_norm", "norm_inf"):
        yield [replaced(core.terms, G, _limited(G, size, c)) for c in _SIZES]
        yield [(_limited(whole, size, c),) for c in _SIZES]
        yield [(*replaced(core.terms, G, _limited(G, size, c)), W) for c in _SIZES]
    yield [replaced(core.terms, G, ("clip", G, c)) for c in _SIZES]
    yield [(("clip", whole, c),) for c in _SIZES]
    yield [(("clip", whole, c), W) for c in _SIZES]
    for centre in ("mean", "row_mean", "col_mean"):
        yield [replaced(core.terms, G, ("sub", G, (centre, G)))]


def _decayed(x: Node, c: float) -> Node:
    return ("add", x, ("mul", c, W))


def _limited(x: Node, size: str, c: float) -> Node:
    """x scaled down to a size of at most c."""
    return ("ratio", x, ("max", 1, ("ratio", (size, x), c)))


def _trusted(x: Node, c: float) -> Node:
    """x scaled to c times the size of the weights, unchanged where either is zero."""
    share: Node = ("mul", c, ("ratio", ("norm", W), ("norm", x)))
    return ("mul", ("where", share, share, 1), x)
