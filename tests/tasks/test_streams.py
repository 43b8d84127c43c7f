"""The hashed random streams: ranges, distributions, independence."""

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.streams import derive, draw, normal, uniform

SEEDS = st.integers(0, 2**31 - 1)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(SEEDS, st.integers(1, 2000))
def test_rows_are_in_range(seed, limit):
    rows = np.asarray(draw(jax.random.key(seed), 64, limit))
    assert rows.min() >= 0
    assert rows.max() < limit


def test_rows_are_uniform_within_and_across_steps():
    key = jax.random.key(3)
    rows = jax.vmap(lambda step: draw(derive(key, step), 64, 50))(np.arange(1000))
    counts = np.bincount(np.asarray(rows).ravel(), minlength=50)
    chi = ((counts - 1280) ** 2 / 1280).sum()
    assert 20 < chi < 95  # 49 degrees of freedom: outside with probability 1e-4
    assert abs(np.corrcoef(rows[:-1, 0], rows[1:, 0])[0, 1]) < 0.13  # 4 standard errors
    assert abs(np.corrcoef(rows[:, 0], rows[:, 1])[0, 1]) < 0.13


def test_normal_numbers_have_the_moments_of_a_normal():
    z = np.asarray(normal(jax.random.key(0), (100, 1000)), np.float64)
    assert abs(z.mean()) < 0.013
    assert abs(z.var() - 1) < 0.02
    assert abs((z**4).mean() - 3) < 0.15
    assert abs(np.mean(z[:, 1:] * z[:, :-1])) < 0.013


def test_uniform_numbers_stay_inside_the_open_interval():
    u = np.asarray(uniform(jax.random.key(1), (300_000,)))
    assert 0 < u.min() < 1e-4
    assert 1 - 1e-4 < u.max() < 1


def test_derived_keys_are_distinct_and_reproducible():
    keys = jax.vmap(lambda step: derive(jax.random.key(7), step))(np.arange(-2, 5000))
    words = {tuple(words) for words in np.asarray(jax.random.key_data(keys)).tolist()}
    assert len(words) == 5002
    again = jax.random.key_data(derive(jax.random.key(7), -2))
    np.testing.assert_array_equal(again, jax.random.key_data(keys)[0])


def test_keys_of_neighbouring_seeds_give_unrelated_numbers():
    z = np.stack([np.asarray(normal(jax.random.key(seed), (2000,))) for seed in range(6)])
    correlation = np.corrcoef(z) - np.eye(6)
    assert np.abs(correlation).max() < 0.1


def test_every_implementation_of_keys_is_accepted():
    assert draw(jax.random.key(0, impl="rbg"), 4, 10).shape == (4,)
