"""The inner problem of meta-training is ordinary training: the same weights as a plain loop, whatever disguise it wears."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meta_train.augment import Augmentation
from meta_train.inner import CEILING, FLOOR, TaskProblem
from meta_train.parametrised import Parametrised
from meta_train.problem import unroll
from meta_train.registry import load as load_optimizer
from tasks.contracts import Schedule
from tasks.registry import load as load_family
from tasks.streams import derive

FAMILY = Parametrised(load_family("noisy_quadratic?rows=2&cols=3"))
STEPS, RATE = 4, 0.05


def trained(problem: TaskProblem, theta: dict[str, jax.Array]) -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
    """Weights as the network sees them after STEPS steps, the sum of meta-losses, and the factor of the loss."""

    def run(theta: dict[str, jax.Array]) -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
        episode = problem.episode(jax.random.key(3), jnp.int32(STEPS))
        carry, total = unroll(problem, theta, episode, problem.start(theta, episode), jnp.int32(0), STEPS)
        disguise = episode.setting[1]
        return jax.tree.map(jnp.multiply, carry.params, disguise.weights), total, disguise.loss

    return jax.jit(run)(theta)


def test_training_equals_a_plain_loop() -> None:
    optimizer = load_optimizer("sgd")
    theta = optimizer.init(jax.random.key(0))
    problem = TaskProblem(FAMILY, optimizer, STEPS, STEPS, Schedule("cosine", 0.0))
    weights, total, _ = trained(problem, theta)
    episode = problem.episode(jax.random.key(3), jnp.int32(STEPS))
    task = FAMILY.task(episode.setting[0])
    params = task.init(derive(episode.key, 3))
    transform = lambda rate: optimizer.transform(theta, learning_rate=rate)  # noqa: E731
    losses = []
    for t in range(STEPS):
        key = derive(derive(episode.key, 4), t)
        loss, gradient = jax.value_and_grad(task.loss)(params, task.batch(key, "train"), derive(key, 0))
        rate = optimizer.rate * problem.schedule.value(t, STEPS)
        updates, _ = transform(rate).update(gradient, transform(rate).init(params), params)
        params = jax.tree.map(jnp.add, params, updates)
        losses.append(float(loss))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), weights, params)
    assert losses[-1] != losses[0] and np.isfinite(float(total))


def test_a_disguise_changes_steps_by_its_factors_only() -> None:
    """Gradient descent on w / s with the loss times c makes steps c · s² as large: the rates of matrices and vectors undo it."""
    optimizer = load_optimizer("sgd")
    theta = optimizer.init(jax.random.key(0))
    plain = TaskProblem(FAMILY, optimizer, STEPS, STEPS)
    disguised = TaskProblem(FAMILY, optimizer, STEPS, STEPS, augmentation=Augmentation(weights=0.5, loss=0.5, plain=0.0))
    episode = disguised.episode(jax.random.key(3), jnp.int32(STEPS))
    shapes = jax.eval_shape(FAMILY.task(episode.setting[0]).init, episode.key)
    by_axes = {leaf.ndim: s for leaf, s in zip(jax.tree.leaves(shapes), jax.tree.leaves(episode.setting[1].weights), strict=True)}
    assert sorted(by_axes) == [1, 2] and len(jax.tree.leaves(shapes)) == 2
    scales = jnp.stack([by_axes[1], by_axes[2]])
    assert np.all(np.abs(scales - 1) > 0.02)
    undone = {"log_rate": theta["log_rate"] - jnp.log(scales**2 * episode.setting[1].loss)}
    expected, got = trained(plain, theta), trained(disguised, undone)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got[0], expected[0])
    np.testing.assert_allclose(got[1], expected[1], rtol=1e-4)


@pytest.mark.parametrize(("rate", "low", "high"), [(1e30, 0.5 * CEILING, CEILING), (0.0, -1.0, 1.0)])
def test_a_training_that_blows_up_has_the_worst_loss_and_no_infinite_one(rate: float, low: float, high: float) -> None:
    optimizer = load_optimizer("sgd")
    theta = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.log(rate + 1e-30)), optimizer.init(jax.random.key(0)))
    _, total, _ = trained(TaskProblem(FAMILY, optimizer, STEPS, STEPS), theta)
    assert low <= float(total) / STEPS <= high and FLOOR < CEILING
