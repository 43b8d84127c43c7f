"""Rules with one number for each row and column."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.search_space.zoo.authors.state import State, per_tensor
from tests.search_space.zoo.harness import Reference

Array = np.ndarray


def rms(x: Array) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(x**2)))


def adafactor(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    power: float = 0.8,
    eps: float = 1e-30,
    floor: float = 1e-3,
    threshold: float = 1.0,
    decay: float = 0.0,
) -> Any:
    """Shazeer & Stern, arXiv:1804.04235, algorithm 4 with the relative step size; vectors keep the full second moment."""
    b = 1 - t**-power
    sq = g**2 + eps
    if g.ndim < 2:
        s.v = b * s.v + (1 - b) * sq
        u = g / np.sqrt(s.v)
    else:
        sq = sq.reshape(-1, g.shape[-1])
        s.r = b * s.r + (1 - b) * sq.mean(axis=1)
        s.c = b * s.c + (1 - b) * sq.mean(axis=0)
        u = g / np.sqrt(np.outer(s.r, s.c) / s.r.mean()).reshape(g.shape)
    u = u / max(1.0, rms(u) / threshold)
    return -lr * (max(floor, rms(w)) * u + decay * w)


TABLE: dict[str, Reference] = {
    "adafactor": Reference(per_tensor(adafactor), {"power": 0.7, "decay": 0.03}),
}
