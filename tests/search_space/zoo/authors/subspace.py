"""Rules that keep a part of the matrix in memory, or look at it in another basis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.search_space import noise
from tests.search_space.zoo.authors.adam_family import adam_direction
from tests.search_space.zoo.authors.state import State, whole_tree
from tests.search_space.zoo.harness import Reference, Tree

Array = np.ndarray
Extra = Mapping[str, Any]


def states(s: State, grads: Tree) -> dict[str, State]:
    """A state for each tensor, kept in `s`."""
    if not s.each:
        s.each = {k: State() for k in grads}
    return s.each


def frugal(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Extra,
    rho: float = 0.25,
    period: float = 200.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Tree:
    """Zmushko et al., arXiv:2411.07837: random columns by AdamW, started anew at every choice; the others by sign descent."""
    matrices = [k for k in sorted(grads) if grads[k].ndim == 2]
    out = {}
    for k, own in states(s, grads).items():
        g, w = grads[k], params[k]
        if g.ndim != 2:
            out[k] = -lr * (adam_direction(own, g, t, b1, b2, eps) + decay * w)
            continue
        if (t - 1) % round(period) == 0:
            order = np.argsort(noise.uniform((1, g.shape[1]), 0, t, matrices.index(k))[0])
            own.columns = order[: sum(r + 0.5 < rho * g.shape[1] for r in range(g.shape[1]))]
            own.m = own.v = 0.0
            own.start = t - 1
        u = np.sign(g)
        u[:, own.columns] = adam_direction(own, g[:, own.columns], t - own.start, b1, b2, eps)
        out[k] = -lr * (u + decay * w)
    return out


TABLE: dict[str, Reference] = {
    "frugal": Reference(whole_tree(frugal), {"rho": 0.5, "period": 30.0, "decay": 0.03}),
}
