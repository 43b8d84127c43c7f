"""The shared battery: every known rule trains, and behaves as an optax transformation should."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from search_space import factory, optimizer, schedule, training_step, wrap, zoo
from search_space.compiler import QUERY_KEYWORDS
from search_space.program import EVALUATIONS, QUERY_INPUTS
from tests.search_space.zoo.harness import MATRIX_TOLERANCE, TOLERANCE, relative
from tests.search_space.zoo.objectives import Data, linear, losses, network

PARAMS = {"w": jnp.asarray([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.1]]), "b": jnp.asarray([0.3, -0.4]), "s": jnp.asarray(2.0)}
GRADS = jax.tree.map(lambda x: 0.1 * x + 0.01, PARAMS)
DAILY = (
    "adamw", "grokfast_ma", "adafactor", "prodigy", "muon", "shampoo",
    "sam", "sophia_h", "smb", "sema", "schedule_free", "cosine", "norm_test",
)  # fmt: skip
"""Rules of every kind and tier that `make test` takes through the battery; `make battery` takes all."""


def _over(names: list[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [n if n in DAILY else pytest.param(n, marks=pytest.mark.long) for n in names])


RULES = _over(list(zoo.names()))
TRAINERS = _over([name for name in zoo.names() if zoo.kind(name) != "controller"])
"""Rules that move weights; a controller's value is a number for the training loop."""
RATES = (1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0)


def transformation(name: str, learning_rate: Any) -> optax.GradientTransformationExtraArgs:
    """The rule as it is used: wrappers around gradient descent, schedules as its rate, all others as they are."""
    if zoo.kind(name) == "wrapper":
        return wrap(name, optax.sgd(learning_rate))
    if zoo.kind(name) == "schedule":
        return optax.with_extra_args_support(optax.sgd(schedule(name, learning_rate)))
    return optimizer(name, learning_rate)


def inputs(name: str, like: Any) -> dict[str, Any]:
    """Query inputs of a rule as keywords of `update`."""
    programs = zoo.programs(name)
    kinds = {QUERY_KEYWORDS[q]: QUERY_INPUTS[q] for p in programs for q in p.queries}
    kinds |= {e.name: EVALUATIONS[e.what][1] for p in programs for e in p.plan}
    return {k: jnp.float32(1.0) if kind == "global" else like for k, kind in kinds.items()}


def trained(name: str, params: Any, steps: int, data: Data, rate: jax.Array) -> jax.Array:
    """Loss after some steps, over the loss at the start."""
    task = losses(data)
    if len(zoo.programs(name)) == 1 and zoo.kind(name) not in ("wrapper", "schedule"):
        init, step = training_step(name, rate, task)
        given = {k: v for k, v in inputs(name, jax.tree.map(jnp.ones_like, params)).items() if k in ("task", "examples")}
        one = lambda p, s: step(p, s, **given)[:2]  # noqa: E731
    else:
        tx = transformation(name, rate)
        init = tx.init

        def one(p: Any, s: Any) -> Any:
            value, grads = jax.value_and_grad(task.loss)(p)
            u, s = tx.update(grads, s, p, value=value)
            return optax.apply_updates(p, u), s

    end, _ = jax.lax.scan(lambda c, _: (one(*c), None), (params, init(params)), length=steps)[0]
    return task.loss(end) / task.loss(params)


def best(name: str, problem: tuple[Any, Data]) -> np.ndarray:
    """Relative loss after 200 steps at the best rate of a coarse grid, for each data set."""
    run = partial(trained, name, problem[0], 200)
    over_rates = jax.vmap(jax.vmap(run, in_axes=(None, 0)), in_axes=(0, None))
    ends = jax.jit(over_rates, compiler_options={"xla_backend_optimization_level": 0})(problem[1], jnp.asarray(RATES))
    return np.nanmin(np.where(np.isfinite(ends), ends, np.nan), axis=1)


@TRAINERS
def test_trains_on_least_squares_and_logistic_regression(name: str) -> None:
    assert np.all(best(name, linear()) < 0.8)


@TRAINERS
def test_trains_a_network(name: str) -> None:
    assert np.all(best(name, network()) < 0.8)


@RULES
def test_state_keeps_shape_and_dtype_under_cond(name: str) -> None:
    """Tracing a conditional compares both branches."""
    tx, extra = transformation(name, 0.1), inputs(name, GRADS)
    state = tx.init(PARAMS)
    after = jax.eval_shape(
        lambda flag, s: jax.lax.cond(flag, lambda s: tx.update(GRADS, s, PARAMS, **extra)[1], lambda s: s, s), True, state
    )
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)


@RULES
def test_second_call_does_not_compile_and_unknown_arguments_do_no_harm(name: str, caplog: pytest.LogCaptureFixture) -> None:
    tx, extra = transformation(name, 0.1), {**inputs(name, GRADS), "something_else": jnp.zeros(())}
    step = jax.jit(tx.update)
    _, state = step(GRADS, tx.init(PARAMS), PARAMS, **extra)
    with jax.log_compiles(True), caplog.at_level(logging.WARNING):
        step(GRADS, state, PARAMS, **extra)
    assert "Compiling" not in caplog.text


def same(name: str, updates: Any, expected: Any) -> bool:
    """Up to rounding, as the references are."""
    return relative(updates, expected) <= (MATRIX_TOLERANCE if zoo.kind(name) == "matrix" else TOLERANCE)


@RULES
def test_inside_other_transformations(name: str) -> None:
    plain, extra = transformation(name, 0.1), inputs(name, GRADS)
    expected, _ = plain.update(GRADS, plain.init(PARAMS), PARAMS, **extra)
    make = partial(transformation, name) if zoo.kind(name) in ("wrapper", "schedule") else factory(name)
    for tx in (
        optax.chain(optax.clip_by_global_norm(1e9), plain),
        optax.inject_hyperparams(make)(learning_rate=0.1),
        optax.MultiSteps(plain, 1),
    ):
        updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS, **extra)
        assert same(name, updates, expected)


@RULES
def test_masked(name: str) -> None:
    mask = {"w": True, "b": False, "s": True}
    inner, part = transformation(name, 0.1), lambda tree: {k: v for k, v in tree.items() if mask[k]}
    expected, _ = inner.update(part(GRADS), inner.init(part(PARAMS)), part(PARAMS), **inputs(name, part(GRADS)))
    tx, holes = optax.masked(inner, mask), {**GRADS, "b": optax.MaskedNode()}
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS, **inputs(name, holes))
    np.testing.assert_array_equal(updates["b"], GRADS["b"])  # type: ignore[index]
    assert same(name, part(updates), expected)


@RULES
def test_learning_rate_schedule(name: str) -> None:
    """The first step at the scheduled rate is that of the number."""
    fixed, extra = transformation(name, 0.1), inputs(name, GRADS)
    scheduled = transformation(name, optax.piecewise_constant_schedule(0.1, {5: 0.2}))
    expected, _ = fixed.update(GRADS, fixed.init(PARAMS), PARAMS, **extra)
    updates, _ = scheduled.update(GRADS, scheduled.init(PARAMS), PARAMS, **extra)
    assert same(name, updates, expected)


@RULES
def test_bfloat16_parameters_keep_their_dtype_and_state_is_float32(name: str) -> None:
    half, grads = (jax.tree.map(lambda x: x.astype(jnp.bfloat16), tree) for tree in (PARAMS, GRADS))
    tx = transformation(name, 0.1)
    state = tx.init(half)
    updates, after = jax.eval_shape(lambda g, s, p: tx.update(g, s, p, **inputs(name, grads)), grads, state, half)
    assert {x.dtype for x in jax.tree.leaves(updates)} == {jnp.dtype(jnp.bfloat16)}
    for tree in (state, after):
        assert {x.dtype for x in jax.tree.leaves(tree)} <= {jnp.dtype(jnp.float32), jnp.dtype(jnp.int32)}


@RULES
def test_empty_trees_and_zero_gradients(name: str) -> None:
    tx = transformation(name, 0.1)
    updates, _ = tx.update({}, tx.init({}), {}, **inputs(name, {}))
    assert updates == {}
    zeros, state = jax.tree.map(jnp.zeros_like, PARAMS), tx.init(PARAMS)
    for _ in range(2):
        updates, state = tx.update(zeros, state, PARAMS, **inputs(name, zeros))
        assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves((updates, state)))
