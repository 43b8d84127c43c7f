"""Rules with one number for each tensor or for all tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optax

from tests.search_space.zoo.authors.momentum_family import global_norm
from tests.search_space.zoo.authors.state import State, from_optax, per_tensor, whole_tree
from tests.search_space.zoo.harness import Reference, Tree

Array = np.ndarray


def rms(x: Array) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(x**2)))


def guarded(a: Array, b: Array) -> Array:
    """a / b, 0 where b is 0."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def fadam(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b1: float = 0.9,
    b2: float = 0.999,
    power: float = 0.5,
    threshold: float = 1.0,
    scale: float = 0.01,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Any:
    """Hwang, arXiv:2405.12807, algorithm 1; 0 / 0 is 0."""
    b = b2 * (1 - b2 ** (t - 1)) / (1 - b2**t)
    s.f = b * s.f + (1 - b) * g**2
    root = np.asarray(s.f**power + min(eps, scale * rms(g)))
    natural = guarded(g, root)
    s.m = b1 * s.m + (1 - b1) * natural / max(1.0, rms(natural) / threshold)
    pull = guarded(w, root)
    return -lr * (s.m + decay * pull / max(1.0, rms(pull) / threshold))


def adaptive_braking(s: State, g: Array, w: Array, t: int, lr: float, b: float = 0.9, brake: float = 2.0, decay: float = 0.0) -> Any:
    """Venigalla et al., arXiv:2007.01397: the gradient times 1 - brake · cos(gradient, velocity)."""
    sizes = np.sqrt(np.sum(g**2) * np.sum(s.m**2 + 0 * g))
    cosine = np.sum(g * s.m) / sizes if sizes > 0 else 0.0
    s.m = b * s.m + (1 - brake * cosine) * g
    return -lr * (s.m + decay * w)


def _clipped_sgd(lr: float, threshold: float = 1.0, decay: float = 0.0) -> Any:
    return optax.chain(optax.clip_by_global_norm(threshold), optax.add_decayed_weights(decay), optax.sgd(lr))


def sgd_sai(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Mapping[str, Any],
    b: float = 0.9,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Tree:
    """Xu et al., arXiv:2412.11768, AnonymousAlethiometer/SGD_SaI: torch's std is unbiased, and NaN of one number counts as 0."""
    if t == 1:
        spread = {k: float(np.std(g, ddof=1)) if g.size > 1 else 0.0 for k, g in grads.items()}
        snr = {k: np.sqrt(np.sum(g**2)) / (spread[k] + eps) for k, g in grads.items()}
        s.scale = {k: v / max(snr.values()) for k, v in snr.items()}
        s.m = grads
    else:
        s.m = {k: b * s.m[k] + (1 - b) * g for k, g in grads.items()}
    return {k: -lr * (s.scale[k] * s.m[k] + decay * params[k]) for k in grads}


def polyak_sgd(
    s: State, grads: Tree, params: Tree, t: int, lr: float, extra: Mapping[str, Any], lower: float = 0.0, decay: float = 0.0
) -> Tree:
    """Loizou et al., arXiv:2002.10542: min((f - f*) / ‖g‖², cap); no step where the gradient is 0."""
    size = global_norm(grads) ** 2
    step = min((extra["f"] - lower) / size if size > 0 else 0.0, lr)
    return {k: -step * (g + decay * params[k]) for k, g in grads.items()}


def polyak_momentum(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Mapping[str, Any],
    b: float = 0.9,
    c: float = 1.0,
    lower: float = 0.0,
    decay: float = 0.0,
) -> Tree:
    """Wang, Johansson & Zhang, arXiv:2305.12939, ALR-SMAG: d = g + b d, min((f - f*) / (c ‖d‖²), cap)."""
    s.d = {k: g + b * (s.d[k] if t > 1 else 0.0) for k, g in grads.items()}
    size = c * global_norm(s.d) ** 2
    step = min((extra["f"] - lower) / size if size > 0 else 0.0, lr)
    return {k: -step * (s.d[k] + decay * params[k]) for k in grads}


def polyak_heavy_ball(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Mapping[str, Any],
    b: float = 0.9,
    lower: float = 0.0,
    decay: float = 0.0,
) -> Tree:
    """ALR-SHB of the same paper: x' = x - η g + b (x - x_old), η = min((f - f* + b ⟨g, x - x_old⟩) / ‖g‖², cap)."""
    move = s.move if t > 1 else {k: 0.0 * g for k, g in grads.items()}
    size = global_norm(grads) ** 2
    along = sum(float(np.sum(grads[k] * move[k])) for k in grads)
    step = min((extra["f"] - lower + b * along) / size if size > 0 else 0.0, lr)
    s.move = {k: -step * (g + decay * params[k]) + b * move[k] for k, g in grads.items()}
    return s.move


def autosparse(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Mapping[str, Any],
    start: float = -5.0,
    alpha: float = 0.5,
    horizon: float = 1000.0,
    decay: float = 0.0,
) -> Tree:
    """Kundu et al., arXiv:2304.06941: W' = sign(W) relu(|W| - sigmoid(s)), whose derivative is alpha below the threshold."""
    weight = alpha * (1 + np.cos(np.pi * min((t - 1) / horizon, 1.0))) / 2
    s.s = s.s if t > 1 else dict.fromkeys(grads, start)
    out = {}
    for k, g in extra["gs"].items():
        threshold = 1 / (1 + np.exp(-s.s[k]))
        through = np.where(np.abs(params[k]) > threshold, 1.0, weight)
        slope = -threshold * (1 - threshold) * np.sign(params[k]) * through
        out[k] = -lr * (g * through + decay * params[k])
        s.s[k] = s.s[k] - lr * np.sum(g * slope)
    return out


def ramsgrad(s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.999, decay: float = 0.0) -> Any:
    """Bécigneul & Ganea, arXiv:1810.00760, figure 1, one factor: the sphere of radius ‖w‖; one number cannot move on it.

    exp_x(v) = cos(‖v‖/R) x + R sin(‖v‖/R) v/‖v‖; transport keeps what is orthogonal to v and turns v by the same angle.
    """
    if g.size == 1:
        return 0.0 * g - lr * decay * w
    radius = np.sqrt(np.sum(w**2))
    tangent = g - np.sum(g * w) * w / radius**2
    s.m = b1 * (s.m + 0 * g) + (1 - b1) * tangent
    s.v = b2 * s.v + (1 - b2) * np.sum(tangent**2)
    s.top = max(s.top, s.v)
    v = -lr * s.m / np.sqrt(s.top)
    length = np.sqrt(np.sum(v**2))
    unit = v / length if length > 0 else 0.0 * v
    angle = length / radius
    moved = np.cos(angle) * w + radius * np.sin(angle) * unit
    turned = np.cos(angle) * unit - np.sin(angle) * w / radius
    s.m = s.m - np.sum(s.m * unit) * unit + np.sum(s.m * unit) * turned
    return moved - w - lr * decay * w


TABLE: dict[str, Reference] = {
    "fadam": Reference(per_tensor(fadam), {"power": 0.4, "threshold": 0.5, "decay": 0.03}),
    "adaptive_braking": Reference(per_tensor(adaptive_braking), {"brake": 1.0, "decay": 0.03}),
    "clipped_sgd": Reference(from_optax(_clipped_sgd), {"threshold": 20.0, "decay": 0.03}),
    "sgd_sai": Reference(whole_tree(sgd_sai), {"eps": 0.1, "decay": 0.03}),
    "polyak_sgd": Reference(whole_tree(polyak_sgd), {"lower": -10.0, "decay": 0.03}),
    "polyak_momentum": Reference(whole_tree(polyak_momentum), {"c": 0.5, "lower": -10.0, "decay": 0.03}),
    "polyak_heavy_ball": Reference(whole_tree(polyak_heavy_ball), {"b": 0.5, "lower": -10.0, "decay": 0.03}),
    "ramsgrad": Reference(per_tensor(ramsgrad), {"b1": 0.8, "decay": 0.03}),
    "autosparse": Reference(whole_tree(autosparse), {"start": -0.5, "horizon": 100.0, "decay": 0.03}, rates=(0.001, 0.01)),
}
