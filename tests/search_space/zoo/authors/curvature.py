"""Rules that ask for products with the Hessian or the Gauss-Newton matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.search_space.zoo.authors.problem import Ask, each, oracle
from tests.search_space.zoo.harness import MATRIX_TOLERANCE, Reference

Array = np.ndarray


def _sophia(s: Any, w: Array, lr: float, g: Array, b1: float, gamma: float, eps: float, decay: float) -> Array:
    """Liu et al., arXiv:2305.14342, algorithm 3, after the diagonal: decay first, then a clipped step."""
    s.m = b1 * s.m + (1 - b1) * g
    return -lr * decay * w - lr * np.clip(s.m / np.maximum(gamma * s.h, eps), -1, 1)


def sophia_h(
    s: Any,
    w: Array,
    lr: float,
    ask: Ask,
    b1: float = 0.96,
    b2: float = 0.99,
    gamma: float = 0.01,
    eps: float = 1e-12,
    decay: float = 0.0,
) -> Array:
    """Hutchinson's estimate with a normal probe, every 10 steps from the first."""
    if ask.t % 10 == 1:
        u = ask.normal(0.0)
        s.h = b2 * s.h + (1 - b2) * u * ask.hessian_vector(w, u)
    return _sophia(s, w, lr, ask.gradient(w), b1, gamma, eps, decay)


def sophia_g(
    s: Any,
    w: Array,
    lr: float,
    ask: Ask,
    b1: float = 0.96,
    b2: float = 0.99,
    gamma: float = 0.05,
    eps: float = 1e-12,
    decay: float = 0.0,
) -> Array:
    """Gauss-Newton-Bartlett estimate: B times the squared gradient with drawn labels, every 10 steps from the first."""
    if ask.t % 10 == 1:
        s.h = b2 * s.h + (1 - b2) * ask.examples * ask.sampled_gradient(w) ** 2
    return _sophia(s, w, lr, ask.gradient(w), b1, gamma, eps, decay)


def _block_mean(x: Array) -> Array:
    """Mean over the window of a kernel; smaller tensors as they are."""
    return np.mean(x, axis=tuple(range(x.ndim - 2)), keepdims=True) if x.ndim > 2 else x


def adahessian(
    s: Any,
    w: Array,
    lr: float,
    ask: Ask,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-4,
    power: float = 1.0,
    decay: float = 0.0,
) -> Array:
    """Yao et al., arXiv:2006.00719, as in the authors' code."""
    z, t = ask.rademacher(0.0), ask.t
    d = each(lambda x: _block_mean(np.abs(x)), z * ask.hessian_vector(w, z))
    s.m = b1 * s.m + (1 - b1) * ask.gradient(w)
    s.v = b2 * s.v + (1 - b2) * d**2
    return -lr * (s.m / (1 - b1**t) / ((s.v / (1 - b2**t)) ** (power / 2) + eps) + decay * w)


def oasis(s: Any, w: Array, lr: float, ask: Ask, b2: float = 0.999, alpha: float = 0.01, decay: float = 0.0) -> Array:
    """Jahani et al., arXiv:2109.05198, algorithm with the adaptive step; the diagonal starts as the first probe."""
    z, g = ask.rademacher(0.0), ask.gradient(w)
    probe = z * ask.hessian_vector(w, z)
    if ask.t == 1:
        s.d, s.eta, s.theta = probe, lr, np.inf
    else:
        s.d = b2 * s.d + (1 - b2) * probe
    p = np.maximum(np.abs(s.d), alpha)
    if ask.t > 1:
        dw, dg = w - s.w, g - ask.gradient(s.w)
        bound = np.sqrt(np.sum(p * dw**2)) / (2 * np.sqrt(np.sum(dg**2 / p)))
        new = min(np.sqrt(1 + s.theta) * s.eta, bound)
        s.eta, s.theta = new, new / s.eta
    s.w = w
    return -s.eta * (g / p + decay * w)


def thermodynamic_ngd(
    s: Any, w: Array, lr: float, ask: Ask, rate: float = 0.1, damping: float = 0.1, temperature: float = 0.0, decay: float = 0.0
) -> Array:
    """Donatella et al., arXiv:2405.13817: Euler-Maruyama steps of dx = -(F x + damping x - g) dt + sqrt(2 T) dW."""
    g = ask.gradient(w)
    x = np.zeros_like(w) + s.x
    for k in range(10):
        drift = ask.gauss_newton_vector(w, x) + damping * x - g
        x = x - rate * drift + np.sqrt(rate) * np.sqrt(2 * temperature) * ask.normal(float(k))
    s.x = x
    return -lr * (x + decay * w)


def trpo(s: Any, w: Array, lr: float, ask: Ask, delta: float = 0.01, damping: float = 0.1, decay: float = 0.0) -> Array:
    """Schulman et al., arXiv:1502.05477, appendix C; the first of 10 halvings that lowers the loss."""
    g = ask.gradient(w)
    fisher = lambda v: ask.gauss_newton_vector(w, v) + damping * v  # noqa: E731
    x, r, p = np.zeros_like(w), g.copy(), g.copy()
    for _ in range(10):
        fp = fisher(p)
        step = np.dot(r, r) / np.dot(p, fp)
        x, new = x + step * p, r - step * fp
        r, p = new, new + np.dot(new, new) / np.dot(r, r) * p
    full = lr * np.sqrt(2 * delta / np.dot(x, fisher(x))) * x
    sizes = [0.5**j for j in range(10) if ask.value(w - 0.5**j * full) < ask.value(w)]
    return -(sizes[0] if sizes else 0.0) * full - lr * decay * w


CLIPPED = 2e-4
"""Of Sophia only elements with a tiny average gradient are not clipped, and float32 holds few digits of that, in any writing."""

TABLE: dict[str, Reference] = {
    "sophia_h": oracle(sophia_h, hypers={"b1": 0.9, "gamma": 20.0, "decay": 0.03}, tolerance=CLIPPED),
    "sophia_g": oracle(sophia_g, hypers={"b1": 0.9, "gamma": 10.0, "decay": 0.03}, tolerance=CLIPPED),
    "adahessian": oracle(adahessian, hypers={"b1": 0.8, "power": 0.5, "decay": 0.03}),
    "oasis": oracle(oasis, hypers={"b2": 0.9, "alpha": 0.03, "decay": 0.03}),
    "thermodynamic_ngd": oracle(thermodynamic_ngd, hypers={"rate": 0.3, "temperature": 1e-3, "decay": 0.03}, tolerance=MATRIX_TOLERANCE),
    "trpo": oracle(trpo, hypers={"delta": 0.1, "damping": 0.3, "decay": 0.03}, tolerance=MATRIX_TOLERANCE, rates=(1.0, 9.0)),
}
