"""The shared battery: every known rule behaves as an optax transformation should."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from search_space import load, optimizer, zoo

PARAMS = {"w": jnp.asarray([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.1]]), "b": jnp.asarray([0.3, -0.4]), "s": jnp.asarray(2.0)}
GRADS = jax.tree.map(lambda x: 0.1 * x + 0.01, PARAMS)
RULES = pytest.mark.parametrize("name", ["sgd", "adamw", "lion", "lamb", "adafactor"])
"""One of each sort; the battery in tests/search_space/zoo runs over all."""


@RULES
def test_descends(name: str) -> None:
    def loss(p: Any) -> Any:
        return sum(jnp.sum((x - 0.7) ** 2) for x in jax.tree.leaves(p)) + 0.1 * jnp.sum(p["w"][0] * p["b"])

    tx = optimizer(name, 0.5 if name == "adagrad" else 0.03)  # its steps shrink with the root of time

    def step(carry: Any, _: None) -> Any:
        p, state = carry
        u, state = tx.update(jax.grad(loss)(p), state, p)
        return (optax.apply_updates(p, u), state), None

    (p, _), _ = jax.jit(lambda p: jax.lax.scan(step, (p, tx.init(p)), None, length=300))(PARAMS)
    assert loss(p) < 0.3 * loss(PARAMS)


@RULES
def test_state_keeps_shape_and_dtype_under_cond(name: str) -> None:
    tx = optimizer(name, 0.1)
    state = tx.init(PARAMS)
    update = lambda s: tx.update(GRADS, s, PARAMS)[1]  # noqa: E731
    after = jax.jit(lambda flag, s: jax.lax.cond(flag, update, lambda s: s, s))(True, state)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)


@RULES
def test_second_call_does_not_compile(name: str, caplog: pytest.LogCaptureFixture) -> None:
    tx = optimizer(name, 0.1)
    step = jax.jit(tx.update)
    _, state = step(GRADS, tx.init(PARAMS), PARAMS)
    with jax.log_compiles(True), caplog.at_level(logging.WARNING):
        step(GRADS, state, PARAMS)
    assert "Compiling" not in caplog.text


@RULES
def test_inside_other_transformations(name: str) -> None:
    chained = optax.chain(optax.clip_by_global_norm(1e9), optimizer(name, 0.1))
    plain = optimizer(name, 0.1)
    expected, _ = plain.update(GRADS, plain.init(PARAMS), PARAMS)
    for tx in (
        chained,
        optax.inject_hyperparams(lambda learning_rate: optimizer(name, learning_rate))(learning_rate=0.1),
        optax.MultiSteps(plain, 1),
    ):
        updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7), updates, expected)
    masked = optax.masked(plain, {"w": True, "b": False, "s": True})
    updates, _ = masked.update(GRADS, masked.init(PARAMS), PARAMS)
    np.testing.assert_array_equal(updates["b"], GRADS["b"])  # type: ignore[index]


@RULES
def test_schedule_and_extra_arguments(name: str) -> None:
    scheduled = optimizer(name, optax.piecewise_constant_schedule(0.5, {1: 0.2}))
    fixed = optimizer(name, 0.1)
    state, other = scheduled.init(PARAMS), fixed.init(PARAMS)
    _, state = scheduled.update(GRADS, state, PARAMS, value=1.0, unknown="x")
    _, other = fixed.update(GRADS, other, PARAMS)
    second, _ = scheduled.update(GRADS, state, PARAMS)
    expected, _ = fixed.update(GRADS, other, PARAMS)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-8), second, expected)


@RULES
def test_bfloat16_parameters_keep_their_dtype_and_state_is_float32(name: str) -> None:
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), PARAMS)
    tx = optimizer(name, 0.1)
    state = tx.init(half)
    updates, state = tx.update(jax.tree.map(lambda x: x.astype(jnp.bfloat16), GRADS), state, half)
    assert {x.dtype for x in jax.tree.leaves(updates)} == {jnp.dtype(jnp.bfloat16)}
    assert {x.dtype for x in jax.tree.leaves(state)} <= {jnp.dtype(jnp.float32), jnp.dtype(jnp.int32)}


@RULES
def test_empty_trees_and_zero_gradients(name: str) -> None:
    tx = optimizer(name, 0.1)
    updates, _ = tx.update({}, tx.init({}), {})
    assert updates == {}
    zeros = jax.tree.map(jnp.zeros_like, PARAMS)
    updates, _ = tx.update(zeros, tx.init(PARAMS), PARAMS)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(updates))


@RULES
def test_tree_map_params_finds_the_full_slots(name: str) -> None:
    tx = optimizer(name, 0.1)
    marked = optax.tree.map_params(tx, lambda x: "slot", tx.init(PARAMS), transform_non_params=lambda x: "other")
    full = sum(s.kind == "full" for s in zoo.load(name).slots)
    assert jax.tree.leaves(marked).count("slot") >= full * len(jax.tree.leaves(PARAMS))


def test_wrong_use_is_told() -> None:
    with pytest.raises(TypeError, match="unknown hyperparameter 'beta'; allowed: m?b1"):
        optimizer("lion", 0.1, beta=0.9)
    tx = optimizer("def polyak(w, g, lr, f):\n    return lr * ratio(f, global_dot(g, g)) * g", 0.5)
    with pytest.raises(TypeError, match="value="):
        tx.update(GRADS, tx.init(PARAMS), PARAMS)
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS, value=2.0)
    total = sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(GRADS))
    np.testing.assert_allclose(updates["s"], -0.5 * 2.0 / total * GRADS["s"], rtol=1e-5)  # type: ignore[index]
    decaying = optimizer("adamw", 0.1)
    with pytest.raises(ValueError, match="reads the weights"):
        decaying.update(GRADS, decaying.init(PARAMS))


def test_one_rule_for_each_role() -> None:
    text = '@role("matrix")\ndef a(w, g, lr, *, b: unit = 0.5):\n    return lr * sign(g) * b\n\ndef r(w, g, lr):\n    return lr * g\n'
    tx = optimizer(load(text), 0.1, b=0.25)
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["w"], -0.025 * np.sign(GRADS["w"]), rtol=1e-6)  # type: ignore[index]
    np.testing.assert_allclose(updates["b"], -0.1 * GRADS["b"], rtol=1e-6)  # type: ignore[index]
    with pytest.raises(TypeError, match="unknown hyperparameter 'c'"):
        optimizer(load(text), 0.1, c=1.0)


def test_works_beside_a_users_own_tasks_module(tmp_path: Any) -> None:
    import os
    import subprocess
    import sys
    from pathlib import Path

    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    (tmp_path / "tasks.py").write_text("raise ImportError('not yours')\n")
    code = "from search_space import optimizer; import jax.numpy as jnp; tx = optimizer('adam', 0.1); x = jnp.ones(2)"
    code += "; print(tx.update(x, tx.init(x), x)[0])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[-0.1 -0.1]"
