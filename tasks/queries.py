"""Optimizers that ask for more than a gradient: further points, the loss's value, or other weights to be measured at.

Letters: B members of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from tasks.batch import TaskBatch
from tasks.contracts import PyTree, all_finite
from tasks.streams import derive

Loss: TypeAlias = Callable[[PyTree], jax.Array]
"""The loss of one member on the minibatch of the present step, as a function of its weights."""


class Rule(NamedTuple):
    """One training's optimizer with a learning rate f32[] at hand.

    init(params) -> state. step(loss, params, state) -> (new params, state). view(params, state) -> the weights to measure losses at.
    """

    init: Callable[[PyTree], PyTree]
    step: Callable[[Loss, PyTree, PyTree], tuple[PyTree, PyTree]]
    view: Callable[[PyTree, PyTree], PyTree]


class LossOptimizer(NamedTuple):
    """An optimizer of B trainings at once that makes its own evaluations of the loss, on the minibatches of a step.

    init(params) -> state. update(batch, step, state, params, learning_rate) -> (updates, state). finite(updates, state) -> bool[B].
    view(state, params, learning_rate) -> the weights to measure losses at. Leaves lead with B; learning_rate is f32[B].
    """

    init: Callable[[PyTree], PyTree]
    update: Callable[[TaskBatch, jax.Array, PyTree, PyTree, jax.Array], tuple[PyTree, PyTree]]
    finite: Callable[[PyTree, PyTree], jax.Array]
    view: Callable[[PyTree, PyTree, jax.Array], PyTree]


def from_rule(make: Callable[[jax.Array], Rule]) -> LossOptimizer:
    """Batch `make(learning_rate) -> Rule` over members that each have a learning rate, f32[]; the state must not depend on the rate."""

    def update(batch: TaskBatch, step: jax.Array, state: PyTree, params: PyTree, learning_rate: jax.Array) -> tuple[PyTree, PyTree]:
        def one(loss: Loss, params: PyTree, state: PyTree, rate: jax.Array) -> tuple[PyTree, PyTree]:
            new, state = make(rate).step(loss, params, state)
            return jax.tree.map(jnp.subtract, new, params), state

        return with_losses(batch, step, one, params, state, learning_rate)

    view = jax.vmap(lambda state, params, rate: make(rate).view(params, state))
    return LossOptimizer(jax.vmap(make(jnp.ones(())).init), update, all_finite, view)


def with_losses(batch: TaskBatch, step: jax.Array, function: Callable[..., PyTree], *members: PyTree) -> PyTree:
    """Call function(loss, *leaves of one member) for each member, on the minibatches that `TaskBatch.gradients` uses at this step."""

    def one(config: PyTree, key: jax.Array, leaves: tuple[Any, ...]) -> PyTree:
        task = batch.family.task(config)
        data, noise = task.minibatch(key, step), derive(derive(key, step), 0)
        return jax.vmap(lambda *mine: function(lambda params: task.loss(params, data, noise), *mine))(*leaves)

    return batch.map_members(one, members)
