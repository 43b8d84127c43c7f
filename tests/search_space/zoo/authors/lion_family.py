"""The family of Lion-K: an average of the gradient goes through the subgradient of a convex function K.

Chen et al., arXiv:2310.05898, table 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.search_space.zoo.authors.state import State, per_tensor
from tests.search_space.zoo.harness import Reference

Array = np.ndarray


def mixed(s: State, g: Array, b1: float, b2: float) -> Array:
    """b1 m + (1 - b1) g with the old average m, which then takes g with b2."""
    c = b1 * s.m + (1 - b1) * g
    s.m = b2 * s.m + (1 - b2) * g
    return c


def lion_lp(s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.99, p: float = 2.0, decay: float = 0.0) -> Any:
    """K = ‖·‖_p of a tensor: sign(c) |c|^(p-1) / ‖c‖_p^(p-1), 0 at 0."""
    c = mixed(s, g, b1, b2)
    size = np.sum(np.abs(c) ** p) ** (1 / p)
    direction = np.sign(c) * np.abs(c) ** (p - 1) / size ** (p - 1) if size > 0 else np.zeros_like(c)
    return -lr * (direction + decay * w)


def lion_group(s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.99, decay: float = 0.0) -> Any:
    """K = Σ ‖row‖₂ over the rows of the matrix view (all axes but the last); a vector is one row."""
    c = mixed(s, g, b1, b2)
    sizes = np.sqrt(np.sum(c**2, axis=-1, keepdims=True)) if c.ndim else np.abs(c)
    return -lr * (np.divide(c, sizes, out=np.zeros_like(c), where=sizes > 0) + decay * w)


def lion_huber(
    s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.99, width: float = 0.1, decay: float = 0.0
) -> Any:
    """K = Σ huber(c): c²/(2 width) inside ±width, |c| - width/2 outside."""
    c = mixed(s, g, b1, b2)
    return -lr * (np.where(np.abs(c) <= width, c / width, np.sign(c)) + decay * w)


def lion_threshold(
    s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.99, threshold: float = 0.01, decay: float = 0.0
) -> Any:
    """K = Σ max(|c| - threshold, 0)."""
    c = mixed(s, g, b1, b2)
    return -lr * (np.where(np.abs(c) > threshold, np.sign(c), 0.0) + decay * w)


def lion_topk(
    s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.99, share: float = 0.5, decay: float = 0.0
) -> Any:
    """Lion-K with K the sum of the largest |x| of a tensor: its sign where |x| reaches the quantile."""
    c = mixed(s, g, b1, b2)
    return -lr * (np.where(np.abs(c) >= np.quantile(np.abs(c), 1 - share), np.sign(c), 0.0) + decay * w)


TABLE: dict[str, Reference] = {
    "lion_lp": Reference(per_tensor(lion_lp), {"p": 3.0, "decay": 0.03}),
    "lion_group": Reference(per_tensor(lion_group)),
    "lion_huber": Reference(per_tensor(lion_huber), {"width": 0.5, "decay": 0.03}),
    "lion_threshold": Reference(per_tensor(lion_threshold), {"threshold": 0.2, "decay": 0.03}),
    "lion_topk": Reference(per_tensor(lion_topk), {"share": 0.3, "decay": 0.03}),
}
