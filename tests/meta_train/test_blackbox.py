"""evosax strategies find the optimum of an inner problem in closed form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evosax.algorithms import CMA_ES, SimpleGA

from meta_train.blackbox import BlackBox
from tests.meta_train.moving import TARGET, Moving, theta

LENGTH = 8


def optimum(problem: Moving) -> np.ndarray:
    """Of the mean loss, which is quadratic in theta."""
    reach = np.array([sum(problem.rho**i for i in range(t)) for t in range(1, LENGTH + 1)])
    return TARGET * reach.sum() / (reach**2).sum()


@pytest.mark.parametrize(("make", "generations", "near"), [(CMA_ES, 40, 0.01), (partial(SimpleGA, std_schedule=lambda _: 0.1), 60, 0.1)])
def test_strategies_find_the_optimum(make: Callable[..., Any], generations: int, near: float) -> None:
    problem = Moving(length=LENGTH)
    outer = BlackBox(problem, make, theta(), population=16, episodes=2, sigma=0.3)
    state = outer.init(theta(), jax.random.key(0))
    step = jax.jit(partial(outer.generation, limit=jnp.int32(LENGTH)))
    losses = []
    for i in range(generations):
        state, outcome = step(state, jax.random.fold_in(jax.random.key(1), i))
        losses.append(float(outcome.loss))
    assert int(outcome.inner_steps) == 16 * 2 * LENGTH
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(outer.theta(state)["step"], optimum(problem), atol=near)
