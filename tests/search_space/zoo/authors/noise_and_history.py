"""Rules with random numbers, order statistics and histories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.search_space import noise
from tests.search_space.zoo.authors.lion_family import mixed
from tests.search_space.zoo.authors.state import State, per_tensor, whole_tree
from tests.search_space.zoo.harness import Reference, Tree

Array = np.ndarray


def gravity(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Mapping[str, Any],
    b: float = 0.9,
    alpha: float = 0.01,
    decay: float = 0.0,
) -> Tree:
    """Bahrami & Pouriyan Zadeh, arXiv:2101.09192, dariush-bahrami/gravity.optimizer."""
    if t == 1:
        s.v = {k: alpha / lr * noise.normal(grads[k].shape, 0.0, 1, i) for i, k in enumerate(sorted(grads))}
    beta = (b * t + 1) / (t + 2)
    for k, g in grads.items():
        top = np.max(np.abs(g))
        zeta = g / (1 + (g / (1 / top)) ** 2) if top > 0 else g
        s.v[k] = beta * s.v[k] + (1 - beta) * zeta
    return {k: -lr * (s.v[k] + decay * params[k]) for k in grads}


def random_scaling(
    s: State, grads: Tree, params: Tree, t: int, lr: float, extra: Mapping[str, Any], b: float = 0.99, decay: float = 0.0
) -> Tree:
    """Zhang & Cutkosky, arXiv:2405.09742: w' = w + s (b move - lr g), s exponential with mean 1."""
    size = -np.log(noise.global_uniform(0.0, t))
    s.move = {k: b * (s.move[k] if t > 1 else 0.0) - lr * g for k, g in grads.items()}
    return {k: size * s.move[k] - lr * decay * params[k] for k in grads}


def coordinate_clipping(
    s: State, grads: Tree, params: Tree, t: int, lr: float, extra: Mapping[str, Any], share: float = 0.1, decay: float = 0.0
) -> Tree:
    """Pan & Li, arXiv:2306.00204: the largest coordinates of all tensors together are cut to the quantile."""
    bound = np.quantile(np.concatenate([np.abs(g).reshape(-1) for g in grads.values()]), 1 - share)
    return {k: -lr * (np.sign(g) * np.minimum(np.abs(g), bound) + decay * params[k]) for k, g in grads.items()}


def grokfast_ema(s: State, g: Array, w: Array, t: int, lr: float, alpha: float = 0.98, amplify: float = 2.0, decay: float = 0.0) -> Any:
    """Lee et al., arXiv:2405.20233, gradfilter_ema of the authors' code before SGD."""
    s.h = g if t == 1 else alpha * s.h + (1 - alpha) * g
    return -lr * (g + amplify * s.h + decay * w)


def grokfast_ma(s: State, g: Array, w: Array, t: int, lr: float, amplify: float = 5.0, decay: float = 0.0) -> Any:
    """Lee et al., gradfilter_ma of the authors' code (window 100, filter mean, warm-up) before SGD."""
    s.window = [*(s.window if t > 1 else []), g][-100:]
    filtered = g + amplify * np.mean(s.window, axis=0) if len(s.window) == 100 else g
    return -lr * (filtered + decay * w)


def lion_topk(
    s: State, g: Array, w: Array, t: int, lr: float, b1: float = 0.9, b2: float = 0.99, share: float = 0.5, decay: float = 0.0
) -> Any:
    """Lion-K with K the sum of the largest |x| of a tensor: its sign where |x| reaches the quantile."""
    c = mixed(s, g, b1, b2)
    return -lr * (np.where(np.abs(c) >= np.quantile(np.abs(c), 1 - share), np.sign(c), 0.0) + decay * w)


def tag(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Mapping[str, Any],
    b1: float = 0.9,
    b2: float = 0.99,
    likeness: float = 5.0,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Tree:
    """Malviya et al., arXiv:2105.05155, pranshu28/TAG over RMSProp: one pair of moments for each task and tensor."""
    task = int(extra["task"])
    moments = s.moments if t > 1 else {}
    out = {}
    for k, g in grads.items():
        m, v = moments.get((task, k), (0.0 * g, 0.0 * g))
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        moments[task, k] = m, v
        total = v
        if task > 0:
            total = 0.0 * g
            for old in range(task + 1):
                other, squares = moments.get((old, k), (0.0 * g, 0.0 * g))
                sizes = np.sqrt(np.sum(m**2) * np.sum(other**2))
                total = total + np.exp(-likeness * (np.sum(m * other) / sizes if sizes > 0 else 0.0)) * squares
        out[k] = -lr * (g / (np.sqrt(total) + eps) + decay * params[k])
    s.moments = moments
    return out


def projected_guidance(
    s: State,
    g: Array,
    w: Array,
    t: int,
    lr: float,
    b: float = -0.5,
    radius: float = 15.0,
    along: float = 0.0,
    decay: float = 0.0,
) -> Any:
    """Sadat, Hilliges & Weber, arXiv:2410.02416, algorithm 1, with D_c = w and D_c - D_u = -g."""
    s.running = -g + b * s.running
    size = np.sqrt(np.sum(s.running**2))
    difference = s.running * min(1.0, radius / size) if size > 0 else s.running
    unit = w / np.sqrt(np.sum(w**2))
    parallel = np.sum(difference * unit) * unit
    return lr * (difference - parallel + along * parallel) - lr * decay * w


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


TABLE: dict[str, Reference] = {
    "gravity": Reference(whole_tree(gravity), {"alpha": 0.1, "decay": 0.03}),
    "random_scaling": Reference(whole_tree(random_scaling), {"b": 0.9, "decay": 0.03}),
    "coordinate_clipping": Reference(whole_tree(coordinate_clipping), {"share": 0.3, "decay": 0.03}),
    "grokfast_ema": Reference(per_tensor(grokfast_ema), {"alpha": 0.9, "amplify": 5.0, "decay": 0.03}),
    "grokfast_ma": Reference(per_tensor(grokfast_ma), {"amplify": 2.0, "decay": 0.03}),
    "lion_topk": Reference(per_tensor(lion_topk), {"share": 0.3, "decay": 0.03}),
    "tag": Reference(whole_tree(tag), {"likeness": 2.0, "decay": 0.03}),
    "projected_guidance": Reference(per_tensor(projected_guidance), {"radius": 3.0, "along": 0.3, "decay": 0.03}),
    "autosparse": Reference(whole_tree(autosparse), {"start": -0.5, "horizon": 100.0, "decay": 0.03}, rates=(0.001, 0.01)),
}
