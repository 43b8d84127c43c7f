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


TABLE: dict[str, Reference] = {
    "dog": Reference(whole_tree(dog), {"small": 1e-2, "decay": 0.03}, rates=(0.3, 1.0)),
    "ldog": Reference(per_tensor(ldog), {"small": 1e-2, "decay": 0.03}, rates=(0.3, 1.0)),
    "dowg": Reference(whole_tree(dowg), {"eps": 1e-2, "decay": 0.03}, rates=(0.3, 1.0)),
}
