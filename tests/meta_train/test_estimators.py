"""Estimators against meta-gradients in closed form."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from meta_train.estimators import evolution
from meta_train.estimators.backprop import Backprop, ForwardGradient
from meta_train.estimators.contracts import Contribution, estimate
from meta_train.estimators.noise import Guide
from tests.meta_train.moving import Moving, gradient, theta

MANY, STEPS, LENGTH, SIGMA = 100_000, 2, 8, 0.1
PROBLEM = Moving(length=LENGTH)


class Mean(NamedTuple):
    """Mean over particles of what they contribute in an episode, and its standard error: f64[2] each."""

    value: np.ndarray
    error: np.ndarray


def together(state: Any) -> Any:
    """The state with all particles at the start of a whole episode, instead of staggered."""
    track = state.particles.track
    return state._replace(particles=state.particles._replace(track=track._replace(t=jnp.zeros_like(track.t))))


def contributions(estimator: Any, truncations: int, seed: int = 0) -> list[Contribution]:
    """One episode's truncations, of all particles in step."""
    state, parts = together(estimator.init(theta(), LENGTH)), []
    advance = jax.jit(estimator.contributions)
    for i in range(truncations):
        part, state = advance(theta(), state, jax.random.fold_in(jax.random.key(seed), i))
        parts.append(part)
    return parts


def episode_mean(estimator: Any, truncations: int = LENGTH // STEPS) -> Mean:
    each = np.mean([np.asarray(part.gradient, np.float64) for part in contributions(estimator, truncations)], axis=0)
    return Mean(each.mean(axis=0), each.std(axis=0) / len(each) ** 0.5)


def distance(mean: Mean, exact: np.ndarray) -> float:
    """In standard errors, the largest over the meta-parameters."""
    return float(np.max(np.abs(mean.value - exact) / mean.error))


UNBIASED = {
    "pes": (evolution.pes(PROBLEM, MANY, STEPS, SIGMA), 4),
    "noise reuse": (evolution.noise_reuse(PROBLEM, MANY, STEPS, SIGMA, period=2), 4),
    "ES-Single": (evolution.es_single(PROBLEM, MANY, STEPS, SIGMA), 4),
    "full ES": (evolution.full_es(PROBLEM, MANY, SIGMA), 1),
    "forward": (ForwardGradient(PROBLEM, MANY, STEPS), 4),
}
TRUNCATED = {
    "truncated ES": evolution.truncated_es(PROBLEM, MANY, STEPS, SIGMA),
    "truncated forward": ForwardGradient(PROBLEM, MANY, STEPS, persistent=False),
}


@pytest.mark.parametrize("name", UNBIASED)
def test_unbiased_ones_have_the_exact_mean(name: str) -> None:
    estimator, truncations = UNBIASED[name]
    mean, exact = episode_mean(estimator, truncations), gradient(PROBLEM, LENGTH)
    assert distance(mean, exact) < 4.5
    assert np.all(mean.error < 0.02 * np.linalg.norm(exact))  # an error of 10 % would have been seen


@pytest.mark.parametrize("name", TRUNCATED)
def test_truncated_ones_are_biased_as_predicted(name: str) -> None:
    mean = episode_mean(TRUNCATED[name])
    assert distance(mean, gradient(PROBLEM, LENGTH, truncation=STEPS)) < 4.5
    assert distance(mean, gradient(PROBLEM, LENGTH)) > 20


def test_backprop_is_exact_within_a_truncation() -> None:
    whole = np.asarray(contributions(Backprop(PROBLEM, 2, LENGTH), 1)[0].gradient)
    np.testing.assert_allclose(whole[0], gradient(PROBLEM, LENGTH), rtol=1e-5)
    parts = contributions(Backprop(PROBLEM, 2, STEPS), LENGTH // STEPS)
    np.testing.assert_allclose(np.mean([p.gradient[0] for p in parts], axis=0), gradient(PROBLEM, LENGTH, truncation=STEPS), rtol=1e-5)


def test_pes_is_es_single_where_an_episode_is_one_truncation() -> None:
    pes, single = (contributions(make(PROBLEM, 64, LENGTH, SIGMA), 1)[0] for make in (evolution.pes, evolution.es_single))
    np.testing.assert_array_equal(pes.gradient, single.gradient)
    longer = [contributions(make(PROBLEM, 64, STEPS, SIGMA), 2)[1] for make in (evolution.pes, evolution.es_single)]
    assert not np.allclose(longer[0].gradient, longer[1].gradient)


def test_variance_grows_with_truncations_for_pes_and_not_for_es_single() -> None:
    """Where every step's loss depends on theta alone, truncation j of PES has the variance |gradient|² (2 j + 1), ES-Single's 3."""
    problem, truncations = Moving(rho=0.0, length=16), 16
    slope = np.sum(gradient(problem, 1) ** 2)
    for make, growth in ((evolution.pes, 2.0), (evolution.es_single, 0.0)):
        parts = contributions(make(problem, MANY, 1, 0.01), truncations)
        variance = [np.sum(np.var(np.asarray(part.gradient, np.float64), axis=0)) / slope for part in parts]
        np.testing.assert_allclose(variance, [3 + growth * j for j in range(truncations)], rtol=0.06)


def test_a_guided_mean_is_the_gradient_times_the_covariance() -> None:
    guide = Guide(SIGMA, share=0.25, memory=1)
    estimator = evolution.EvolutionStrategies(PROBLEM, MANY, LENGTH, noise=guide)
    direction = np.array([0.6, 0.8])
    state = together(estimator.init(theta(), LENGTH))._replace(guide=jnp.asarray(direction[None], jnp.float32))
    part, _ = jax.jit(estimator.contributions)(theta(), state, jax.random.key(0))
    each = np.asarray(part.gradient, np.float64)
    covariance = 0.25 * np.eye(2) + 0.75 * 2.0 * np.outer(direction, direction)
    assert distance(Mean(each.mean(axis=0), each.std(axis=0) / MANY**0.5), covariance @ gradient(PROBLEM, LENGTH)) < 4.5
    after = estimator.after(state, jnp.array([0.0, -3.0]))
    np.testing.assert_allclose(after.guide, [[0.0, -1.0]])


@pytest.mark.parametrize("make", [partial(evolution.pes, sigma=SIGMA), Backprop])
def test_steps_beyond_an_episodes_end_do_not_count(make: Any) -> None:
    problem = Moving(length=5)
    parts = contributions(make(problem, MANY, 4), 2)
    assert [int(part.counted[0]) for part in parts] == [4, 1]
    assert [bool(part.ended[0]) for part in parts] == [False, True]
    if make is Backprop:
        exact = gradient(problem, 5, truncation=4, whole=4)
        np.testing.assert_allclose(sum(p.gradient[0] for p in parts), exact, rtol=1e-5)
    else:
        each = np.sum([np.asarray(part.gradient, np.float64) for part in parts], axis=0)
        assert distance(Mean(each.mean(axis=0), each.std(axis=0) / MANY**0.5), gradient(problem, 5, whole=4)) < 4.5


@pytest.mark.parametrize("make", [evolution.es_single, Backprop])
def test_particles_that_break_are_left_out_and_start_again(make: Any) -> None:
    """The mean is that of the sound ones, and broken ones are sound again where their next episode is."""
    broken, sound = (make(Moving(length=LENGTH, breaks=breaks), 64, STEPS) for breaks in (True, False))
    state, key = together(broken.init(theta(), LENGTH)), jax.random.key(0)
    step = jax.jit(partial(estimate, broken))
    update, after, info = step(theta(), state, key)
    bad = np.asarray(after.particles.track.broken)
    assert 0 < info.masked == bad.sum() < 64
    part, _ = jax.jit(sound.contributions)(theta(), together(sound.init(theta(), LENGTH)), key)
    np.testing.assert_allclose(update["step"], np.asarray(part.gradient)[~bad].mean(axis=0), rtol=1e-4)
    assert np.isfinite(info.loss)
    _, later, _ = step(theta(), after, jax.random.key(1))
    assert np.any(bad & ~np.asarray(later.particles.track.broken))
    np.testing.assert_array_equal(np.asarray(later.particles.track.t)[bad], STEPS)


def test_antithetic_arms_see_the_same_data() -> None:
    part = contributions(evolution.pes(Moving(noise=10.0), 64, STEPS, 1e-3), 1)[0]
    assert np.std(part.loss) > 1
    np.testing.assert_array_equal(part.gradient, np.zeros((64, 2)))


def test_first_episodes_are_staggered_and_later_ones_whole() -> None:
    estimator = evolution.pes(Moving(length=100), 256, 100)
    state = estimator.init(theta(), 100)
    step = jax.jit(estimator.contributions)
    _, state = step(theta(), state, jax.random.key(0))
    lengths = np.asarray(state.particles.track.episode.length)
    assert lengths.min() < 10 and lengths.max() > 90 and abs(lengths.mean() - 50) < 8
    _, state = step(theta(), state, jax.random.key(1))
    assert set(np.asarray(state.particles.track.episode.length)) == {100}


def test_episodes_are_as_long_as_the_limit_allows() -> None:
    estimator = evolution.pes(Moving(length=0), 256, 1000)
    state = together(estimator.init(theta(), 10))
    step = jax.jit(estimator.contributions)
    _, state = step(theta(), state, jax.random.key(0))
    assert np.asarray(state.particles.track.episode.length).max() == 10
    _, state = step(theta(), state._replace(limit=jnp.int32(1000)), jax.random.key(1))
    lengths = np.asarray(state.particles.track.episode.length)
    assert lengths.max() > 500 and np.median(lengths) < 100  # log-uniform
