"""Rules that reduce variance, build models of the loss, or accelerate with several sequences of weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.search_space.zoo.authors.problem import NAMES, SIZES, Ask, each, oracle
from tests.search_space.zoo.harness import SHAPES, Reference

Array = np.ndarray
VECTORS = np.concatenate([np.full(n, len(SHAPES[k]) < 2) for k, n in zip(NAMES, SIZES, strict=True)])
"""Where an element belongs to a tensor of fewer than two axes."""


def mars_exact(
    s: Any,
    w: Array,
    lr: float,
    ask: Ask,
    b1: float = 0.95,
    b2: float = 0.99,
    b1_vector: float = 0.9,
    b2_vector: float = 0.95,
    gamma: float = 0.025,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Array:
    """Yuan et al., arXiv:2411.10438, MARS-AdamW with the exact gradient difference; vectors by AdamW."""
    g, t = ask.gradient(w), ask.t
    last = ask.gradient(w if t == 1 else s.w)
    c = each(lambda x: x / max(1.0, float(np.linalg.norm(x))), g + gamma * b1 / (1 - b1) * (g - last))
    c = np.where(VECTORS, g, c)
    keep1, keep2 = np.where(VECTORS, b1_vector, b1), np.where(VECTORS, b2_vector, b2)
    s.m = keep1 * s.m + (1 - keep1) * c
    s.v = keep2 * s.v + (1 - keep2) * c**2
    s.w = w
    return -lr * (s.m / (1 - keep1**t) / (np.sqrt(s.v / (1 - keep2**t)) + eps) + decay * w)


def spider(s: Any, w: Array, lr: float, ask: Ask, period: float = 100.0, decay: float = 0.0) -> Array:
    """Fang et al.; Chen et al., arXiv:2303.02854, algorithm 2."""
    restart = (ask.t - 1) % int(period) == 0
    s.v = ask.gradient(w) if restart else s.v + ask.gradient(w) - ask.gradient(s.w)
    s.w = w
    return -lr * (s.v / np.linalg.norm(s.v) + decay * w)


def igt(s: Any, w: Array, lr: float, ask: Ask, power: float = 0.8, decay: float = 0.0) -> Array:
    """Fatkhullin et al., arXiv:2302.01734, N-PG-IGT with gamma_t = t^-power."""
    gamma = ask.t**-power
    point = w if ask.t == 1 else w + (1 - gamma) / gamma * (w - s.w)
    s.d = (1 - gamma) * s.d + gamma * ask.gradient(point)
    s.w = w
    return -lr * (s.d / np.linalg.norm(s.d) + decay * w)


def _snr(ask: Ask, w: Array, gamma: float) -> Array:
    """Signal-to-noise ratio of each weight's gradient, 1 on average in each tensor, clipped."""
    g = ask.gradient(w)
    ratio = g**2 / (ask.mean_square_gradient(w) - g**2)
    return np.clip(each(lambda r: r / np.mean(r), ratio), gamma, 1)


def vr_sgd(s: Any, w: Array, lr: float, ask: Ask, gamma: float = 0.1, decay: float = 0.0) -> Array:
    """Jiang et al., arXiv:2309.13681."""
    return -lr * (_snr(ask, w, gamma) * ask.gradient(w) + decay * w)


def vr_adam(
    s: Any,
    w: Array,
    lr: float,
    ask: Ask,
    b1: float = 0.9,
    b2: float = 0.999,
    b3: float = 0.9,
    gamma: float = 0.1,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Array:
    """Jiang et al., arXiv:2309.13681: Adam on the gradient times a bias-corrected average of the ratio."""
    t = ask.t
    s.p = b3 * s.p + (1 - b3) * _snr(ask, w, gamma)
    d = s.p / (1 - b3**t) * ask.gradient(w)
    s.m = b1 * s.m + (1 - b1) * d
    s.v = b2 * s.v + (1 - b2) * d**2
    return -lr * (s.m / (1 - b1**t) / (np.sqrt(s.v / (1 - b2**t)) + eps) + decay * w)


def smb(s: Any, w: Array, lr: float, ask: Ask, c: float = 0.1, eta: float = 0.99, decay: float = 0.0) -> Array:
    """Birbil et al., arXiv:2111.07058, as in the authors' code."""
    g = ask.gradient(w)
    trial = -lr * g
    if ask.value(w + trial) <= ask.value(w) - c * lr * np.dot(g, g):
        return trial - lr * decay * w
    return each(lambda g, gt: _model_step(g, gt, lr, eta), g, ask.gradient(w + trial)) - lr * decay * w


def _model_step(g: Array, gt: Array, lr: float, eta: float) -> Array:
    """Minimiser of the quadratic model of one tensor."""
    s, y = -lr * g, gt - g
    sg, ys, ss, yy, yg, gg = (float(np.sum(a * b)) for a, b in ((s, g), (y, s), (s, s), (y, y), (y, g), (g, g)))
    sigma = 0.5 * (np.sqrt(ss) * (np.sqrt(yy) + np.sqrt(gg) / eta) - ys)
    theta = (ys + 2 * sigma) ** 2 - ss * yy
    cg = -ss / (2 * sigma)
    cs = cg / theta * (-(ys + 2 * sigma) * yg + yy * sg)
    cy = cg / theta * (-(ys + 2 * sigma) * sg + ss * yg)
    return cg * g + cs * s + cy * y


def interpolation_nesterov(s: Any, w: Array, lr: float, ask: Ask, mu: float = 0.0, decay: float = 0.0) -> tuple[Array, Array]:
    """Mishkin et al., arXiv:2404.02378: alpha_k solves a² = (1 - a) alpha_{k-1}² + mu eta a; the weights are y, w_k is evaluated."""
    alpha, x = (1.0, w) if ask.t == 1 else (s.alpha, s.x)
    new = w - lr * (ask.gradient(w) + decay * w)
    s.alpha = max(np.roots([1.0, alpha**2 - mu * lr, -(alpha**2)]))
    y = new + alpha * (1 - alpha) / (alpha**2 + s.alpha) * (new - x)
    s.x = new
    return y - w, new


def opt_amsgrad(s: Any, w: Array, lr: float, ask: Ask, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 0.0) -> Array:
    """Wang et al., arXiv:1903.01435, with the last gradient as the prediction."""
    g = ask.gradient(w)
    return _optimistic(s, w, lr, ask, g, g, b1, b2, eps, decay)


def opt_amsgrad_extrapolated(
    s: Any,
    w: Array,
    lr: float,
    ask: Ask,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    eps_fit: float = 0.01,
    decay: float = 0.0,
) -> Array:
    """Wang et al., arXiv:1903.01435, with Scieur et al.'s regularised extrapolation of the last 5 gradients."""
    g = ask.gradient(w)
    s.past = [g, *(s.past or [])][:6]
    if len(s.past) < 6:
        return _optimistic(s, w, lr, ask, g, g, b1, b2, eps, decay)
    differences = np.stack([s.past[i] - s.past[i + 1] for i in range(5)])
    gram = differences @ differences.T
    z = np.linalg.solve(gram / np.trace(gram) + eps_fit * np.eye(5), np.ones(5))
    return _optimistic(s, w, lr, ask, g, (z / z.sum()) @ np.stack(s.past[:5]), b1, b2, eps, decay)


def _optimistic(s: Any, w: Array, lr: float, ask: Ask, g: Array, guess: Array, b1: float, b2: float, eps: float, decay: float) -> Array:
    """Algorithm 2 of the paper, given a guess of the next gradient."""
    s.m = b1 * s.m + (1 - b1) * g
    s.v = b2 * s.v + (1 - b2) * g**2
    s.top = np.maximum(s.top, s.v)
    s.z = (w if ask.t == 1 else s.z) - lr * (s.m / (np.sqrt(s.top) + eps) + decay * w)
    predicted = b1 * s.m + (1 - b1) * guess
    return s.z - lr * predicted / (np.sqrt(s.top) + eps) - w


def _mcp(x: Array, step: float, penalty: float, concavity: float) -> Array:
    """Proximal map of `step` times the minimax concave penalty."""
    inner = np.sign(x) * np.maximum(np.abs(x) - step * penalty, 0) / (1 - step / concavity)
    return np.where(np.abs(x) <= concavity * penalty, inner, x)


def nonconvex_ag(
    s: Any, w: Array, lr: float, ask: Ask, penalty: float = 0.0, concavity: float = 3.0, decay: float = 0.0
) -> tuple[Array, Array]:
    """Ghadimi & Lan, arXiv:1310.3787, algorithm 2: the weights are x_md, the aggregate is evaluated."""
    k = ask.t
    x = w if k == 1 else s.x
    g = ask.gradient(w) + decay * w
    rate = (1 + 2 / (k + 1) / 4) * lr
    s.x = _mcp(x - rate * g, rate, penalty, concavity)
    aggregate = _mcp(w - lr * g, lr, penalty, concavity)
    alpha = 2 / (k + 2)
    return alpha * aggregate + (1 - alpha) * s.x - w, aggregate


SEQUENCES = 3e-5
"""The formulas keep absolute sequences of weights, to which the float32 rounding of 200 updates adds up; in float32 they miss by more."""

TABLE: dict[str, Reference] = {
    "mars_exact": oracle(mars_exact, hypers={"b1": 0.9, "gamma": 0.1, "b1_vector": 0.8, "decay": 0.03}),
    "spider": oracle(spider, hypers={"period": 7.0, "decay": 0.03}),
    "igt": oracle(igt, hypers={"power": 0.5, "decay": 0.03}),
    "vr_sgd": oracle(vr_sgd, hypers={"gamma": 0.3, "decay": 0.03}),
    "vr_adam": oracle(vr_adam, hypers={"b3": 0.5, "gamma": 0.3, "decay": 0.03}),
    "smb": oracle(smb, hypers={"c": 0.3, "eta": 0.5, "decay": 0.03}, rates=(1.0, 9.0)),
    "interpolation_nesterov": oracle(interpolation_nesterov, rounded=False, hypers={"mu": 0.05, "decay": 0.03}),
    "opt_amsgrad": oracle(opt_amsgrad, rounded=False, tolerance=SEQUENCES, hypers={"b1": 0.8, "decay": 0.03}),
    "opt_amsgrad_extrapolated": oracle(
        opt_amsgrad_extrapolated, rounded=False, tolerance=SEQUENCES, hypers={"b1": 0.8, "eps_fit": 0.1, "decay": 0.03}
    ),
    "nonconvex_ag": oracle(nonconvex_ag, rounded=False, tolerance=SEQUENCES, hypers={"penalty": 0.05, "decay": 0.03}),
}
