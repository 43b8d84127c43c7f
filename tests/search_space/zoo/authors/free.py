"""Schedule-Free as optax has it, and AdaGrad-Norm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optax

from tests.search_space.zoo.authors.state import from_optax, whole_tree
from tests.search_space.zoo.harness import Reference, Tree


def _schedule_free_sgd(lr: float, b1: float = 0.9, power: float = 2.0, decay: float = 0.0) -> Any:
    return optax.contrib.schedule_free_sgd(lr, b1=b1, weight_decay=decay, weight_lr_power=power)


def _schedule_free_adamw(lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, power: float = 2.0, decay: float = 0.0) -> Any:
    return optax.contrib.schedule_free_adamw(lr, b1=b1, b2=b2, eps=eps, weight_decay=decay, weight_lr_power=power)


def adagrad_norm(
    s: Any,
    grads: Tree,
    params: Tree,
    t: int,
    lr: float,
    extra: Mapping[str, Any],
    start: float = 0.01,
    eps: float = 1e-10,
    decay: float = 0.0,
) -> Tree:
    """Ward, Wu & Bottou, arXiv:1806.01811, algorithm 1."""
    s.b = (start if t == 1 else s.b) + sum(float(np.sum(g**2)) for g in grads.values())
    return {k: -lr * (g / np.sqrt(s.b + eps) + decay * params[k]) for k, g in grads.items()}


TABLE: dict[str, Reference] = {
    "schedule_free_sgd": Reference(from_optax(_schedule_free_sgd), {"b1": 0.7, "decay": 0.03}),
    "schedule_free_adamw": Reference(from_optax(_schedule_free_adamw), {"b1": 0.7, "b2": 0.99, "decay": 0.03}),
    "adagrad_norm": Reference(whole_tree(adagrad_norm), {"start": 1.0, "decay": 0.03}),
}
