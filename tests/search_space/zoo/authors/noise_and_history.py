"""Rules with noise, quantiles, or a memory of several gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.search_space import noise
from tests.search_space.zoo.authors.state import State, per_tensor, whole_tree
from tests.search_space.zoo.harness import Reference, Tree

Array = np.ndarray
Extra = Mapping[str, Any]


def gravity(
    s: State, grads: Tree, params: Tree, t: int, lr: float, extra: Extra, alpha: float = 0.01, beta: float = 0.9, decay: float = 0.0
) -> Tree:
    """Bahrami & Zadeh, arXiv:2101.09192, and the author's code: t starts at 1."""
    if t == 1:
        s.v = {k: alpha / lr * noise.normal(g.shape, 0, 1, i) for i, (k, g) in enumerate(sorted(grads.items()))}
    out = {}
    for k, g in grads.items():
        top = np.max(np.abs(g))
        zeta = g / (1 + (g / (1 / top)) ** 2) if top > 0 else g
        average = (beta * t + 1) / (t + 2)
        s.v[k] = average * s.v[k] + (1 - average) * zeta
        out[k] = -lr * (s.v[k] + decay * params[k])
    return out


def randomly_scaled_sgdm(s: State, g: Array, w: Array, t: int, lr: float, b: float = 0.99, decay: float = 0.0) -> Any:
    """Zhang & Cutkosky, arXiv:2405.09742: the step is Exp(1) times the momentum's."""
    s.d = b * s.d - lr * g
    return -np.log(noise.global_uniform(0, t)) * s.d - lr * decay * w


def coordinate_clipped_sgd(
    s: State, grads: Tree, params: Tree, t: int, lr: float, extra: Extra, share: float = 0.1, decay: float = 0.0
) -> Tree:
    """Pan & Li, arXiv:2306.00204: the largest 10 % of the coordinates are cut to their threshold."""
    top = np.quantile(np.concatenate([np.abs(g).ravel() for g in grads.values()]), 1 - share)
    return {k: -lr * (np.sign(g) * np.minimum(np.abs(g), top) + decay * params[k]) for k, g in grads.items()}


def grokfast_ma(s: State, g: Array, w: Array, t: int, lr: float, amplify: float = 5.0, decay: float = 0.0) -> Any:
    """Lee et al., arXiv:2405.20233, gradfilter_ma with its window of 100 and warm-up, before gradient descent."""
    s.window = [*(s.window or []), g][-100:]
    if len(s.window) == 100:
        g = g + amplify * np.mean(s.window, axis=0)
    return -lr * (g + decay * w)


def tag(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Extra,
    b: float = 5.0,
    b1: float = 0.9,
    b2: float = 0.99,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Tree:
    """Malviya et al., arXiv:2105.05155, RMSProp form, one similarity for each tensor."""
    task = int(extra["task"])
    s.m, s.v = s.m or {}, s.v or {}
    out = {}
    for k, g in grads.items():
        m, v = s.m.setdefault(k, {}), s.v.setdefault(k, {})
        m[task] = b1 * m.get(task, 0.0) + (1 - b1) * g
        v[task] = b2 * v.get(task, 0.0) + (1 - b2) * g**2
        total = v[0]
        if task > 0:
            cosine = {j: np.sum(m[task] * m[j]) / (np.linalg.norm(m[task]) * np.linalg.norm(m[j])) for j in m if j <= task}
            total = sum(np.exp(-b * c) * v[j] for j, c in cosine.items())
        out[k] = -lr * (g / (np.sqrt(total) + eps) + decay * params[k])
    return out


def apg(
    s: State, g: Array, w: Array, t: int, lr: float, beta: float = -0.5, radius: float = 5.0, parallel: float = 0.0, decay: float = 0.0
) -> Any:
    """Sadat et al., arXiv:2410.02416: negative momentum, a bound on the norm, and the part along the prediction reduced."""
    s.past = -g + beta * s.past
    size = float(np.linalg.norm(s.past))
    d = s.past * min(1.0, radius / size) if size > 0 else s.past
    direction = w / np.linalg.norm(w)
    along = np.sum(d * direction) * direction
    return lr * (d - along + parallel * along - decay * w)


TABLE: dict[str, Reference] = {
    "gravity": Reference(whole_tree(gravity), {"beta": 0.5, "decay": 0.03}),
    "randomly_scaled_sgdm": Reference(per_tensor(randomly_scaled_sgdm), {"b": 0.8, "decay": 0.03}),
    "coordinate_clipped_sgd": Reference(whole_tree(coordinate_clipped_sgd), {"share": 0.3, "decay": 0.03}),
    "grokfast_ma": Reference(per_tensor(grokfast_ma), {"amplify": 2.0, "decay": 0.03}),
    "tag": Reference(whole_tree(tag), {"b": 2.0, "decay": 0.03}),
    "apg": Reference(per_tensor(apg), {"parallel": 0.3, "decay": 0.03}),
}
