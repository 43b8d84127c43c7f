"""small_fc against a plain NumPy transcription of the published optimizer."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from meta_train.architectures.small_fc import SmallFC
from tests.meta_train import published

SHAPES = {"scalar": (), "vector": (5,), "matrix": (6, 4), "kernel": (2, 3, 4, 5), "row": (1, 3)}


def perturbed(theta: dict, seed: int) -> dict:
    """theta with every number moved a little, decays and biases too."""
    generator = np.random.default_rng(seed)
    return jax.tree.map(lambda x: np.asarray(x + 0.03 * generator.normal(size=x.shape), np.float32), theta)


@pytest.mark.parametrize(("hidden", "count"), [(4, 197), (32, 2409)])
def test_number_of_weights(hidden: int, count: int) -> None:
    theta = jax.eval_shape(SmallFC(hidden).init, jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(theta)) == count


@pytest.mark.parametrize(("hidden", "names"), [(4, list(SHAPES)), (32, ["vector", "matrix"])])
def test_equals_the_published_optimizer(hidden: int, names: list[str]) -> None:
    """Over five steps on gradients of very different sizes; relative to the largest step of each tensor."""
    shapes = {name: SHAPES[name] for name in names}
    optimizer = SmallFC(hidden)
    theta = perturbed(optimizer.init(jax.random.key(1)), 2)
    exact = jax.tree.map(lambda x: np.asarray(x, np.float64), theta)
    generator = np.random.default_rng(3)
    params = {name: np.asarray(generator.normal(size=shape), np.float32) for name, shape in shapes.items()}
    transform = optimizer.transform(theta, learning_rate=1.0)
    state, update = transform.init(params), jax.jit(transform.update)
    states = {name: published.start(shape) for name, shape in shapes.items()}
    for number in range(5):
        grads = {n: np.asarray(10.0 ** (number - 3) * generator.normal(size=s), np.float32) for n, s in shapes.items()}
        updates, state = update(grads, state, params)
        for name in shapes:
            expected, states[name] = published.step(exact, np.float64(grads[name]), np.float64(params[name]), states[name])
            assert np.max(np.abs(-updates[name] - expected)) <= 1e-5 * np.max(np.abs(expected)), (name, number)
        params = jax.tree.map(lambda p, u: np.asarray(p + u), params, updates)
