"""Wrappers, filters, schedules, controllers and factories."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose

from search_space import RuleError, controller, evaluation_params, factory, gradient_filter, optimizer, schedule, wrap

RNG = np.random.default_rng(0)
W = {"a": jnp.asarray(RNG.normal(size=(3, 2)), jnp.float32), "s": jnp.asarray(0.5, jnp.float32)}
G = jax.tree.map(lambda w: 0.3 * w + 0.1, W)
WRITES_BACK = "def back(w, g, lr, u, *, n: global = zeros):\n    n = n + 1.0\n    return u + where(less(1.5, n), w, 0.0)"


def close(a: Any, b: Any) -> None:
    jax.tree.map(lambda x, y: assert_allclose(x, y, rtol=1e-5, atol=1e-6), a, b)


def test_a_wrapper_leaves_the_wrapped_updates_as_they_are() -> None:
    inner, tx = optax.adam(0.1), wrap("ema", optax.adam(0.1))
    plain, state = inner.init(W), tx.init(W)
    for k in range(3):
        grads = jax.tree.map(lambda g, k=k: g * (k + 1), G)
        u, state = tx.update(grads, state, W)
        v, plain = inner.update(grads, plain, W)
        close(u, v)


def test_a_wrapper_may_write_back() -> None:
    tx = wrap(WRITES_BACK, optax.sgd(0.5))
    u, state = tx.update(G, tx.init(W), W)
    close(u, jax.tree.map(lambda g: -0.5 * g, G))
    u, _ = tx.update(G, state, W)
    close(u, jax.tree.map(lambda g, w: -0.5 * g - w, G, W))


def test_a_wrapper_around_a_rule_with_query_inputs_hands_them_on() -> None:
    tx = wrap("ema", optimizer("sam", 0.1))
    u, _ = tx.update(G, tx.init(W), W, gs=W)
    close(u, jax.tree.map(lambda w: -0.1 * w, W))


def test_a_wrapper_works_inside_jit_scan_and_chain() -> None:
    tx = optax.chain(optax.clip(0.2), wrap("ema", optax.sgd(0.5), decay=0.5))

    @jax.jit
    def train(p: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            u, state = tx.update(G, c[1], c[0])
            return (optax.apply_updates(c[0], u), state), None

        return jax.lax.scan(step, (p, tx.init(p)), None, length=3)[0]

    p, state = train(W)
    expected, average = W, W
    for _ in range(3):
        expected = jax.tree.map(lambda w, g: w - 0.5 * np.clip(g, -0.2, 0.2), expected, G)
        average = jax.tree.map(lambda a, w: (a + w) / 2, average, expected)
    close(p, expected)
    close(evaluation_params("ema", state, p, decay=0.5), average)


def test_a_wrapper_called_without_a_proposed_update_says_so() -> None:
    tx = optimizer("ema", 1.0)
    with pytest.raises(TypeError, match=r"asks for 'u': pass update\(..., proposed_update=...\)"):
        tx.update(G, tx.init(W), W)


def test_a_filter_returns_what_the_rule_would_subtract() -> None:
    tx = gradient_filter("def twice(w, g, lr, *, m: full = zeros):\n    m = m + g\n    return lr * 2.0 * m")
    out, state = tx.update(G, tx.init(W), W)
    close(out, jax.tree.map(lambda g: 2 * g, G))
    out, _ = tx.update(G, state, W)
    close(out, jax.tree.map(lambda g: 4 * g, G))


def test_a_schedule_drives_any_optax_optimizer() -> None:
    rate = schedule("linear_decay", 0.1, total=10)
    tx, state = optax.sgd(rate), optax.sgd(rate).init(W)
    for k in range(12):
        u, state = tx.update(G, state, W)
        close(u, jax.tree.map(lambda g, k=k: -0.1 * max(0.0, 1 - k / 10) * g, G))


def test_schedules_multiply_and_can_be_mapped() -> None:
    rate = schedule("linear_decay", schedule("linear_decay", 2.0, total=10), total=20)
    counts = jnp.arange(12)
    expected = 2.0 * np.maximum(0, 1 - np.arange(12) / 10) * (1 - np.arange(12) / 20)
    assert_allclose(jax.vmap(rate)(counts), expected, rtol=1e-5, atol=1e-6)
    assert_allclose(jax.jit(rate)(3), expected[3], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def r(w, g, lr, *, s: global = zeros):\n    s = s + lr\n    return s", "reads s"),
        ("def r(w, g, lr):\n    return lr * global_norm(g)", "reads g"),
        ("def r(w, g, lr):\n    return lr * w", "reads w"),
        ("def r(w, g, lr, f):\n    return lr * f", "reads f"),
        ("def r(w, g, lr, x=value(w)):\n    return lr * x", "reads x"),
        ("def r(w, g, lr):\n    return lr * numel", "reads numel"),
    ],
)
def test_a_rule_with_state_or_inputs_is_no_schedule(text: str, message: str) -> None:
    with pytest.raises(RuleError, match=message) as caught:
        schedule(text, 1.0)
    assert "\n" not in str(caught.value)


def test_a_controller_keeps_state_and_gives_one_number() -> None:
    text = "def r(w, g, lr, examples, *, s: global = first(lr), a: scale = 1.0):\n    s = s + a * examples * global_norm(g)\n    return s"
    init, update = controller(text, 3.0, a=2.0)
    grads = {"a": jnp.asarray([3.0, 4.0]), "b": jnp.zeros(())}
    number, state = update(init(grads), grads, examples=2)
    assert float(number) == pytest.approx(23)
    number, _ = update(state, jax.tree.map(lambda g: g.astype(jnp.bfloat16), grads), examples=1)
    assert number.shape == () and float(number) == pytest.approx(33)


def test_controller_errors() -> None:
    with pytest.raises(RuleError, match="gives a full value; a controller gives one number"):
        controller("sgd")
    init, update = controller("def r(w, g, lr, examples):\n    return lr * examples")
    with pytest.raises(TypeError, match=r"update\(..., examples=...\)"):
        update(init(G), G)
    with pytest.raises(ValueError, match="no tensors"):
        update(init({}), {}, examples=1)


def test_hyperparameters_are_checked() -> None:
    with pytest.raises(ValueError, match="'decay' lies in"):
        wrap("ema", optax.sgd(1.0), decay=1.5)
    with pytest.raises(ValueError, match="'total' must not be negative"):
        schedule("linear_decay", 1.0, total=-1)
    with pytest.raises(TypeError, match="unknown hyperparameter 'steps'; allowed: total"):
        schedule("linear_decay", 1.0, steps=3)


def test_a_factory_works_with_inject_hyperparams() -> None:
    tx = optax.inject_hyperparams(factory("lion"))(learning_rate=0.1, b1=0.5)
    state: Any = tx.init(W)
    assert set(state.hyperparams) >= {"learning_rate", "b1", "b2"}
    u, _ = tx.update(G, state, W)
    expected, _ = optimizer("lion", 0.1, b1=0.5).update(G, optimizer("lion", 0.1).init(W), W)
    close(u, expected)
    state.hyperparams["learning_rate"] = jnp.asarray(0.2)
    v, _ = tx.update(G, state, W)
    close(v, jax.tree.map(lambda x: 2 * x, u))
