"""How a score and a learning rate are read from losses at a grid of rates. Imports no jax.

A log loss is that of loss / initial loss, both above the known optimum, averaged over draws. The three readings:

"best": the least of the grid, as a user who tunes on this grid would find it.
"vertex": the least of a parabola through that point and its neighbours, so that a coarse grid favours no rule for where its optimum lies.
"smooth": the vertex among averages of a point (half) and its neighbours (a quarter each), so that luck at one rate counts for less and a
rule that diverges right beside its optimum is not preferred.

Letters: N draws (instances and seeds), L learning rates.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from discover.jobs import Reading

FLOOR, CAP = 1e-9, 10.0
"""Losses are cut to these shares of the initial one: it does not matter how far a training diverged."""

BEND = 0.7
"""How far the parabola's neighbours may lie above its lowest point: a factor of two in the loss, beyond which it has no such shape."""


class Read(NamedTuple):
    """The log loss, the place of the optimum on the grid as a fraction of steps, and the grid point nearest to it."""

    log: float
    place: float
    point: int


def log_loss(losses: np.ndarray, initial: np.ndarray, optimum: np.ndarray) -> np.ndarray:
    """Log [L] of the mean over draws of losses [N, L] against the initial ones [N], above the optima [N]; +inf where a draw failed.

    The mean is that of losses, not of their logs: what counts on unseen data is the expected loss, which easy draws say little about.
    """
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        ratio = (losses - optimum[:, None]) / (initial - optimum)[:, None]
        logs = np.log(np.clip(ratio, FLOOR, CAP).mean(axis=0))
    return np.where(np.isfinite(losses).all(axis=0), logs, np.inf)


def read(logs: np.ndarray, reading: Reading) -> Read | None:
    """Read log losses [L], in order of rates; None where every rate failed."""
    failed = ~np.isfinite(logs)
    if failed.all():
        return None
    capped = np.minimum(logs, math.log(CAP))
    if reading == "best":
        best = int(np.where(failed, np.inf, capped).argmin())
        return Read(float(capped[best]), best, best)
    if reading == "vertex" or len(logs) < 3:
        return _vertex(capped, failed)
    if failed[1:-1].all():
        return None
    found = _vertex(0.5 * capped[1:-1] + 0.25 * (capped[:-2] + capped[2:]), failed[1:-1])
    return Read(found.log, found.place + 1, found.point + 1)


def _vertex(logs: np.ndarray, failed: np.ndarray) -> Read:
    """The parabola's lowest point, or the best grid point where that has no two neighbours or they are level with it."""
    best = int(np.where(failed, np.inf, logs).argmin())
    low = float(logs[best])
    if best in (0, len(logs) - 1):
        return Read(low, best, best)
    left, right = (min(max(float(logs[i]) - low, 0.0), BEND) for i in (best - 1, best + 1))
    if left + right <= 0.0:
        return Read(low, best, best)
    shift = 0.5 * (left - right) / (left + right)
    return Read(low - (left - right) ** 2 / (8.0 * (left + right)), best + shift, best)
