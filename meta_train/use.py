"""The one line for users: trained weights to an optax transformation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import optax

from meta_train import pretrained, weights
from meta_train.contracts import PyTree, Scales


def optimizer(
    source: str | Path,
    learning_rate: float | jax.Array | Callable[[jax.Array], Any] | None = None,
    *,
    weight_decay: float | jax.Array = 0.0,
    mask: PyTree | Callable[[PyTree], PyTree] | None = None,
    metadata: PyTree = None,
    num_steps: int | None = None,
) -> optax.GradientTransformationExtraArgs:
    """A trained optimizer by shipped name or folder; its update needs the weights and nothing else.

    `learning_rate` (a number or an optax schedule) is what the weights were trained with if left out. `weight_decay` is decoupled
    and goes where `mask` says. `metadata`, a tree of `tasks.contracts.TensorMeta` like the parameters, scales the optimizer with the
    model's width (`docs/mup.md`; initial weights are to be scaled too). Raises `LearnedOptimizerError` for weights that cannot be read.
    """
    from meta_train.mup.tables import learned_scales

    architecture, theta = weights.load(pretrained.folder(source))
    rate = architecture.rate if learning_rate is None else learning_rate
    scales = Scales() if metadata is None else learned_scales(metadata)
    return architecture.transform(theta, learning_rate=rate, weight_decay=weight_decay, mask=mask, scales=scales, num_steps=num_steps)
