"""Rules that take a gradient at weights other than their own."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.search_space.zoo.authors.problem import Ask, oracle
from tests.search_space.zoo.harness import Reference

Array = np.ndarray


def unit(x: Array) -> Array:
    """x / |x|."""
    return x / np.linalg.norm(x)


def sam(s: Any, w: Array, lr: float, ask: Ask, radius: float = 0.05, decay: float = 0.0) -> Array:
    """Foret et al., arXiv:2010.01412, algorithm 1, p = 2."""
    ascended = w + radius * unit(ask.gradient(w))
    return -lr * (ask.gradient(ascended) + decay * w)


def gsam(s: Any, w: Array, lr: float, ask: Ask, radius: float = 0.05, alpha: float = 0.4, decay: float = 0.0) -> Array:
    """Zhuang et al., arXiv:2203.08065, algorithm 1."""
    g = ask.gradient(w)
    perturbed = ask.gradient(w + radius * unit(g))
    along = np.dot(g, unit(perturbed)) * unit(perturbed)
    return -lr * (perturbed - alpha * (g - along) + decay * w)


def gradient_regularization(s: Any, w: Array, lr: float, ask: Ask, gamma: float = 0.05, eps: float = 0.05, decay: float = 0.0) -> Array:
    """Karakida et al., arXiv:2210.02720, forward."""
    g = ask.gradient(w)
    return -lr * (g + gamma * (ask.gradient(w + eps * g) - g) / eps + decay * w)


def gradient_regularization_backward(
    s: Any, w: Array, lr: float, ask: Ask, gamma: float = 0.05, eps: float = 0.05, decay: float = 0.0
) -> Array:
    """Karakida et al., arXiv:2210.02720, backward."""
    g = ask.gradient(w)
    return -lr * (g + gamma * (g - ask.gradient(w - eps * g)) / eps + decay * w)


def gam(
    s: Any,
    w: Array,
    lr: float,
    ask: Ask,
    radius: float = 0.02,
    flat_radius: float = 0.2,
    b1: float = 0.6,
    b2: float = 0.5,
    b3: float = 0.4,
    gamma: float = 0.03,
    decay: float = 0.0,
) -> Array:
    """Zhang et al., arXiv:2303.03108, as in the authors' code: the mix of old gradients loses what is along the new direction."""
    g0 = ask.gradient(w)
    g1 = ask.gradient(w + radius * unit(g0))
    adversarial = w + flat_radius * unit(g1 - g0)
    g2 = ask.gradient(adversarial)
    g3 = ask.gradient(adversarial + radius * unit(g2))
    new, old = b1 * g1 + b3 * g3, g0 + abs(b2) * g2
    cosine = np.dot(old, new) / (np.linalg.norm(old) * np.linalg.norm(new))
    vertical = old - cosine * np.linalg.norm(old) * unit(new)
    return -lr * (new - gamma * vertical + decay * w)


def past_extragradient(s: Any, w: Array, lr: float, ask: Ask, decay: float = 0.0) -> Array:
    """Popov; Hsieh et al., arXiv:1908.08465: the half step reuses the last half-step gradient."""
    s.v = ask.gradient(w - lr * s.v)
    return -lr * (s.v + decay * w)


def extragradient(s: Any, w: Array, lr: float, ask: Ask, decay: float = 0.0) -> Array:
    """Korpelevich."""
    return -lr * (ask.gradient(w - lr * ask.gradient(w)) + decay * w)


def reflected_gradient(s: Any, w: Array, lr: float, ask: Ask, decay: float = 0.0) -> Array:
    """Malitsky; Hsieh et al., arXiv:1908.08465."""
    last = w if ask.t == 1 else s.last
    s.last = w
    return -lr * (ask.gradient(w + (w - last)) + decay * w)


def accelerated_optimistic_gradient(s: Any, w: Array, lr: float, ask: Ask, decay: float = 0.0) -> Array:
    """Cai & Zheng, arXiv:2301.13120, with k = t - 1 and no constraint."""
    if ask.t == 1:
        s.z0 = w
    k = ask.t - 1
    anchor = (s.z0 - w) / (k + 1)
    half = w - lr * s.v + anchor
    s.v = ask.gradient(half)
    return -lr * (s.v + decay * w) + anchor


def xgrad_momentum(s: Any, w: Array, lr: float, ask: Ask, b: float = 0.9, horizon: float = 1.0, decay: float = 0.0) -> Array:
    """Guan et al., arXiv:2305.18240, SGD with momentum."""
    g = ask.gradient(w - horizon * lr * s.m)
    s.m = b * s.m + g
    return -lr * (s.m + decay * w)


def xgrad_adamw(
    s: Any,
    w: Array,
    lr: float,
    ask: Ask,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    horizon: float = 1.0,
    decay: float = 0.0,
) -> Array:
    """Guan et al., arXiv:2305.18240, as in the authors' AdamW: no prediction before there is state."""
    t = ask.t
    ahead = s.m / (1 - b1 ** (t - 1)) / (np.sqrt(s.v / (1 - b2 ** (t - 1))) + eps) if t > 1 else 0.0
    g = ask.gradient(w - horizon * lr * ahead)
    s.m = b1 * s.m + (1 - b1) * g
    s.v = b2 * s.v + (1 - b2) * g**2
    return -lr * (s.m / (1 - b1**t) / (np.sqrt(s.v / (1 - b2**t)) + eps) + decay * w)


def adaptive_eta(s: Any, w: Array, lr: float, ask: Ask, alpha: float = 1e-3, decay: float = 0.0) -> Array:
    """Chen et al., arXiv:2301.02931: eta goes down the derivative of the loss after the step, -<g(w - eta g), g>."""
    g = ask.gradient(w)
    eta = lr if ask.t == 1 else s.eta
    s.eta = eta - alpha * -np.dot(ask.gradient(w - eta * g), g)
    return -s.eta * (g + decay * w)


TABLE: dict[str, Reference] = {
    "sam": oracle(sam, hypers={"radius": 0.3, "decay": 0.03}),
    "gsam": oracle(gsam, hypers={"radius": 0.3, "alpha": 0.7, "decay": 0.03}),
    "gradient_regularization": oracle(gradient_regularization, hypers={"gamma": 0.5, "eps": 0.7, "decay": 0.03}),
    "gradient_regularization_backward": oracle(gradient_regularization_backward, hypers={"gamma": 0.5, "eps": 0.7, "decay": 0.03}),
    "gam": oracle(gam, hypers={"radius": 0.3, "flat_radius": 0.5, "b1": 0.3, "b3": 0.6, "gamma": 0.1, "decay": 0.03}),
    "past_extragradient": oracle(past_extragradient),
    "extragradient": oracle(extragradient),
    "reflected_gradient": oracle(reflected_gradient),
    "accelerated_optimistic_gradient": oracle(accelerated_optimistic_gradient),
    "xgrad_momentum": oracle(xgrad_momentum, hypers={"b": 0.8, "horizon": 2.0, "decay": 0.03}),
    "xgrad_adamw": oracle(xgrad_adamw, hypers={"b1": 0.8, "horizon": 2.0, "decay": 0.03}),
    "adaptive_eta": oracle(adaptive_eta, hypers={"alpha": 0.05, "decay": 0.03}),
}
