"""The small types: schedule, finiteness, adapters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts import Schedule, Task, TaskFamily, TensorMeta, all_finite, from_optax, single


def test_constant_schedule_warms_up_and_stays():
    values = [float(Schedule("constant", 0.2).value(step, 20)) for step in range(20)]
    np.testing.assert_allclose(values, [0.25, 0.5, 0.75, *[1.0] * 17], rtol=1e-6)


def test_cosine_schedule_is_half_a_cosine_after_the_warm_up():
    schedule = Schedule("cosine", 0.0)
    values = [float(schedule.value(step, 4)) for step in range(4)]
    np.testing.assert_allclose(values, 0.5 * (1 + np.cos(np.pi * np.arange(4) / 4)), rtol=1e-6)
    warm = [float(Schedule("cosine", 0.5).value(step, 8)) for step in (0, 3, 4, 6)]
    np.testing.assert_allclose(warm, [0.25, 1.0, 1.0, 0.5], rtol=1e-6)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.sampled_from(["constant", "cosine"]), st.floats(0, 1), st.integers(1, 10_000), st.data())
def test_schedule_is_positive_at_every_step(kind, warmup, steps, data):
    step = data.draw(st.integers(0, steps - 1))
    assert 0 < float(Schedule(kind, warmup).value(step, steps)) <= 1


def test_schedule_takes_traced_lengths():
    value = jax.jit(Schedule().value)
    assert float(value(3, 50)) == pytest.approx(float(Schedule().value(3, 50)), rel=1e-6)
    value(7, 1000)
    assert value._cache_size() == 1


@pytest.mark.parametrize(("arguments", "message"), [(("linear",), "linear.*allowed"), (("cosine", 1.5), "1.5.*allowed")])
def test_schedule_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Schedule(*arguments)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("leaf", ["matrix", "other matrix", "vector"])
def test_all_finite_finds_the_member(bad, leaf):
    tree = {"matrix": np.ones((3, 4, 5)), "other matrix": np.ones((3, 4, 5)), "vector": np.ones((3, 2)), "count": np.arange(3)}
    tree[leaf][1, -1] = bad
    assert jax.jit(all_finite)(tree).tolist() == [True, False, True]


@pytest.mark.parametrize("size", [700, 2000])  # a sum of few, a product of many
def test_all_finite_takes_the_largest_numbers_and_several_trees(size):
    largest = np.full((2, size), np.finfo(np.float32).max, np.float32)
    assert jax.jit(all_finite)({"matrix": largest}, [-largest]).tolist() == [True, True]
    assert jax.jit(all_finite)({"matrix": largest}, [-largest * np.asarray([[1], [np.inf]], np.float32)]).tolist() == [True, False]


def test_all_finite_without_floats_is_true():
    assert bool(all_finite({"count": jnp.arange(3)}))


def test_from_optax_uses_the_rate_of_each_member():
    params = {"w": jnp.zeros((3, 2))}
    optimizer = from_optax(optax.sgd)
    updates, _ = optimizer.update({"w": jnp.ones((3, 2))}, optimizer.init(params), params, jnp.array([1.0, 10.0, 0.0]))
    np.testing.assert_array_equal(updates["w"], [[-1, -1], [-10, -10], [0, 0]])


def test_single_wraps_a_task():
    task = Task("t", lambda key: 0.0, lambda key, split: 0.0, lambda p, b, key: p, TensorMeta("vector", 1, 1))
    family = single(task)
    assert isinstance(family, TaskFamily)
    assert family.name == "t"
    assert family.task(family.sample(jax.random.key(0))) is task
    assert single(task) == family  # so that programs compiled for one serve the other
    assert hash(single(task)) == hash(family)
