"""What every learned optimizer owes its users: optax's conventions, sizes, scale invariance, registry."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from meta_train.contracts import LearnedOptimizer, Scales
from meta_train.errors import LearnedOptimizerError
from meta_train.registry import ARCHITECTURES, load, names, parse

SPECS = [
    "adam",
    "celo2",
    "coordinate_lstm?hidden=3",
    "program:adam",
    "scale_free?hidden=2",
    "scale_free?hidden=2&bf16=1",
    "scale_free?hidden=2&adaptive=1",
    "sgd",
    "small_fc?hidden=2",
    "structured?hidden=3",
    "velo?hidden=3&bases=2&units=2",
]
SCALE_FREE = ["scale_free?hidden=2", "scale_free?hidden=2&adaptive=1"]
SHAPES = {"matrix": (4, 3), "vector": (3,), "scalar": ()}


def made(spec: str) -> tuple[Any, Any]:
    """An architecture and a theta with every number moved a little."""
    optimizer = load(spec)
    theta = optimizer.init(jax.random.key(0))
    noise = np.random.default_rng(1)
    return optimizer, jax.tree.map(lambda x: x + np.asarray(0.05 * noise.normal(size=x.shape), np.float32), theta)


def trees(seed: int, dtype: Any = np.float32) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {name: jnp.asarray(generator.normal(size=shape), dtype) for name, shape in SHAPES.items()}


def same_structure(a: Any, b: Any) -> bool:
    """Equal trees, shapes, dtypes and weak types."""
    described = [jax.tree.map(lambda x: (jnp.shape(x), jax.typeof(x).dtype, jax.typeof(x).weak_type), t) for t in (a, b)]
    return described[0] == described[1]


class Running(NamedTuple):
    """A learned optimizer compiled once, with learning rate and decay as arguments of `update`."""

    optimizer: Any
    theta: Any
    init: Callable[[Any], Any]
    update: Callable[..., Any]
    traces: list[int]


@cache
def running(spec: str) -> Running:
    optimizer, theta = made(spec)
    traces: list[int] = []

    def update(grads: Any, state: Any, params: Any, rate: Any, decay: Any) -> Any:
        traces.append(1)
        tx = optimizer.transform(theta, learning_rate=rate, weight_decay=decay, mask={"matrix": True, "vector": False, "scalar": False})
        return tx.update(grads, state, params, value=jnp.float32(1.5), unknown=3)

    return Running(optimizer, theta, optimizer.transform(theta, learning_rate=1.0).init, jax.jit(update), traces)


@pytest.mark.parametrize("spec", SPECS)
def test_a_training(spec: str) -> None:
    """Compiled once; finite steps of the weights' shapes, also for gradients of zero; a state that keeps its structure."""
    run, params = running(spec), trees(0)
    state = run.init(params)
    for step, factor in enumerate((1.0, 1e-4, 1e4, 0.0)):
        grads = jax.tree.map(lambda g, c=np.float32(factor): c * g, trees(step + 1))
        updates, new = run.update(grads, state, params, np.float32(1e-3), np.float32(0.1))
        assert same_structure(updates, params) and same_structure(state, new)
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves((updates, new)))
        assert any(np.any(x != 0) for x in jax.tree.leaves(updates))
        state, params = new, jax.tree.map(jnp.add, params, updates)
    updates, new = run.update(jax.tree.map(jnp.zeros_like, params), run.init(params), params, np.float32(1e-3), np.float32(0.0))
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves((updates, new)))
    updates, _ = run.update(trees(1), state, params, np.float32(0.0), np.float32(0.1))
    assert not any(np.any(x != 0) for x in jax.tree.leaves(updates))
    assert len(run.traces) == 1


@pytest.mark.parametrize("spec", SPECS)
def test_optax_wrappers(spec: str) -> None:
    """Chains, masks and accumulation take it, with bf16 weights, a schedule, extra arguments, and none; traced, not compiled."""
    optimizer, theta = made(spec)
    tx = optimizer.transform(theta, learning_rate=optax.linear_schedule(0.1, 0.0, 4), num_steps=100)
    chain = optax.chain(optax.clip_by_global_norm(1.0), tx)
    partial_mask = {"matrix": True, "vector": True, "scalar": False}
    params = trees(0, jnp.bfloat16)
    for wrapped in (tx, chain, optax.MultiSteps(chain, 2), optax.masked(tx, partial_mask)):
        state = jax.eval_shape(wrapped.init, params)
        for extra in ({}, {"value": jnp.float32(1.0), "unknown": 3}):
            updates, new = jax.eval_shape(lambda g, s, p, tx=wrapped, extra=extra: tx.update(g, s, p, **extra), params, state, params)
            assert jax.tree.map(lambda x: (x.shape, x.dtype), (updates, new)) == jax.tree.map(lambda x: (x.shape, x.dtype), (params, state))
    assert isinstance(optimizer, LearnedOptimizer) and load(optimizer.name) == optimizer


@pytest.mark.parametrize("spec", SPECS)
def test_empty_trees_and_missing_weights(spec: str) -> None:
    optimizer, theta = made(spec)
    tx = optimizer.transform(theta, learning_rate=0.1)
    updates, state = tx.update({}, tx.init({}), {})
    assert updates == {} and same_structure(state, tx.init({}))
    with pytest.raises(ValueError, match="weights"):
        tx.update(trees(0), tx.init(trees(0)))


@pytest.mark.parametrize("spec", SCALE_FREE)
def test_gradient_scale_changes_nothing(spec: str) -> None:
    run, params = running(spec), trees(0)

    def last(factor: float) -> Any:
        state, updates = run.init(params), None
        for step in range(4):
            grads = jax.tree.map(lambda g: np.float32(factor) * g, trees(step + 1))
            updates, state = run.update(grads, state, params, np.float32(1.0), np.float32(0.0))
        return updates

    expected = last(1.0)
    for factor in 10.0 ** np.arange(-6, 7):
        for name, x in last(factor).items():
            np.testing.assert_allclose(x, expected[name], rtol=0, atol=1e-5 * np.max(np.abs(expected[name])), err_msg=f"{factor} {name}")


@pytest.mark.parametrize("spec", SCALE_FREE)
def test_size_of_steps_is_bounded(spec: str) -> None:
    """Root mean square within learning rate times e², whatever the gradients."""
    run, params = running(spec), trees(0)
    state = run.init(params)
    for step, factor in enumerate((1.0, 1e-9, 1e9, 0.0, 1.0)):
        grads = jax.tree.map(lambda g, c=np.float32(factor): c * g, trees(step))
        updates, state = run.update(grads, state, params, np.float32(0.3), np.float32(0.0))
        for x in jax.tree.leaves(updates):
            assert np.sqrt(np.mean(np.square(x))) <= 0.3 * np.exp(2.0) * 1.001


def test_learnable_adam_is_adam() -> None:
    optimizer, params = load("adam"), trees(0)
    ours = optimizer.transform(optimizer.matching(3e-2, 0.8, 0.95, 1e-5), learning_rate=0.5)  # type: ignore[attr-defined]
    theirs = optax.adam(1.5e-2, 0.8, 0.95, 1e-5)
    states = ours.init(params), theirs.init(params)
    for step in range(4):
        a, mine = ours.update(trees(step), states[0], params)
        b, other = theirs.update(trees(step), states[1], params)
        states = mine, other
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-5, atol=1e-8), a, b)


def test_learnable_sgd_has_a_rate_for_vectors() -> None:
    tx = load("sgd").transform({"log_rate": jnp.log(jnp.asarray([0.1, 0.5]))}, learning_rate=2.0)
    params, grads = trees(0), trees(1)
    updates, _ = tx.update(grads, tx.init(params), params)
    np.testing.assert_allclose(updates["matrix"], -1.0 * grads["matrix"], rtol=1e-6)
    np.testing.assert_allclose(updates["vector"], -0.2 * grads["vector"], rtol=1e-6)


def test_decay_mask_and_scales() -> None:
    """Each multiplier does exactly what it says, on learnable SGD whose step is known."""
    one = {"log_rate": jnp.zeros(2)}
    scales = Scales(
        update={"matrix": 3.0, "vector": 1.0, "scalar": 1.0},
        gradient={"matrix": 5.0, "vector": 1.0, "scalar": 1.0},
        decay={"matrix": 7.0, "vector": 7.0, "scalar": 7.0},
    )
    mask = {"matrix": True, "vector": False, "scalar": True}
    for optimizer, theta in ((load("sgd"), one), (load("program:sgd"), {"log_rate": jnp.zeros(()), "hypers": {}})):
        tx = optimizer.transform(theta, learning_rate=0.1, weight_decay=0.01, mask=mask, scales=scales)
        params, grads = trees(0), trees(1)
        updates, _ = tx.update(grads, tx.init(params), params)
        np.testing.assert_allclose(updates["matrix"], -0.1 * (15.0 * grads["matrix"] + 0.07 * params["matrix"]), rtol=1e-5)
        np.testing.assert_allclose(updates["vector"], -0.1 * grads["vector"], rtol=1e-6)
        np.testing.assert_allclose(updates["scalar"], -0.1 * (grads["scalar"] + 0.07 * params["scalar"]), rtol=1e-5)


@pytest.mark.parametrize("rule", ["lion", "adam"])
def test_program_is_the_rule(rule: str) -> None:
    """At the rule's defaults the learned optimizer is `search_space.optimizer` itself."""
    from search_space import optimizer as known

    learned, params = load(f"program:{rule}"), trees(0)
    ours = learned.transform(learned.init(jax.random.key(0)), learning_rate=0.02)
    theirs = known(rule, 0.02)
    states = ours.init(params), theirs.init(params)
    for step in range(3):
        a, mine = ours.update(trees(step), states[0], params)
        b, other = theirs.update(trees(step), states[1], params)
        states = mine, other
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-7), a, b)


@pytest.mark.parametrize(("spec", "count"), [("celo2", 347), ("scale_free", 223), ("scale_free?adaptive=1", 230), ("sgd", 2), ("adam", 8)])
def test_number_of_weights(spec: str, count: int) -> None:
    assert sum(x.size for x in jax.tree.leaves(jax.eval_shape(load(spec).init, jax.random.key(0)))) == count


def test_an_adaptive_rate_grows_while_gradients_agree_and_shrinks_while_they_turn() -> None:
    """Gradients that stay grow every tensor's own rate as the mean of their cosine comes up; those that turn shrink it."""
    optimizer = load("scale_free?adaptive=1")
    tx = optimizer.transform(optimizer.init(jax.random.key(0)), learning_rate=0.01)
    params, signs = trees(0), {"stay": 1.0, "turn": -1.0}
    sizes: dict[str, list[float]] = {name: [] for name in signs}
    for name, sign in signs.items():
        state, grads = tx.init(params), trees(1)
        for _ in range(20):
            updates, state = tx.update(grads, state, params, value=jnp.float32(1.0))
            sizes[name].append(float(optax.tree.norm(updates["matrix"])))
            grads = jax.tree.map(lambda g, sign=sign: sign * g, grads)
    seen = np.sqrt(1.0 - 0.9 ** np.arange(1, 20))  # mean over root mean square of k ones after none
    assert sizes["stay"][-1] / sizes["stay"][0] == pytest.approx(np.exp(0.1 * np.tanh(0.55 * seen).sum()), rel=1e-3)
    assert sizes["turn"][-1] < 0.5 * sizes["turn"][0]


def test_registry_knows_every_field() -> None:
    """Parameters of the registry are the dataclass fields, in name and type, and every default is allowed."""
    from dataclasses import fields

    for name in names():
        optimizer = load(name)
        assert optimizer.name == name
        known = ARCHITECTURES[name].parameters
        assert {f.name for f in fields(optimizer)} == set(known)  # type: ignore[arg-type]
        for key, rule in known.items():
            assert type(getattr(optimizer, key)) is rule.type and rule.low <= getattr(optimizer, key) <= rule.high


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nothing", "unknown learned optimizer 'nothing', allowed: adam, celo2"),
        ("small_fc?", "nothing after '?'"),
        ("small_fc?hidden", "expected name=number"),
        ("small_fc?hidden=0", "from 1 to 1024"),
        ("small_fc?hidden=2.5", "a whole number"),
        ("small_fc?hidden=4&hidden=4", "sets 'hidden' twice"),
        ("sgd?hidden=4", "no parameter 'hidden', allowed: none"),
        ("small_fc?step=nan", "allowed: a number"),
    ],
)
def test_bad_specs(spec: str, message: str) -> None:
    with pytest.raises(LearnedOptimizerError) as caught:
        parse(spec)
    assert message in str(caught.value) and "\n" not in str(caught.value)
