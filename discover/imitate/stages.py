"""The stages of the search over forms, from the simplest structure to the richest; each yields candidates, closest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from discover.imitate.epsilon import with_epsilons
from discover.imitate.facts import Facts
from discover.imitate.fit import INVERSES, Fitter, Form
from discover.imitate.library import FAST_GRID, factors, linear_columns
from discover.imitate.products import EXACT, ONE, Relaxation, Stop, inverted, numerators, rank
from discover.imitate.signals import G, Node, Signals
from discover.imitate.signfit import SignFitter, sign_forms
from discover.imitate.snap import length, snap_sign
from discover.imitate.streams import Array
from discover.imitate.target import Recording

_SEARCH_RUNS = ("base", "other", "loud", "soft", "small")
CLOSE = 0.05
"""Relative error below which a relaxation or a form is worth refining."""


@dataclass(frozen=True)
class Problem:
    """A recorded target with weight decay taken out: `y` on the search runs, `all_y` on all probe runs, `large_y` where numbers vanish."""

    recording: Recording
    facts: Facts
    probe: Fitter
    full: Fitter
    bulk: SignFitter
    large: Fitter
    y: Array
    all_y: Array
    sides: Array
    columns: tuple[Node, ...]
    own: tuple[Node, ...]
    stop: Stop

    def fitter_for(self, form: Form) -> Fitter:
        """The fitter of a form's inner sum: on all probe runs, behind what its outer function hides."""
        if form.outer == "identity":
            return self.full
        if form.outer == "clip":
            return Fitter(self.full.signals, np.where(np.abs(self.all_y) > form.scale * (1 - 1e-6), np.nan, self.all_y))
        undone = inverted(self.all_y, INVERSES[form.outer])
        return self.full if undone is None else Fitter(self.full.signals, undone)


def problem(recording: Recording, facts: Facts, stop: Stop, extra: Iterable[Node] = ()) -> Problem:
    """What all stages share."""
    recorded = recording.probe
    streams = recorded.streams
    y = recorded.u.astype(float) - (facts.decay or 0.0) * streams.w
    full = Signals(streams.g, streams.w, streams.layout, recorded.u)
    runs = [streams.run(name) for name in _SEARCH_RUNS]
    large = [streams.run("large")]
    near = Signals(streams.g[runs], streams.w[runs], streams.layout, recorded.u[runs])
    far = Signals(streams.g[large], streams.w[large], streams.layout, recorded.u[large])
    own = tuple(extra)
    columns = tuple(dict.fromkeys((*linear_columns(facts), *(node for node in own if _signed_filter(node)))))
    sides = y[runs] / facts.level if facts.level else y[runs]
    many = recording.bulk.streams
    bulk = SignFitter(Signals(many.g, many.w, many.layout), bulk_target(recording, facts) / (facts.level or 1.0))
    return Problem(
        recording, facts, Fitter(near, y[runs]), Fitter(full, y), bulk, Fitter(far, y[large]), y[runs], y, sides, columns, own, stop
    )


def bulk_target(recording: Recording, facts: Facts) -> Array:
    """The target on the bulk run, weight decay taken out."""
    return recording.bulk.u - (facts.decay or 0.0) * recording.bulk.streams.w


def _signed_filter(node: Node) -> bool:
    """Whether a node of the start rule is a linear filter of the gradient, as columns are."""
    return node == G or (node[0] in ("ema", "trace", "debias", "debiased", "lag") and _signed_filter(node[1]))


def fitter_on(p: Problem, names: Sequence[str]) -> tuple[Fitter, Array]:
    """A fitter of the target on some probe runs, and the target there."""
    streams = p.recording.probe.streams
    runs = [streams.run(name) for name in names]
    return Fitter(Signals(streams.g[runs], streams.w[runs], streams.layout), p.all_y[runs]), p.all_y[runs]


def linear(p: Problem) -> Iterator[Form]:
    """Sums of filtered gradients."""
    if Relaxation(p.probe, p.columns).error(ONE) < CLOSE:
        form = numerators(p.probe, ONE, p.columns, 4, p.stop)
        if form is not None:
            yield form


def bent(p: Problem) -> Iterator[Form]:
    """An outer function of a sum of filtered gradients: undo it on the target, then fit the sum."""
    for name, undo in INVERSES.items():
        y = inverted(p.y, undo)
        if y is None or p.stop():
            continue
        fitter = Fitter(p.probe.signals, y)
        if Relaxation(fitter, p.columns).error(ONE) < CLOSE:
            form = numerators(fitter, ONE, p.columns, 3, p.stop)
            if form is not None:
                yield replace(form, outer=name)


def clipped(p: Problem) -> Iterator[Form]:
    """A sum of filtered gradients cut off at ±c: fit it where it is not cut off."""
    limit = float(np.abs(p.y).max())
    cut = np.abs(p.y) > limit * (1 - 1e-6)
    if limit == 0 or not 3 <= cut.sum() < 0.9 * cut.size:
        return
    fitter = Fitter(p.probe.signals, np.where(cut, np.nan, p.y))
    if Relaxation(fitter, p.columns).error(ONE) < CLOSE:
        form = numerators(fitter, ONE, p.columns, 3, p.stop)
        if form is not None:
            yield replace(form, outer="clip", scale=limit)


def signed(p: Problem) -> Iterator[Form]:
    """A sign of a sum of filtered gradients."""
    if p.facts.level is None:
        return
    fitter = SignFitter(p.probe.signals, p.sides)
    delayed = [("lag", ("ema", G, b)) for b in (*FAST_GRID, 0.99, 0.999)] if not p.facts.memoryless else []
    found = []
    for form in sign_forms(fitter, [*p.columns, *delayed], p.stop):
        refitted = p.bulk.fit(form.terms, form.coefficients)
        if refitted is not None:
            found.append(snap_sign(p.bulk, refitted))
    p.bulk.evaluated += fitter.evaluated
    # Several spellings of one rule may be exact; people read the shortest.
    for form in sorted(found, key=lambda f: (round(f.error, 4), length(f))):
        yield replace(form, scale=p.facts.level)


def multiplied(p: Problem) -> Iterator[Form]:
    """A factor times a sum of filtered gradients, where the degree of the target is known."""
    if p.facts.degree is not None:
        yield from _products(p, p.probe, p.facts.degree, p.columns)


def softened(p: Problem) -> Iterator[Form]:
    """As `multiplied`, with numbers in denominators: the structure shows where gradients are large, the numbers where they are small."""
    degrees = (0.0, 1.0, 0.5) if p.facts.degree is None else (p.facts.degree,)
    for degree in degrees:
        for form in _products(p, p.large, degree, p.columns):
            if form.error > 0.2 or p.stop():
                break
            refined = p.probe.refine(form.terms)
            if refined is not None:
                yield with_epsilons(p.probe, refined)


def _products(p: Problem, fitter: Fitter, degree: float, columns: Sequence[Node]) -> Iterator[Form]:
    relaxation = Relaxation(fitter, columns)
    own = [factor for node in p.own for factor in (node, ("ratio", 1, node))]
    for scored in rank(relaxation, (*own, *factors(p.facts, degree - 1.0)), 24, p.stop):
        if p.stop():
            return
        form = numerators(fitter, scored.factor, columns, 3, p.stop)
        if form is not None:
            yield form
            if form.error < EXACT:
                return
