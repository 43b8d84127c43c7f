"""Rules that find their step from the distance travelled: DoG and its relatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.search_space.zoo.authors.momentum_family import global_norm
from tests.search_space.zoo.authors.state import State, per_tensor, whole_tree
from tests.search_space.zoo.harness import Reference, Tree

Array = np.ndarray


def minus(a: Tree, b: Tree) -> Tree:
    """Difference of two trees."""
    return {k: a[k] - b[k] for k in a}


def dog(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Mapping[str, Any],
    small: float = 1e-6,
    eps: float = 1e-8,
    decay: float = 0.0,
) -> Tree:
    """Ivgi, Hinder & Carmon, arXiv:2302.12022, formll/dog with decoupled decay."""
    if t == 1:
        s.start, s.far = params, small * (1 + global_norm(params))
    s.far = max(s.far, global_norm(minus(params, s.start)))
    s.total = s.total + global_norm(grads) ** 2
    eta = lr * s.far / np.sqrt(s.total + eps)
    return {k: -eta * (g + decay * params[k]) for k, g in grads.items()}


def ldog(s: State, g: Array, w: Array, t: int, lr: float, small: float = 1e-6, eps: float = 1e-8, decay: float = 0.0) -> Any:
    """The layer-wise form."""
    if t == 1:
        s.start, s.far = w, small * (1 + np.sqrt(np.sum(w**2)))
    s.far = max(s.far, np.sqrt(np.sum((w - s.start) ** 2)))
    s.total = s.total + np.sum(g**2)
    return -lr * s.far / np.sqrt(s.total + eps) * (g + decay * w)


def dowg(s: State, grads: Tree, params: Tree, t: int, lr: float, extra: Mapping[str, Any], eps: float = 1e-4, decay: float = 0.0) -> Tree:
    """Khaled, Mishchenko & Jin, arXiv:2305.16284, algorithm 1, with epsilons as in optax."""
    if t == 1:
        s.start, s.far = params, eps
    s.far = max(s.far, global_norm(minus(params, s.start)) ** 2)
    s.total = s.total + s.far * global_norm(grads) ** 2
    eta = lr * s.far / (np.sqrt(s.total) + eps)
    return {k: -eta * (g + decay * params[k]) for k, g in grads.items()}


def dadapt_sgd(
    s: State,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Mapping[str, Any],
    b: float = 0.0,
    small: float = 1e-6,
    decay: float = 0.0,
) -> Tree:
    """Defazio & Mishchenko, arXiv:2301.07733, facebookresearch/dadaptation, growth not bounded."""
    x = {k: g + decay * params[k] for k, g in grads.items()}
    if t == 1:
        s.start, s.d, s.first_norm, s.sum = params, small, global_norm(x), {k: 0.0 * g for k, g in grads.items()}
    rate = s.d * lr / s.first_norm
    s.sum = {k: s.sum[k] + rate * x[k] for k in x}
    s.weighted = s.weighted + rate**2 * global_norm(x) ** 2
    length = global_norm(s.sum)
    s.d = max(s.d, (length**2 - s.weighted) / length)
    return {k: b * params[k] + (1 - b) * (s.start[k] - s.sum[k]) - params[k] for k in x}


TABLE: dict[str, Reference] = {
    "dog": Reference(whole_tree(dog), {"small": 1e-2, "decay": 0.03}, rates=(0.3, 1.0)),
    "ldog": Reference(per_tensor(ldog), {"small": 1e-2, "decay": 0.03}, rates=(0.3, 1.0)),
    "dowg": Reference(whole_tree(dowg), {"eps": 1e-2, "decay": 0.03}, rates=(0.3, 1.0)),
    "dadapt_sgd": Reference(whole_tree(dadapt_sgd), {"b": 0.9, "small": 1e-2, "decay": 0.003}, rates=(0.3, 1.0)),
}
