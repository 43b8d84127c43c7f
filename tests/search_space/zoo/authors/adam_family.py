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


def diffgrad(
    s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 0.0
) -> Any:
    """Dubey et al., arXiv:1909.11015, with the stored gradient of the authors' repaired code; the first old gradient is 0."""
    friction = 1 / (1 + np.exp(-np.abs(s.old - g)))
    s.m = b1 * s.m + (1 - b1) * g
    s.v = b2 * s.v + (1 - b2) * g**2
    s.old = g
    return -lr * (np.sqrt(1 - b2**t) / (1 - b1**t) * friction * s.m / (np.sqrt(s.v) + eps) + decay * w)


def ademamix(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b1: float = 0.9,
    b2: float = 0.999,
    b3: float = 0.9999,
    alpha: float = 5.0,
    horizon: float = 0.0,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Any:
    """Pagliardini et al., arXiv:2409.03137, algorithm 1, with the schedulers of alpha and b3 (which starts at b1)."""
    now_b3, now_alpha = b3, alpha
    if horizon > 0:
        x, start, end = t / horizon, np.log(b1), np.log(b3)
        now_alpha = min(x * alpha, alpha)
        now_b3 = min(np.exp(start * end / ((1 - x) * end + x * start)), b3) if x < 1 else b3
    s.m = b1 * s.m + (1 - b1) * g
    s.slow = now_b3 * s.slow + (1 - now_b3) * g
    s.v = b2 * s.v + (1 - b2) * g**2
    u = (s.m / (1 - b1**t) + now_alpha * s.slow) / (np.sqrt(s.v / (1 - b2**t)) + eps)
    return -lr * (u + decay * w)


def grams(
    s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-6, decay: float = 0.0
) -> Any:
    """Cao et al., arXiv:2412.17107: Adam's absolute value with the sign of the gradient."""
    return -lr * (np.sign(g) * np.abs(adam_direction(s, g, t, b1, b2, eps)) + decay * w)


def grokfast(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    alpha: float = 0.98,
    amplify: float = 2.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Any:
    """Lee et al., arXiv:2405.20233, gradfilter_ema of the authors' code, then AdamW."""
    s.h = g if t == 1 else alpha * s.h + (1 - alpha) * g
    return -lr * (adam_direction(s, g + amplify * s.h, t, b1, b2, eps) + decay * w)


def grokfast_ema(s: State, g: Array, w: Array, t: int, lr: float, alpha: float = 0.98, amplify: float = 2.0, decay: float = 0.0) -> Any:
    """Lee et al., arXiv:2405.20233, gradfilter_ema of the authors' code before SGD."""
    s.h = g if t == 1 else alpha * s.h + (1 - alpha) * g
    return -lr * (g + amplify * s.h + decay * w)


def adabound(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b1: float = 0.9,
    b2: float = 0.999,
    final: float = 0.1,
    gamma: float = 1e-3,
    eps: float = 1e-8,
    decay: float = 0.0,
    amsbound: bool = False,
) -> Any:
    """Luo et al., arXiv:1902.09843, the authors' code at a constant learning rate."""
    s.m = b1 * s.m + (1 - b1) * g
    s.v = b2 * s.v + (1 - b2) * g**2
    s.top = np.maximum(s.top, s.v)
    denominator = np.sqrt(s.top if amsbound else s.v) + eps
    lower, upper = final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))
    rate = np.clip(lr * np.sqrt(1 - b2**t) / (1 - b1**t) / denominator, lower, upper)
    return -rate * s.m - lr * decay * w


def amsbound(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b1: float = 0.9,
    b2: float = 0.999,
    final: float = 0.1,
    gamma: float = 1e-3,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Any:
    """The variant of AdaBound over AMSGrad."""
    return adabound(s, g, w, t, lr, b1, b2, final, gamma, eps, decay, amsbound=True)


def adan(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b1: float = 0.98,
    b2: float = 0.92,
    b3: float = 0.99,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Any:
    """Xie et al., arXiv:2208.06677, sail-sg/Adan with no_prox off: the second direction has weight b2."""
    change = np.zeros_like(g) if t == 1 else g - s.old
    s.m = b1 * s.m + (1 - b1) * g
    s.d = b2 * s.d + (1 - b2) * change
    s.n = b3 * s.n + (1 - b3) * (g + b2 * change) ** 2
    s.old = g
    denominator = np.sqrt(s.n) / np.sqrt(1 - b3**t) + eps
    moved = w - lr * (s.m / (1 - b1**t) / denominator + b2 * s.d / (1 - b2**t) / denominator)
    return moved / (1 + lr * decay) - w


def corrected(s: State, g: Array, b1: float, gamma: float) -> Array:
    """The variance-reduced, clipped gradient of MARS."""
    c = g + gamma * b1 / (1 - b1) * (g - s.old)
    s.old = g
    size = np.linalg.norm(c)
    return c / size if size > 1 else c


def mars_adamw(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b1: float = 0.95,
    b2: float = 0.99,
    gamma: float = 0.025,
    b1_rest: float = 0.9,
    b2_rest: float = 0.95,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Any:
    """Yuan et al., arXiv:2411.10438, AGI-Arena/MARS with is_approx; what has not two axes goes to AdamW."""
    if g.ndim == 2:
        return -lr * (adam_direction(s, corrected(s, g, b1, gamma), t, b1, b2, eps) + decay * w)
    return -lr * (adam_direction(s, g, t, b1_rest, b2_rest, eps) + decay * w)


def mars_lion(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b1: float = 0.95,
    gamma: float = 0.025,
    b1_rest: float = 0.9,
    b2_rest: float = 0.95,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Any:
    """The same with the sign of the average."""
    if g.ndim == 2:
        s.m = b1 * s.m + (1 - b1) * corrected(s, g, b1, gamma)
        return -lr * (np.sign(s.m) + decay * w)
    return -lr * (adam_direction(s, g, t, b1_rest, b2_rest, eps) + decay * w)


TABLE: dict[str, Reference] = {
    "amsgrad": Reference(per_tensor(amsgrad), {"b1": 0.8, "decay": 0.03}),
    "adabelief": Reference(per_tensor(adabelief), {"b1": 0.8, "decay": 0.03}),
    "diffgrad": Reference(per_tensor(diffgrad), {"b1": 0.8, "decay": 0.03}),
    "ademamix": Reference(per_tensor(ademamix), {"horizon": 150.0, "b3": 0.999, "alpha": 8.0, "decay": 0.03}),
    "grams": Reference(per_tensor(grams)),
    "grokfast": Reference(per_tensor(grokfast), {"alpha": 0.9, "amplify": 5.0, "decay": 0.03}),
    "adabound": Reference(per_tensor(adabound), {"final": 0.05, "gamma": 0.1, "decay": 0.03}),
    "amsbound": Reference(per_tensor(amsbound), {"final": 0.05, "gamma": 0.1, "decay": 0.03}),
    "adan": Reference(per_tensor(adan), {"b2": 0.8, "decay": 0.03}),
    "mars_adamw": Reference(per_tensor(mars_adamw), {"gamma": 0.1, "b1": 0.8, "b1_rest": 0.7, "decay": 0.03}),
    "mars_lion": Reference(per_tensor(mars_lion), {"gamma": 0.1, "b1": 0.8, "decay": 0.03}),
    "grokfast_ema": Reference(per_tensor(grokfast_ema), {"alpha": 0.9, "amplify": 5.0, "decay": 0.03}),
}
