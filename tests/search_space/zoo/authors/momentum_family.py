"""Momentum, acceleration and optimism without second moments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.search_space.zoo.authors.state import State, per_tensor, whole_tree
from tests.search_space.zoo.harness import Reference, Tree

Array = np.ndarray


def global_norm(tree: Tree) -> float:
    """Euclidean norm of all tensors as one vector."""
    return float(np.sqrt(sum(np.sum(x**2) for x in tree.values())))


def accsgd(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    kappa: float = 1000.0,
    xi: float = 10.0,
    small: float = 0.7,
    decay: float = 0.0,
) -> Any:
    """Kidambi et al., arXiv:1803.05591, rahulkidambi/AccSGD, with decay outside."""
    long = lr * kappa / small
    b = 1 - (1 - small * small * xi / kappa)
    zeta = small / (small + b)
    s.buffer = ((1 / b - 1) * (w if t == 1 else s.buffer) - long * g + w) * b
    return (w - lr * g) * zeta + (1 - zeta) * s.buffer - w - lr * decay * w


def heavy_ball(s: State, g: Array, w: Array, t: int, lr: float, kappa: float = 400.0, decay: float = 0.0) -> Any:
    """Pan et al., arXiv:2312.14567: w' = w - lr g + b (w - w_old) with b = (1 - 1/√kappa)²; decay outside."""
    b = (1 - 1 / np.sqrt(kappa)) ** 2
    s.move = -lr * g + b * s.move
    return s.move - lr * decay * w


def beta_normalized_gd(
    s: State, grads: Tree, params: Tree, t: int, lr: float, extra: Mapping[str, Any], power: float = 1.0, decay: float = 0.0
) -> Tree:
    """Chen et al., arXiv:2303.02854: w' = w - lr g / ‖g‖^power over all parameters; no step where the gradient is 0."""
    size = global_norm(grads) ** power
    return {k: -lr * ((g / size if size > 0 else 0.0 * g) + decay * params[k]) for k, g in grads.items()}


def optimistic_mirror_descent(
    s: State, grads: Tree, params: Tree, t: int, lr: float, extra: Mapping[str, Any], delta: float = 1.0, decay: float = 0.0
) -> Tree:
    """Chen et al., arXiv:2302.04552, Euclidean and unconstrained, as two sequences: x' = y' - η' g with y' = y - η g.

    η_t = D / √(delta + Σ_{s<t} ‖g_s - g_{s-1}‖²), the gradient before the first is 0, D is the learning rate.
    """
    if t == 1:
        s.total, s.old, s.shift = delta, {k: 0.0 * g for k, g in grads.items()}, {k: 0.0 * g for k, g in grads.items()}
    before = lr / np.sqrt(s.total)
    s.total = s.total + sum(np.sum((g - s.old[k]) ** 2) for k, g in grads.items())
    after = lr / np.sqrt(s.total)
    out = {}
    for k, g in grads.items():
        shift = -after * g  # x - y
        out[k] = -before * g + shift - s.shift[k] - lr * decay * params[k]
        s.shift[k] = shift
    s.old = grads
    return out


TABLE: dict[str, Reference] = {
    "accsgd": Reference(per_tensor(accsgd), {"kappa": 100.0, "xi": 4.0, "decay": 0.003}, rates=(0.01, 0.05)),
    "heavy_ball": Reference(per_tensor(heavy_ball), {"kappa": 25.0, "decay": 0.03}),
    "beta_normalized_gd": Reference(whole_tree(beta_normalized_gd), {"power": 0.5, "decay": 0.03}),
    "optimistic_mirror_descent": Reference(whole_tree(optimistic_mirror_descent), {"delta": 3.0, "decay": 0.03}),
}
