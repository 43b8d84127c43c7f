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
    least: float = 1e-3,
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
    return -lr * (max(least, rms(w)) * u + decay * w)


def sm3(s: State, g: Array, w: Array, t: int, lr: float, b: float = 0.9, eps: float = 1e-8, decay: float = 0.0) -> Any:
    """Anil et al., arXiv:1901.11150, SM3-II with momentum over the cover of rows and columns; a vector has a set for each element."""
    if g.ndim < 2:
        s.full = v = s.full + g**2
    else:
        x = g.reshape(-1, g.shape[-1])
        v = np.minimum(np.reshape(s.r, (-1, 1)), np.reshape(s.c, (1, -1))) + x**2
        s.r, s.c = v.max(axis=1), v.max(axis=0)
        v = v.reshape(g.shape)
    s.m = b * s.m + (1 - b) * g / np.sqrt(v + eps)
    return -lr * (s.m + decay * w)


TABLE: dict[str, Reference] = {
    "adafactor": Reference(per_tensor(adafactor), {"power": 0.7, "decay": 0.03}),
    "sm3": Reference(per_tensor(sm3), {"b": 0.5, "decay": 0.03}),
}
