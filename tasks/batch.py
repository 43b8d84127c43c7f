"""Many small trainings as one: T tasks x S seeds x L learning rates, stacked into B = T·S·L members, T slowest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from tasks.contracts import PyTree, Split, Task, TaskFamily
from tasks.streams import derive

_INIT, _EVALUATION = -1, -2  # numbers that no step of a training has


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TaskBatch:
    """Tasks of one family, seeds and learning rates; arrays are data, so a new batch of equal shape never recompiles.

    All learning rates of one (task, seed) see the same initial weights and the same minibatches.
    """

    family: TaskFamily = field(metadata={"static": True})
    configs: PyTree  # leaves [T, ...]
    keys: jax.Array  # key[T, S]
    learning_rates: jax.Array  # f32[L], or f32[T, S, L] where tasks differ in their grid

    @classmethod
    def create(
        cls,
        family: TaskFamily,
        key: jax.Array,
        *,
        learning_rates: Sequence[float] | np.ndarray | jax.Array,
        tasks: int = 1,
        seeds: int = 1,
    ) -> TaskBatch:
        """Sample `tasks` configurations and `seeds` keys for each; task t and seed s do not depend on how many there are."""
        configs, keys = _sample(family, key, tasks, seeds)
        return cls(family, configs, keys, jnp.asarray(learning_rates, jnp.float32))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, S, L)."""
        return (*self.keys.shape, self.learning_rates.shape[-1])  # type: ignore[return-value]

    @property
    def size(self) -> int:
        """B = T·S·L."""
        tasks, seeds, rates = self.shape
        return tasks * seeds * rates

    def rates(self) -> jax.Array:
        """The peak learning rate of each member: f32[B]."""
        return jnp.broadcast_to(self.learning_rates, self.shape).reshape(self.size)

    def task(self, index: int = 0) -> Task:
        """The task number `index`, unbatched."""
        return self.family.task(jax.tree.map(lambda leaf: leaf[index], self.configs))

    def select(self, tasks: slice = slice(None), seeds: slice = slice(None), learning_rates: slice = slice(None)) -> TaskBatch:
        """A part of the batch, whose members train exactly as they do in the whole."""
        rates = self.learning_rates
        rates = rates[learning_rates] if rates.ndim == 1 else rates[tasks, seeds, learning_rates]
        return TaskBatch(self.family, jax.tree.map(lambda leaf: leaf[tasks], self.configs), self.keys[tasks, seeds], rates)

    def init(self) -> PyTree:
        """Initial weights, leaves [B, ...], equal for all learning rates of a (task, seed)."""
        rates = self.shape[2]

        def one(config: PyTree, key: jax.Array, _: jax.Array) -> PyTree:
            params = self.family.task(config).init(derive(key, _INIT))
            return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (rates, *leaf.shape)), params)

        return self.map_members(one, jnp.zeros(self.size))

    def gradients(self, params: PyTree, step: jax.Array | int) -> PyTree:
        """Gradients of the training loss at `params` (leaves [B, ...]) on the minibatches of `step`."""

        def one(config: PyTree, key: jax.Array, params: PyTree) -> PyTree:
            task = self.family.task(config)
            # hash twice for the model's own noise, so that it is independent of the rows that were drawn
            noise = derive(derive(key, step), 0)
            return jax.vmap(jax.grad(task.loss), (0, None, None))(params, task.minibatch(key, step), noise)

        return self.map_members(one, params)

    def losses(self, params: PyTree, split: Split) -> jax.Array:
        """Loss on a split at `params` (leaves [B, ...]): f32[B]."""

        def one(config: PyTree, key: jax.Array, params: PyTree) -> jax.Array:
            task = self.family.task(config)
            key = derive(key, _EVALUATION)
            batch = task.batch(key, split)
            return jax.vmap(task.loss, (0, None, None))(params, batch, derive(key, 0))

        return self.map_members(one, params)

    def map_members(self, function: Callable[[PyTree, jax.Array, PyTree], PyTree], members: PyTree) -> PyTree:
        """Call function(config, key, leaves [L, ...]) for each (task, seed): what it makes once is shared by the L rates."""
        shape = self.shape
        nested = jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), members)
        over_seeds = jax.vmap(function, (None, 0, 0))
        result = jax.vmap(over_seeds)(self.configs, self.keys, nested)
        return jax.tree.map(lambda leaf: leaf.reshape(self.size, *leaf.shape[3:]), result)


@partial(jax.jit, static_argnums=(0, 2, 3))
def _sample(family: TaskFamily, key: jax.Array, tasks: int, seeds: int) -> tuple[PyTree, jax.Array]:
    """Configurations, leaves [T, ...], and key[T, S]; compiled as one, because a hundred small programs take seconds."""

    def one(number: jax.Array) -> tuple[PyTree, jax.Array]:
        mine = derive(key, number)
        keys = jax.vmap(lambda seed: derive(derive(mine, 1), seed))(jnp.arange(seeds))
        return family.sample(derive(mine, 0)), keys

    return jax.vmap(one)(jnp.arange(tasks))
