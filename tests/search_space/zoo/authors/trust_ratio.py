"""Rules that compare the weights of a tensor with its gradient: trust ratios and projections."""

from __future__ import annotations

from typing import Any

import numpy as np
import optax

from tests.search_space.zoo.authors.adam_family import adam_direction
from tests.search_space.zoo.authors.state import State, from_optax, per_tensor
from tests.search_space.zoo.harness import Reference

Array = np.ndarray


def norm(x: Array) -> float:
    """Euclidean norm of a tensor."""
    return float(np.sqrt(np.sum(x**2)))


def lamb(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-6,
    low: float = 0.0,
    high: float = 1e30,
    decay: float = 0.0,
) -> Any:
    """You et al., arXiv:1904.00962, algorithm 2; the ratio is 1 where a norm is 0."""
    u = adam_direction(s, g, t, b1, b2, eps) + decay * w
    trust = min(max(norm(w), low), high) / norm(u) if norm(w) > 0 and norm(u) > 0 else 1.0
    return -lr * trust * u


def lars_momentum(
    s: State, g: Array, w: Array, t: int, lr: float, b: float = 0.9, low: float = 0.0, high: float = 1e30, decay: float = 0.0
) -> Any:
    """You et al., arXiv:1904.00962, algorithm 1; the ratio is 1 where a norm is 0."""
    s.m = b * s.m + (1 - b) * (g + decay * w)
    trust = min(max(norm(w), low), high) / norm(s.m) if norm(w) > 0 and norm(s.m) > 0 else 1.0
    return -lr * trust * s.m


def _lars(lr: float, b: float = 0.9, trust: float = 0.001, decay: float = 0.0) -> Any:
    return optax.lars(lr, weight_decay=decay, trust_coefficient=trust, momentum=b)


def tvlars(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b: float = 0.9,
    trust: float = 0.001,
    rate: float = 0.001,
    offset: float = 0.1,
    delay: float = 0.0,
    least: float = 0.0,
    cap: float = 10.0,
    decay: float = 0.0,
) -> Any:
    """Do et al., arXiv:2309.14053: the fading factor and floor of the paper in KhoiDOO/tvlars, whose norms are clamped to 10."""
    x = g + decay * w
    above, below = min(norm(w), cap), min(norm(x), cap)
    fade = max(1 / (offset + np.exp(rate * (t - delay))), least)
    q = trust * fade * above / below if above > 0 and below > 0 else 1.0
    s.m = b * s.m + q * x
    return -lr * s.m


def projected(g: Array, w: Array, u: Array, delta: float, ratio: float, eps: float) -> tuple[Array, float]:
    """(u without its part along w, factor of the decay), `_projection` of clovaai/AdamP; a channel is a column (output unit)."""
    if g.ndim < 2:
        return u, 1.0
    views = [lambda x: x.reshape(-1, x.shape[-1]).T, lambda x: x.reshape(1, -1)]
    for view in views:
        a, b = view(g), view(w)
        cosine = np.abs(np.sum(a * b, 1)) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), eps)
        if cosine.max() < delta / np.sqrt(b.shape[1]):
            n = b / (np.linalg.norm(b, axis=1, keepdims=True) + eps)
            rest = view(u) - n * np.sum(n * view(u), axis=1, keepdims=True)
            return (rest.T if view is views[0] else rest).reshape(u.shape), ratio
    return u, 1.0


def adamp(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b1: float = 0.9,
    b2: float = 0.999,
    delta: float = 0.1,
    ratio_decay: float = 0.1,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Any:
    """Heo et al., arXiv:2006.08217, clovaai/AdamP without Nesterov momentum."""
    s.m = b1 * s.m + (1 - b1) * g
    s.v = b2 * s.v + (1 - b2) * g**2
    perturb = s.m / (np.sqrt(s.v) / np.sqrt(1 - b2**t) + eps)
    perturb, factor = projected(g, w, perturb, delta, ratio_decay, eps)
    return -lr * decay * factor * w - lr / (1 - b1**t) * perturb


def sgdp(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b: float = 0.9,
    delta: float = 0.1,
    ratio_decay: float = 0.1,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Any:
    """The same with Nesterov momentum; decay is divided by 1 - momentum."""
    s.m = b * s.m + g
    u, factor = projected(g, w, g + b * s.m, delta, ratio_decay, eps)
    return -lr * decay * factor / (1 - b) * w - lr * u


def allora(s: State, g: Array, w: Array, t: int, lr: float, eta: float = 1.0, decay: float = 0.0) -> Any:
    """Huang & Balestriero, arXiv:2410.09692: the gradient of an output unit times 1/√(‖its weights‖ + 1/eta²)."""
    sizes = np.linalg.norm(w.reshape(-1, w.shape[-1] if w.ndim else 1), axis=0)
    return -lr * (g / np.sqrt(sizes + 1 / eta**2).reshape(w.shape[-1:]) + decay * w)


TABLE: dict[str, Reference] = {
    "lamb": Reference(per_tensor(lamb), {"low": 1.0, "high": 3.0, "decay": 0.01}, rates=(0.01, 0.05)),
    "lars": Reference(from_optax(_lars), {"trust": 0.01, "decay": 0.03}),
    "lars_momentum": Reference(per_tensor(lars_momentum), {"low": 1.0, "high": 3.0, "decay": 0.01}, rates=(0.01, 0.05)),
    "tvlars": Reference(per_tensor(tvlars), {"trust": 0.1, "rate": 0.05, "delay": 100.0, "least": 0.02, "decay": 0.03}),
    "adamp": Reference(per_tensor(adamp), {"delta": 1.0, "ratio_decay": 0.3, "decay": 0.03}),
    "sgdp": Reference(per_tensor(sgdp), {"delta": 1.0, "ratio_decay": 0.3, "decay": 0.003}, rates=(0.001, 0.01)),
    "allora": Reference(per_tensor(allora), {"eta": 3.0, "decay": 0.03}),
}
