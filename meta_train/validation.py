"""How good theta is: whole trainings on families and draws that meta-training does not see, relative to Adam tuned on the same draws.

A score is the mean over families of log(loss of theta / loss of Adam) at the end of training, in nats: 0 is as good as Adam at the best of
15 learning rates of each family, -0.69 half its loss. Both are validation losses above the optimum, where one is known.
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from meta_train.contracts import LearnedOptimizer
from meta_train.inner import CEILING, FLOOR
from meta_train.parametrised import Parametrised
from meta_train.problem import PyTree
from tasks.batch import TaskBatch
from tasks.contracts import Schedule, from_optax
from tasks.rollout import Rollout, rollout

ADAM_RATES = tuple(float(rate) for rate in np.logspace(-5, 2, 15))
"""Half-decades, as in learned_optimization's baselines."""


class Trial:
    """One family's draws, on which theta and Adam are compared. Compiled once, when first used."""

    def __init__(
        self, family: Parametrised, optimizer: LearnedOptimizer, key: jax.Array, draws: int, steps: int, schedule: Schedule
    ) -> None:
        self._batch = TaskBatch.create(family, key, learning_rates=(optimizer.rate,), tasks=draws)
        self._adams = TaskBatch(family, self._batch.configs, self._batch.keys, jnp.array(ADAM_RATES))
        self._optimum = self._batch.task().optimum or 0.0
        scales = family.scales(self._batch.task())
        train = partial(rollout, steps=steps, schedule=schedule, evals=1)

        def learned(theta: PyTree, batch: TaskBatch) -> Rollout:
            return train(batch, from_optax(lambda rate: optimizer.transform(theta, learning_rate=rate, scales=scales, num_steps=steps)))

        self._learned = jax.jit(learned)
        self._adam = jax.jit(lambda batch: train(batch, from_optax(optax.adam)))

    def theta(self, theta: PyTree) -> float:
        """Mean log of final over initial loss under theta."""
        return float(self._progress(self._learned(theta, self._batch))[0])

    def adam(self) -> float:
        """The same under Adam at the best of its learning rates."""
        return float(np.min(self._progress(self._adam(self._adams))))

    def _progress(self, result: Rollout) -> np.ndarray:
        """Mean over draws for each learning rate: f64[L]."""
        final, first = np.asarray(result.final["valid"], np.float64), np.asarray(result.initial, np.float64)[..., None]
        tiny = 1e-9 * np.abs(first) + 1e-30
        ratio = np.log(np.maximum(final - self._optimum, tiny)) - np.log(np.maximum(first - self._optimum, tiny))
        return np.clip(np.where(np.isfinite(ratio), ratio, CEILING), 2 * FLOOR, CEILING).mean(axis=(0, 1))
