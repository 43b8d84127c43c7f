"""Adam with its parts in another order, masked, or mixed with the gradient itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.search_space.zoo.authors.state import State, per_tensor
from tests.search_space.zoo.harness import Reference

Array = np.ndarray


def masked(u: Array, g: Array) -> Array:
    """u where it agrees with the gradient in sign, over the share of such elements (at least 0.001)."""
    mask = (u * g > 0).astype(float)
    return u * mask / max(float(mask.mean()), 1e-3)


def cautious_adamw(
    s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-6, decay: float = 0.0
) -> Any:
    """Liang et al., arXiv:2411.16085, kyleliang919/C-Optim."""
    s.m = b1 * s.m + (1 - b1) * g
    s.v = b2 * s.v + (1 - b2) * g**2
    size = lr * np.sqrt(1 - b2**t) / (1 - b1**t)
    return -size * masked(s.m, g) / (np.sqrt(s.v) + eps) - lr * decay * w


def cautious_lion(s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.99, decay: float = 0.0) -> Any:
    """The same for Lion."""
    u = masked(np.sign(b1 * s.m + (1 - b1) * g), g)
    s.m = b2 * s.m + (1 - b2) * g
    return -lr * (u + decay * w)


def laprop(
    s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-15, decay: float = 0.0
) -> Any:
    """Ziyin, Wang & Ueda, arXiv:2002.04839, Z-T-WANG/LaProp-Optimizer: the rate is inside of the average."""
    s.v = b2 * s.v + (1 - b2) * g**2
    s.m = b1 * s.m + lr * (1 - b1) * g / (np.sqrt(s.v / (1 - b2**t)) + eps)
    return -s.m / (1 - b1**t) - lr * decay * w


def adalayer(
    s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 0.0
) -> Any:
    """Zhao et al., arXiv:2407.07972: Adam with the tensor's mean of squares."""
    s.m = b1 * s.m + (1 - b1) * g
    s.v = b2 * s.v + (1 - b2) * np.mean(g**2)
    return -lr * (s.m / (1 - b1**t) / (np.sqrt(s.v / (1 - b2**t)) + eps) + decay * w)


def qhm(s: State, g: Array, w: Array, t: int, lr: float, b: float = 0.999, nu: float = 0.7, decay: float = 0.0) -> Any:
    """Ma & Yarats, arXiv:1810.06801, algorithm 1."""
    s.m = b * s.m + (1 - b) * g
    return -lr * ((1 - nu) * g + nu * s.m + decay * w)


def qhadam(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b1: float = 0.995,
    b2: float = 0.999,
    nu1: float = 0.7,
    nu2: float = 1.0,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Any:
    """Ma & Yarats, arXiv:1810.06801, section 4."""
    s.m = b1 * s.m + (1 - b1) * g
    s.v = b2 * s.v + (1 - b2) * g**2
    above = (1 - nu1) * g + nu1 * s.m / (1 - b1**t)
    below = np.sqrt((1 - nu2) * g**2 + nu2 * s.v / (1 - b2**t)) + eps
    return -lr * (above / below + decay * w)


def aggmo(s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.99, decay: float = 0.0) -> Any:
    """Lucas et al., arXiv:1804.00325: the mean of velocities with damping 0, b1 and b2."""
    dampings = (0.0, b1, b2)
    old = s.velocities if t > 1 else (0.0, 0.0, 0.0)
    s.velocities = [b * v + g for b, v in zip(dampings, old, strict=True)]
    return -lr * (np.mean(s.velocities, axis=0) + decay * w)


TABLE: dict[str, Reference] = {
    "cautious_adamw": Reference(per_tensor(cautious_adamw), {"b1": 0.8, "decay": 0.03}),
    "cautious_lion": Reference(per_tensor(cautious_lion), {"b1": 0.8, "decay": 0.03}),
    "laprop": Reference(per_tensor(laprop), {"b1": 0.8, "decay": 0.03}),
    "adalayer": Reference(per_tensor(adalayer), {"b1": 0.8, "decay": 0.03}),
    "qhm": Reference(per_tensor(qhm), {"nu": 0.5, "decay": 0.03}),
    "qhadam": Reference(per_tensor(qhadam), {"nu1": 0.5, "nu2": 0.8, "decay": 0.03}),
    "aggmo": Reference(per_tensor(aggmo), {"b2": 0.95, "decay": 0.03}),
}
