"""Rules that measure their own past updates, such as AdaDelta: the recorded updates stand for what the rule keeps of itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from discover.imitate.epsilon import with_epsilons
from discover.imitate.fit import Fitter, Form
from discover.imitate.library import averages, power
from discover.imitate.products import Relaxation, times
from discover.imitate.signals import G, Node, U
from discover.imitate.stages import Problem, fitter_on

_DECAYS = (0.9, 0.95, 0.99)
_STARTS = tuple(10.0**k for k in range(-10, 0))
_SIZES: tuple[tuple[Node, float], ...] = ((("square", G), 2.0), (("abs", G), 1.0))
_TRIED = 4


def recursive(p: Problem) -> Iterator[Form]:
    """Normalised gradients times the size that updates had so far, which must start above zero to leave it."""
    if p.facts.memoryless:
        return
    ranked = sorted(_ranked(p), key=lambda pair: pair[0])
    for error, node in ranked[:_TRIED]:
        refined = p.probe.refine((node,)) if error < 0.2 and not p.stop() else None
        if refined is not None:
            yield with_epsilons(p.probe, refined)


def _ranked(p: Problem) -> Iterator[tuple[float, Node]]:
    """For each kind and start of the own size the closest factor of the gradient, where gradients are large."""
    _, y = fitter_on(p, ("large",))
    for b in _DECAYS:
        for start in _STARTS:
            own: Node = ("sqrt", ("add", ("lag", ("ema", ("square", U), b)), start))
            if p.stop():
                return
            with np.errstate(all="ignore"):
                relaxation = Relaxation(Fitter(p.large.signals, y / p.large.signals(own)), [G])
            factors = [power(slot, -1.0 / degree) for size, degree in _SIZES for slot in averages(size, p.facts)]
            error, factor = min((relaxation.error(f), f) for f in factors)
            yield error, ("mul", own, times(factor, G))
