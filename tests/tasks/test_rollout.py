"""The inner loop against a plain loop in Python, and what it promises about batches, failures and compilation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.batch import TaskBatch
from tasks.contracts import BatchOptimizer, Schedule, Status, all_finite, from_optax
from tasks.registry import load
from tasks.rollout import _stops, rollout
from tasks.streams import derive

STEADY = Schedule("constant", 0.0)
SGD = from_optax(optax.sgd)


def runner(optimizer, **options):
    return jax.jit(lambda batch, steps: rollout(batch, optimizer, steps=steps, **{"schedule": STEADY, "keep_params": True} | options))


def quadratics(rates, **sizes):
    return TaskBatch.create(load("noisy_quadratic?rows=4&cols=3"), jax.random.key(1), learning_rates=rates, **sizes)


def plain_loop(task, schedule, key, rates, steps):
    """What the members of one seed should do; shares with the loop under test only the task and its stream of keys."""
    transformation = optax.inject_hyperparams(optax.adamw)(learning_rate=0.0)

    @jax.jit
    def advance(params, state, key, rate):
        gradient = jax.grad(task.loss)(params, task.batch(key, "train"), derive(key, 0))
        state.hyperparams["learning_rate"] = rate
        updates, state = transformation.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    for rate in rates:
        params = jax.jit(task.init)(derive(key, -1))
        state = transformation.init(params)
        for step in range(steps):
            params, state = advance(params, state, derive(key, step), rate * schedule.value(step, steps))
        yield params, task.loss(params, task.batch(key, "valid"), key)


def test_adamw_trains_as_in_a_plain_loop():
    batch = TaskBatch.create(load("micro_mlp?vary=1"), jax.random.key(4), learning_rates=[0.003, 0.03])
    result = runner(from_optax(optax.adamw), schedule=Schedule())(batch, 12)
    expected = plain_loop(batch.task(), Schedule(), batch.keys[0, 0], batch.learning_rates, 12)
    for member, (params, loss) in enumerate(expected):
        np.testing.assert_allclose(result.final["valid"][0, 0, member], loss, rtol=1e-5)
        jax.tree.map(lambda a, b, m=member: np.testing.assert_allclose(a[m], b, atol=1e-5), result.params, params)


def test_members_train_as_they_do_alone():
    batch = TaskBatch.create(load("digits_mlp?vary=1&width=8"), jax.random.key(2), learning_rates=[0.003, 0.03], tasks=2, seeds=2)
    run = runner(from_optax(optax.adamw), evals=3)
    together = run(batch, 20)
    for t, s, rate in np.ndindex(batch.shape):
        alone = run(batch.select(slice(t, t + 1), slice(s, s + 1), slice(rate, rate + 1)), 20)
        np.testing.assert_allclose(together.curve[t, s, rate], alone.curve[0, 0, 0], rtol=1e-5)
        np.testing.assert_allclose(together.initial[t, s], alone.initial[0, 0], rtol=1e-6)
    assert len({float(loss) for loss in together.curve[..., -1].ravel()}) == 8  # eight different trainings


def test_tasks_and_seeds_do_not_depend_on_their_number():
    few, many = quadratics([0.1]), quadratics([0.1], tasks=3, seeds=2)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[:1]), few.configs, many.configs)
    np.testing.assert_array_equal(jax.random.key_data(few.keys), jax.random.key_data(many.keys[:1, :1]))


def test_learning_rates_share_weights_and_minibatches():
    batch = quadratics([0.1, 0.5], seeds=2)
    params = jax.jit(TaskBatch.init)(batch)
    at_step = jax.jit(TaskBatch.gradients)
    gradients = at_step(batch, params, 3)
    for leaf in [*jax.tree.leaves(params), *jax.tree.leaves(gradients)]:
        np.testing.assert_array_equal(leaf[0], leaf[1])
        assert not np.array_equal(leaf[0], leaf[2])  # the other seed
    other_step = at_step(batch, params, 4)
    assert not np.array_equal(gradients["matrix"], other_step["matrix"])


def test_equal_inputs_give_equal_bits():
    run, batch = runner(from_optax(optax.adam)), quadratics([0.1, 0.5])
    jax.tree.map(np.testing.assert_array_equal, run(batch, 30), run(batch, 30))


def test_a_diverging_member_is_marked_and_disturbs_no_other():
    run = runner(SGD)
    good, bad = run(quadratics([0.1, 0.2, 0.3]), 40), run(quadratics([0.1, 1e30, 0.3]), 40)
    assert good.status.ravel().tolist() == [Status.OK] * 3
    assert bad.status.ravel().tolist() == [Status.OK, Status.NONFINITE, Status.OK]
    others = np.array([0, 2])
    np.testing.assert_array_equal(bad.curve[0, 0, others], good.curve[0, 0, others])
    assert np.isposinf(bad.curve[0, 0, 1, -1])
    assert np.isposinf(bad.final["valid"][0, 0, 1])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(bad.params))


def test_a_finite_explosion_is_called_diverged():
    result = runner(SGD)(quadratics([0.1, 2.6]), 20)
    assert result.status.ravel().tolist() == [Status.OK, Status.DIVERGED]
    assert np.isfinite(result.final["valid"][0, 0, 1])


def failing(update_at=None, state_at=None):
    """Gradient descent whose member 1 has a bad update or state at one step only."""

    def update(grads, state, params, learning_rate):
        del params
        member = jnp.arange(learning_rate.size) == 1
        rate = jnp.where(member & (state == update_at), jnp.nan, learning_rate) if update_at is not None else learning_rate
        return jax.tree.map(lambda g: -rate.reshape(-1, *[1] * (g.ndim - 1)) * g, grads), state + 1

    def finite(updates, state):
        return all_finite(updates) & ~((jnp.arange(3) == 1) & (state == (state_at + 1 if state_at is not None else -1)))

    return BatchOptimizer(lambda params: jnp.zeros((), jnp.int32), update, finite)


@pytest.mark.parametrize("how", ["update_at", "state_at"])
def test_one_bad_step_fails_the_member_and_freezes_its_weights(how):
    batch = quadratics([0.1, 0.1, 0.1])
    result = runner(failing(**{how: 7}))(batch, 20)
    before = runner(failing())(batch, 7)
    assert result.status.ravel().tolist() == [Status.OK, Status.NONFINITE, Status.OK]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[1], b[1], rtol=1e-6), result.params, before.params)
    np.testing.assert_array_equal(np.isfinite(result.curve[0, 0, 1]), [True, False, False, False, False])
    np.testing.assert_array_equal(result.curve[0, 0, 0], result.curve[0, 0, 2])


def test_the_loop_ends_when_nobody_is_alive():
    dead = SGD._replace(finite=lambda updates, state: jnp.zeros(2, bool))
    result = runner(dead)(quadratics([0.1, 0.2]), 2_000_000_000)  # hours, if it did not end
    assert (result.status == Status.NONFINITE).all()
    assert np.isposinf(result.curve).all()


def test_lengths_rates_and_configurations_never_recompile():
    run = runner(from_optax(optax.adamw))
    for steps, rates in [(10, [0.1, 0.2]), (23, [0.1, 0.2]), (3, [0.3, 0.01])]:
        run(quadratics(rates), steps)
    other = TaskBatch.create(load("noisy_quadratic?rows=4&cols=3"), jax.random.key(9), learning_rates=[1.0, 2.0])
    run(other, 11)
    assert run._cache_size() == 1


def test_evaluations_are_points_of_one_training():
    run, batch = runner(SGD, evals=4), quadratics([0.1])
    curve = run(batch, 22).curve[0, 0, 0]
    ends = [run(batch, stop).final["valid"][0, 0, 0] for stop in (5, 11, 16, 22)]
    np.testing.assert_allclose(curve, ends, rtol=1e-6)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.integers(1, 2_000_000_000), st.integers(1, 12))
def test_evaluations_are_equally_spaced(steps, evals):
    assert _stops(steps, evals).tolist() == [k * steps // evals for k in range(1, evals + 1)]


def test_other_splits_are_measured_at_the_end():
    batch = TaskBatch.create(load("micro_mlp"), jax.random.key(0), learning_rates=[0.01, 0.1])
    result = runner(SGD, splits=("test", "train"))(batch, 10)
    assert sorted(result.final) == ["test", "train"]
    task, key = batch.task(), batch.keys[0, 0]
    test_loss = jax.jit(jax.vmap(lambda params: task.loss(params, task.batch(key, "test"), key)))
    np.testing.assert_allclose(result.final["test"][0, 0], test_loss(result.params), rtol=1e-5)
    train_loss = jax.jit(jax.vmap(lambda params: task.loss(params, task.batch(key, "train"), key)))
    assert not np.allclose(result.final["test"][0, 0], train_loss(result.params), rtol=1e-3)
    assert runner(SGD, keep_params=False)(batch, 10).params is None


def test_rates_may_differ_by_task():
    rates = np.array([[[0.1, 0.2]], [[0.3, 0.4]]], np.float32)
    batch = quadratics(rates, tasks=2)
    np.testing.assert_array_equal(batch.rates(), rates.ravel())
    run = runner(SGD)
    whole, part = run(batch, 10), run(batch.select(slice(1, 2)), 10)
    np.testing.assert_allclose(whole.curve[1:], part.curve, rtol=1e-6)


def test_programs_can_be_mapped_over():
    batch, decays = quadratics([0.1, 0.3]), jnp.array([0.0, 0.5, 0.9])

    def momentum(decay):
        return from_optax(lambda rate: optax.chain(optax.trace(decay), optax.scale_by_learning_rate(rate)))

    def curve(decay):
        return rollout(batch, momentum(decay), steps=15, schedule=STEADY).curve

    mapped = jax.jit(lambda decays: jax.lax.map(curve, decays))(decays)
    alone = jax.jit(curve)
    for decay, result in zip(decays, mapped, strict=True):
        np.testing.assert_allclose(result, alone(decay), rtol=1e-5)
    assert not np.allclose(mapped[0], mapped[2])


def test_fewer_than_one_step_is_refused():
    with pytest.raises(ValueError, match="steps is 0, allowed: 1 or more"):
        rollout(quadratics([0.1]), SGD, steps=0)
