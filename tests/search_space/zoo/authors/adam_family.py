"""Adam and its relatives, as their papers and authors' code write them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.search_space.zoo.authors.state import State, per_tensor
from tests.search_space.zoo.harness import Reference

Array = np.ndarray


def adam_direction(s: State, g: Array, t: int, b1: float, b2: float, eps: float) -> Any:
    """Kingma & Ba, arXiv:1412.6980, algorithm 1, without the learning rate."""
    s.m = b1 * s.m + (1 - b1) * g
    s.v = b2 * s.v + (1 - b2) * g**2
    return (s.m / (1 - b1**t)) / (np.sqrt(s.v / (1 - b2**t)) + eps)


def amsgrad(
    s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 0.0
) -> Any:
    """Reddi, Kale & Kumar, arXiv:1904.09237, algorithm 2, with the usual epsilon."""
    s.m = b1 * s.m + (1 - b1) * g
    s.v = b2 * s.v + (1 - b2) * g**2
    s.top = np.maximum(s.top, s.v)
    return -lr * (s.m / (np.sqrt(s.top) + eps) + decay * w)


def adabelief(
    s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-16, decay: float = 0.0
) -> Any:
    """Zhuang et al., arXiv:2010.07468, algorithm 2: epsilon is added to the slot at every step."""
    s.m = b1 * s.m + (1 - b1) * g
    s.s = b2 * s.s + (1 - b2) * (g - s.m) ** 2 + eps
    return -lr * (s.m / (1 - b1**t) / (np.sqrt(s.s / (1 - b2**t)) + eps) + decay * w)


TABLE: dict[str, Reference] = {
    "amsgrad": Reference(per_tensor(amsgrad), {"b1": 0.8, "decay": 0.03}),
    "adabelief": Reference(per_tensor(adabelief), {"b1": 0.8, "decay": 0.03}),
}
