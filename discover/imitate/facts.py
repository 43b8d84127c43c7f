"""What the recorded arrays say about a target before any search: which differences of the streams change its updates, and how.

Letters: R runs, E elements, T steps. Every fact is measured on pairs of probe runs; nothing is asked of the target.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from discover.imitate.streams import SHIFT, Array
from discover.imitate.target import Recorded

_SAME = 1e-5


@dataclass(frozen=True)
class Facts:
    """Invariances of a target.

    `decay`: the additive term `decay * w`; None where weights enter in another way. `degree`: u(c g) = c^degree u(g), None where
    no such number exists. `elementwise`: neighbours do not matter. `timeless`: a late start only shifts the updates. `memoryless`:
    the past does not matter. `level`: the only |u| other than 0, None where there are several.
    """

    decay: float | None
    degree: float | None
    elementwise: bool
    timeless: bool
    memoryless: bool
    odd: bool
    level: float | None

    @property
    def uses_weights(self) -> bool:
        """Whether weights enter other than as an additive multiple."""
        return self.decay is None


def measure(recorded: Recorded) -> Facts:
    """Facts of a recording on the probe streams."""
    names, u = recorded.streams.names, recorded.u.astype(float)
    run = {name: u[k] for k, name in enumerate(names)}
    base = run["base"]
    half = base.shape[-1] // 2
    decay = _additive(run["weights"] - base, recorded.streams.w[names.index("weights")].astype(float), base)
    return Facts(
        decay=decay,
        degree=_degree(base, run["large"], run["small"]),
        elementwise=_distance(run["neighbours"][1::2], base[1::2]) < _SAME,
        timeless=_distance(run["shifted"][:, SHIFT:], base[:, :-SHIFT]) < _SAME,
        memoryless=_distance(run["past"][:, half:], base[:, half:]) < _SAME,
        odd=_distance(run["negative"], -base) < _SAME,
        level=level_of(base),
    )


def _distance(a: Array, b: Array) -> float:
    size = float(np.linalg.norm(b))
    difference = float(np.linalg.norm(a - b))
    return difference / size if size > 0 else (0.0 if difference == 0 else math.inf)


def _additive(difference: Array, w: Array, base: Array) -> float | None:
    if _distance(base + difference, base) < 1e-7:
        return 0.0
    slope = float((difference * w).sum() / np.square(w).sum())
    left = float(np.linalg.norm(difference - slope * w))
    # Adding in float32 leaves rounding of the size of the sum; the median is safe from a few flipped signs.
    floor = 1e-5 * float(np.linalg.norm(difference)) + 1e-6 * float(np.linalg.norm(base))
    typical = float(np.median(np.abs(difference - slope * w))) * math.sqrt(w.size)
    return slope if left < floor or typical < 0.1 * floor else None


def _degree(base: Array, large: Array, small: Array) -> float | None:
    found = []
    for scaled, factor in ((large, 1e3), (small, 1e-3)):
        size, scaled_size = np.linalg.norm(base), np.linalg.norm(scaled)
        if size == 0 or scaled_size == 0:
            return None
        degree = math.log(scaled_size / size) / math.log(factor)
        degree = round(degree * 60) / 60
        if _distance(scaled, base * factor**degree) > 3e-3:
            return None
        found.append(degree)
    return found[0] if found[0] == found[1] else None


def level_of(base: Array) -> float | None:
    """The only size of numbers other than 0 and NaN; None where there are several."""
    sizes = np.abs(base[np.abs(base) > 0])
    if sizes.size == 0:
        return None
    level = float(np.median(sizes))
    return level if float(np.mean(np.abs(sizes - level) > 1e-5 * level)) < 1e-3 else None
