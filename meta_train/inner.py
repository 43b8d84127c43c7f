"""The inner problem of meta-training: a learned optimizer trains networks of one task family.

The meta-loss of an inner step is the logarithm of the training loss on a fresh minibatch relative to the first one, between FLOOR and
CEILING: families of all scales then count alike, and a training that blew up is as bad as it can be without being infinite. Judged on
validation data instead, theta also learns not to fit wrong labels and the noise of minibatches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from meta_train.augment import Augmentation, Disguise
from meta_train.contracts import LearnedOptimizer
from meta_train.parametrised import Parametrised
from meta_train.problem import Episode, PyTree
from tasks.contracts import Schedule, Task
from tasks.streams import derive, uniform

FLOOR, CEILING = -6.0, 3.0
_CONFIG, _DISGUISE, _LENGTH, _WEIGHTS, _DATA, _FIRST = range(6)
_TINY = 1e-6  # of the first loss: a loss below is as good as 0


class Carry(NamedTuple):
    """One arm of one particle between two inner steps."""

    params: PyTree
    state: PyTree
    first: jax.Array  # f32[], the loss at the start, above the optimum


@dataclass(frozen=True)
class TaskProblem:
    """A family's tasks, trained by `optimizer` for a log-uniform number of steps from `shortest` to `longest`."""

    family: Parametrised
    optimizer: LearnedOptimizer
    shortest: int = 100
    longest: int = 1000
    schedule: Schedule = Schedule("constant", 0.0)
    augmentation: Augmentation = Augmentation()

    def episode(self, key: jax.Array, limit: jax.Array) -> Episode:
        """Draw a task, its disguise and the number of steps."""
        config = self.family.sample(derive(key, _CONFIG))
        task = self.family.task(config)
        shapes = jax.eval_shape(task.init, key)
        disguise = self.augmentation.draw(derive(key, _DISGUISE), shapes)
        most = jnp.log(jnp.clip(limit, self.shortest, self.longest).astype(jnp.float32))
        least = math.log(self.shortest)
        length = jnp.exp(least + (most - least) * uniform(derive(key, _LENGTH)))
        return Episode(key, jnp.round(length).astype(jnp.int32), (config, disguise))

    def start(self, theta: PyTree, episode: Episode) -> Carry:
        """Initial weights, the optimizer's state and the first loss."""
        task, disguise = self._task(episode)
        params = task.init(derive(episode.key, _WEIGHTS))
        key = derive(episode.key, _FIRST)
        first = _above_optimum(task, task.loss(params, task.batch(key, "train"), derive(key, 0)))
        hidden = jax.tree.map(jnp.divide, params, disguise.weights)
        return Carry(hidden, self._transform(theta, task, episode, jnp.int32(0)).init(hidden), first)

    def step(self, theta: PyTree, episode: Episode, carry: Carry, t: jax.Array) -> tuple[Carry, jax.Array]:
        """One training step on a minibatch of its own."""
        task, disguise = self._task(episode)
        key = derive(derive(episode.key, _DATA), t)
        batch = task.batch(key, "train")

        def objective(hidden: PyTree) -> tuple[jax.Array, jax.Array]:
            loss = task.loss(jax.tree.map(jnp.multiply, hidden, disguise.weights), batch, derive(key, 0))
            return loss * disguise.loss, loss

        (value, loss), gradient = jax.value_and_grad(objective, has_aux=True)(carry.params)
        updates, state = self._transform(theta, task, episode, t).update(gradient, carry.state, carry.params, value=value)
        params = optax.apply_updates(carry.params, updates)
        return Carry(params, state, carry.first), _normalised(_above_optimum(task, loss), carry.first)

    def _task(self, episode: Episode) -> tuple[Task, Disguise]:
        config, disguise = episode.setting
        return self.family.task(config), disguise

    def _transform(self, theta: PyTree, task: Task, episode: Episode, t: jax.Array) -> optax.GradientTransformationExtraArgs:
        rate = self.optimizer.rate * episode.setting[1].rate * self.schedule.value(t, episode.length)
        return self.optimizer.transform(theta, learning_rate=rate, scales=self.family.scales(task), num_steps=episode.length)


@dataclass(frozen=True)
class ValidatedProblem(TaskProblem):
    """The same, judged by the validation loss at the end of each truncation."""

    def start(self, theta: PyTree, episode: Episode) -> Carry:
        """Initial weights, the optimizer's state and the first validation loss."""
        carry = super().start(theta, episode)
        return carry._replace(first=self._validation(episode, carry.params))

    def judge(self, episode: Episode, carry: Carry) -> jax.Array:
        """The logarithm of the validation loss relative to the first one: f32[]."""
        return _normalised(self._validation(episode, carry.params), carry.first)

    def _validation(self, episode: Episode, hidden: PyTree) -> jax.Array:
        task, disguise = self._task(episode)
        key = derive(episode.key, _FIRST)
        loss = task.loss(jax.tree.map(jnp.multiply, hidden, disguise.weights), task.batch(key, "valid"), derive(key, 0))
        return _above_optimum(task, loss)


def _above_optimum(task: Task, loss: jax.Array) -> jax.Array:
    return loss if task.optimum is None else loss - task.optimum


def _normalised(loss: jax.Array, first: jax.Array) -> jax.Array:
    """log(loss / first) within the limits; not finite counts as the worst: f32[]."""
    least = _TINY * jnp.abs(first) + 1e-30
    value = jnp.log(jnp.maximum(loss, least)) - jnp.log(jnp.maximum(first, least))
    return jnp.clip(jnp.where(jnp.isfinite(value), value, CEILING), FLOOR, CEILING)
