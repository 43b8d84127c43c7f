"""The recipes run, a refined schedule is what the paper says, and averages scale with the batch."""

from __future__ import annotations

import doctest
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose

from search_space.refine import refined_rates, refined_schedule
from search_space.scaling import scaled_for_batch

RECIPES = Path(__file__).parents[2] / "docs" / "recipes.md"


def test_recipes() -> None:
    found = doctest.testfile(str(RECIPES), module_relative=False)
    assert found.attempted > 25 and found.failed == 0


@pytest.mark.parametrize("steps", [2, 10, 101])
def test_constant_norms_give_exactly_linear_decay(steps: int) -> None:
    rate, linear = refined_schedule(np.full(steps, 3.7), 0.3), optax.linear_schedule(0.3, 0.0, steps - 1)
    counts = jnp.arange(steps + 3)
    assert_allclose(jax.vmap(rate)(counts), jax.vmap(linear)(counts), rtol=1e-6, atol=1e-7)


def test_refined_rates_by_hand() -> None:
    rng = np.random.default_rng(0)
    norms = np.abs(rng.normal(size=40)) + 0.1
    for power in (1.0, 2.0):
        smooth = []
        for t in range(40):
            window = [norms[max(t + k, 0)] if t + k < 40 else norms[79 - t - k] for k in range(-4, 5)]
            smooth.append(sorted(window)[4])
        w = np.asarray(smooth) ** -power
        expected = np.asarray([w[t] * w[t + 1 :].sum() for t in range(40)])
        assert_allclose(refined_rates(norms, power=power, width=0.2), expected / expected.max(), rtol=1e-10, atol=1e-12)


def test_falling_gradients_keep_the_rate_up() -> None:
    rates = refined_rates(np.linspace(2.0, 0.5, 100))
    assert np.argmax(rates) > 50 and rates[0] < 0.5


@pytest.mark.parametrize("norms", [[1.0], [1.0, np.nan, 1.0], [0.0, 0.0, 0.0], [[1.0, 2.0]]])
def test_bad_norms(norms: list[float]) -> None:
    with pytest.raises(ValueError, match="norms"):
        refined_rates(norms)


def test_as_many_small_steps_of_an_average_as_one_large() -> None:
    large = scaled_for_batch(8, 0.1, average=0.99, betas=(0.9, 0.99))
    average = 0.0
    for _ in range(8):
        average = 0.99 * average + 0.01 * 5.0
    assert_allclose(large.average * 0.0 + (1 - large.average) * 5.0, average, rtol=1e-12)
    assert_allclose(large.betas, (0.2, 0.92), rtol=1e-12)
    assert_allclose(large.learning_rate, 0.1 * 8**0.5)
    with pytest.raises(ValueError, match="negative"):
        scaled_for_batch(11, 0.1, average=0.9, betas=(0.9,))
    with pytest.raises(ValueError, match="positive"):
        scaled_for_batch(0, 0.1, average=0.9)
