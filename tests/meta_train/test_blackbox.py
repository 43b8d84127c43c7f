"""evosax strategies find the optimum of an inner problem in closed form, and train theta in a run that may be cut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from evosax.algorithms import CMA_ES, SimpleGA

from meta_train import blackbox, run_folder
from meta_train.blackbox import BlackBox, population_losses
from meta_train.errors import LearnedOptimizerError
from meta_train.trainer import Report, Trainer
from tests.meta_train.moving import TARGET, Moving, theta
from tests.meta_train.run_child import CONFIG
from tests.meta_train.test_trainer import Stop, trace
from tests.meta_train.test_trainer import theta as weights_of

LENGTH = 8
EVOLVED = replace(CONFIG, estimator="evosax:SNES", sigma=0.3, disguise_weights=0.0, disguise_loss=0.0)


def optimum(problem: Moving) -> np.ndarray:
    """Of the mean loss, which is quadratic in theta."""
    reach = np.array([sum(problem.rho**i for i in range(t)) for t in range(1, LENGTH + 1)])
    return TARGET * reach.sum() / (reach**2).sum()


def evolve(make: Callable[..., Any], generations: int, population: int = 16) -> tuple[np.ndarray, list[float]]:
    """theta and the mean losses of the generations. Some strategies need more than two dimensions: most of theta has no effect."""
    problem: Any = Moving(length=LENGTH)
    begin = theta() | {"unused": jnp.zeros(6)}
    outer = BlackBox(make, begin, population, sigma=0.3)
    state = outer.init(begin, jax.random.key(0))

    @jax.jit
    def generation(state: Any, key: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array]]:
        members, state = outer.ask(state, jax.random.fold_in(key, 0))
        losses, steps = population_losses(problem, members, jax.random.fold_in(key, 1), jnp.int32(LENGTH), episodes=2)
        return outer.tell(state, members, losses, jax.random.fold_in(key, 2)), (jnp.mean(losses), steps)

    seen = []
    for i in range(generations):
        state, (loss, steps) = generation(state, jax.random.fold_in(jax.random.key(1), i))
        assert int(steps) == population * 2 * LENGTH
        seen.append(float(loss))
    return np.asarray(outer.theta(state)["step"]), seen


@pytest.mark.parametrize(("make", "generations", "near"), [(CMA_ES, 40, 0.01), (partial(SimpleGA, std_schedule=lambda _: 0.1), 60, 0.1)])
def test_strategies_find_the_optimum(make: Callable[..., Any], generations: int, near: float) -> None:
    found, losses = evolve(make, generations)
    assert losses[-1] < losses[0]
    np.testing.assert_allclose(found, optimum(Moving(length=LENGTH)), atol=near)


@pytest.mark.filterwarnings("ignore:optax.global_norm is deprecated")  # PGPE of evosax still calls it
@pytest.mark.parametrize("name", blackbox.names())
def test_every_strategy_that_is_offered_works(name: str) -> None:
    found, losses = evolve(blackbox.strategy(name, 0.3), 8)
    assert np.isfinite(found).all() and np.isfinite(losses).all()


@pytest.mark.parametrize("name", ["SNES", "SimpleGA"])
def test_a_strategy_begins_at_theta(name: str) -> None:
    """With a mean or without one: weights that a run starts from are not lost to noise."""
    outer = BlackBox(blackbox.strategy(name, 0.3), theta(), 8, sigma=0.3)
    jax.tree.map(np.testing.assert_array_equal, outer.theta(outer.init(theta(), jax.random.key(0))), theta())


def test_members_that_broke_count_as_the_worst() -> None:
    outer = BlackBox(CMA_ES, theta(), 8, sigma=0.3)
    members, state = outer.ask(outer.init(theta(), jax.random.key(0)), jax.random.key(1))
    losses = jnp.arange(8.0)
    broken = outer.tell(state, members, losses.at[6:].set(jnp.array([jnp.nan, jnp.inf])), jax.random.key(2))
    worst = outer.tell(state, members, losses.at[6:].set(5.0), jax.random.key(2))
    jax.tree.map(np.testing.assert_array_equal, broken, worst)


def test_a_run_learns_and_may_be_cut(tmp_path: Path) -> None:
    def stop(report: Report) -> None:
        if report.step == 13:
            raise Stop

    run_folder.create(tmp_path / "whole", EVOLVED)
    Trainer(tmp_path / "whole").train(checkpoint_every=5)
    curve = trace(tmp_path / "whole")
    assert curve[-1]["meta_loss"] < curve[0]["meta_loss"] - 0.5
    assert curve[-1]["validation_score"] < curve[0]["validation_score"] - 0.5
    run_folder.create(tmp_path / "cut", EVOLVED)
    with pytest.raises(Stop):
        Trainer(tmp_path / "cut", reports=stop).train(checkpoint_every=5)
    Trainer(tmp_path / "cut").train(checkpoint_every=5)
    assert trace(tmp_path / "cut") == curve
    np.testing.assert_equal(weights_of(tmp_path / "cut"), weights_of(tmp_path / "whole"))


def test_an_unknown_strategy_is_named() -> None:
    with pytest.raises(LearnedOptimizerError, match="unknown evosax strategy 'CMAES', allowed: .*CMA_ES"):
        blackbox.check("CMAES")
