"""Equalities that the papers promise: each catches a class of error that streams of random gradients may hide."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from search_space import optimizer
from tests.search_space.zoo.harness import Tree, gradients, our_updates, relative, weights


def run(tx: optax.GradientTransformation, seed: int, steps: int = 30) -> list[Tree]:
    """Updates of a transformation on the common streams, each applied to the weights."""
    tx = optax.with_extra_args_support(tx)
    update, params, out = jax.jit(tx.update), jax.tree.map(jnp.asarray, weights(seed)), []
    state, grads = tx.init(params), gradients(seed)
    for t in range(steps):
        u, state = update({k: g[t] for k, g in grads.items()}, state, params)
        params = optax.apply_updates(params, u)
        out.append(jax.tree.map(np.asarray, u))
    return out


def apart(a: optax.GradientTransformation, b: optax.GradientTransformation, steps: int = 30) -> float:
    """Largest relative distance of their updates."""
    return max(relative(x, y) for x, y in zip(run(a, 0, steps), run(b, 0, steps), strict=True))


@pytest.mark.parametrize("name", ["adam", "adamax", "adamw"])
def test_adam_without_averages_is_sign_descent(name: str) -> None:
    bare = optimizer(name, 0.1, b1=0.0, b2=0.0, eps=1e-30, **({"decay": 0.0} if name == "adamw" else {}))
    assert apart(bare, optimizer("sign_sgd", 0.1)) < 1e-6


def test_lion_without_averages_is_sign_descent() -> None:
    assert apart(optimizer("lion", 0.1, b1=0.0, b2=0.0), optimizer("sign_sgd", 0.1)) == 0


def test_adabelief_without_first_average_stays_finite() -> None:
    """Its second moment is epsilon alone."""
    assert all(np.isfinite(x).all() for u in run(optimizer("adabelief", 1e-9, b1=0.0, eps=1e-8), 0) for x in u.values())


def drift(name: str) -> float:
    """Where a rule goes on [-1, 1] under the gradients C, -1, -1 … of Reddi, Kale & Kumar with C = 4, whose best point is -1."""
    tx = optimizer(name, optax.polynomial_schedule(0.1, 0.003, 0.5, 3000), b1=0.0, b2=1.0 / (1.0 + 16.0), eps=1e-12)

    def step(carry: Any, t: Any) -> Any:
        x, state = carry
        u, state = tx.update(jnp.where(t % 3 == 0, 4.0, -1.0), state, x)
        return (jnp.clip(x + u, -1.0, 1.0), state), None

    start = jnp.zeros(())
    (x, _), _ = jax.jit(lambda s: jax.lax.scan(step, (start, s), jnp.arange(3000)))(tx.init(start))
    return float(x)


def test_amsgrad_repairs_the_counter_example() -> None:
    assert drift("adam") > 0.9
    assert drift("amsgrad") < -0.9


@pytest.mark.parametrize("name", ["lion", "sign_sgd", "signum", "lion_threshold", "lion_topk", "lion_huber"])
def test_the_box_of_one_over_decay_is_absorbing(name: str) -> None:
    """|w| ≤ 1/decay holds for ever once it holds, as long as rate · decay ≤ 1, for every update that is at most 1."""
    tx, decay = optimizer(name, 0.5, decay=1.7), 1.7
    params = jax.tree.map(lambda x: jnp.clip(x, -1.0 / decay, 1.0 / decay), weights(0))
    state, grads, update = tx.init(params), gradients(0), jax.jit(tx.update)
    for t in range(100):
        u, state = update({k: g[t] for k, g in grads.items()}, state, params)
        params = optax.apply_updates(params, u)
        assert all(float(jnp.max(jnp.abs(x))) <= 1.0 / decay + 1e-6 for x in params.values())


def game(tx: optax.GradientTransformation, steps: int) -> float:
    """Distance from the saddle of x·y after simultaneous steps from (1, 1)."""
    tx = optax.with_extra_args_support(tx)

    def step(carry: Any, _: None) -> Any:
        z, state = carry
        u, state = tx.update(jnp.stack([z[1], -z[0]]), state, z)
        return (optax.apply_updates(z, u), state), None

    start = jnp.ones(2)
    (z, _), _ = jax.lax.scan(step, (start, tx.init(start)), None, length=steps)
    return float(jnp.linalg.norm(z))


def test_optimism_converges_where_gradient_descent_spirals_out() -> None:
    assert game(optimizer("sgd", 0.1), 1000) > 10.0
    assert game(optimizer("optimistic_gradient", 0.1), 1000) < 0.05


def test_lamb_moves_each_tensor_by_its_own_norm() -> None:
    updates, before = our_updates("lamb", {}, 0.01, 0)
    for k, u in updates.items():
        for t in range(100):
            np.testing.assert_allclose(np.linalg.norm(u[t]), 0.01 * np.linalg.norm(before[k][t]), rtol=1e-5)


def test_tvlars_that_does_not_fade_is_lars() -> None:
    """With rate 0 the factor is 1 / (offset + 1)."""
    fixed = optimizer("tvlars", 0.1, rate=0.0, offset=1.0, trust=0.02, cap=1e30)
    assert apart(fixed, optimizer("lars", 0.1, trust=0.01)) < 1e-5


def test_two_sequence_forms_agree_with_one_sequence_forms() -> None:
    """Heavy ball over steps is momentum at a constant rate; Nesterov's look-ahead is a change of variables of two sequences."""
    kappa = 400.0
    ball, momentum = optimizer("heavy_ball", 0.01, kappa=kappa), optimizer("momentum", 0.01, b=(1.0 - kappa**-0.5) ** 2)
    assert apart(ball, momentum, 100) < 1e-5
    lr, b, x, y = 0.01, 0.9, weights(0), weights(0)
    for t, u in enumerate(run(optimizer("nesterov", lr, b=b), 0)):
        new = {k: y[k] - lr * gradients(0)[k][t] for k in x}
        ahead = {k: new[k] + b * (new[k] - x[k]) for k in x}
        np.testing.assert_allclose(u["kernel"], ahead["kernel"] - y["kernel"], rtol=1e-3, atol=1e-5)
        x, y = new, ahead


def test_quasi_hyperbolic_momentum_holds_its_relatives() -> None:
    plain = optimizer("qhm", 0.1, nu=0.0)
    assert apart(plain, optimizer("sgd", 0.1)) < 1e-6
    assert apart(optimizer("qhm", 0.1, nu=0.9, b=0.9), optax.chain(optax.scale(0.1), optimizer("nesterov", 0.1, b=0.9))) < 1e-5
    assert apart(optimizer("qhadam", 0.1, nu1=1.0, b1=0.9), optimizer("adam", 0.1)) < 1e-5


def test_lion_on_the_largest_elements_is_lion_on_all() -> None:
    """But for the element at the edge of each tensor, which is dropped where the compiler rounds |c| differently in its two uses."""
    for some, every in zip(run(optimizer("lion_topk", 0.1, share=1.0), 0), run(optimizer("lion", 0.1), 0), strict=True):
        for kept, all_ in ((some[k], every[k]) for k in every):
            other = kept[kept != all_]
            assert other.size <= 1 and not other.any()


def test_special_cases_are_the_rules_they_extend() -> None:
    assert apart(optimizer("lion_huber", 0.1, width=1e-30), optimizer("lion", 0.1)) == 0
    assert apart(optimizer("lion_threshold", 0.1, threshold=0.0), optimizer("lion", 0.1)) == 0
    assert apart(optimizer("lion_lp", 0.1, p=1.0), optimizer("lion", 0.1)) < 1e-6
    assert apart(optimizer("ademamix", 0.1, alpha=0.0), optimizer("adam", 0.1)) < 1e-6
    assert apart(optimizer("grokfast", 0.1, amplify=0.0), optimizer("adam", 0.1)) < 1e-6
    assert apart(optimizer("beta_normalized_gd", 0.1, power=0.0), optimizer("sgd", 0.1)) < 1e-6
    assert apart(optimizer("beta_normalized_gd", 0.1), optax.chain(optax.contrib.normalize(), optax.sgd(0.1))) < 1e-5
    assert apart(optimizer("aggmo", 0.3, b1=0.0, b2=0.0), optimizer("sgd", 0.3)) < 1e-6
    assert apart(optimizer("adaptive_braking", 0.1, brake=0.0), optimizer("momentum", 0.1)) < 1e-6
    assert apart(optimizer("adamp", 0.1, delta=0.0), optimizer("adam", 0.1)) < 1e-6


def test_distance_rules_equal_optax() -> None:
    assert apart(optimizer("dog", 1.0), optax.contrib.dog(1.0)) < 1e-5
    assert apart(optimizer("dowg", 1.0), optax.contrib.dowg(1.0)) < 1e-5


def test_polyak_equals_optax() -> None:
    ours, theirs = optimizer("polyak_sgd", 0.5, lower=-1.0), optax.polyak_sgd(0.5, f_min=-1.0)
    grads = {k: g[0] for k, g in gradients(0).items()}
    for value in (0.3, 500.0):
        a, _ = ours.update(grads, ours.init(weights(0)), weights(0), value=value)
        b, _ = theirs.update(grads, theirs.init(weights(0)), weights(0), value=value)
        assert relative(a, jax.tree.map(np.asarray, b)) < 1e-6


def test_sm3_equals_optax_on_matrices() -> None:
    ours, theirs = optimizer("sm3", 0.1), optax.sm3(0.1)
    params = {k: jnp.asarray(v) for k, v in weights(0).items() if k in ("matrix", "wide", "vector")}
    a, b, grads = ours.init(params), theirs.init(params), gradients(0)
    for t in range(30):
        g = {k: grads[k][t] for k in params}
        x, a = ours.update(g, a, params)
        y, b = theirs.update(g, b, params)
        assert relative(x, jax.tree.map(np.asarray, y)) < 1e-5


def test_ramsgrad_stays_on_its_sphere() -> None:
    tx, params, grads = optimizer("ramsgrad", 0.1), jax.tree.map(jnp.asarray, weights(0)), gradients(0)
    sizes, state, update = jax.tree.map(jnp.linalg.norm, jax.tree.map(jnp.ravel, params)), tx.init(params), jax.jit(tx.update)
    for t in range(50):
        u, state = update({k: g[t] for k, g in grads.items()}, state, params)
        params = optax.apply_updates(params, u)
    for k, x in params.items():
        np.testing.assert_allclose(np.linalg.norm(x), sizes[k], rtol=1e-5)


def test_sgd_sai_holds_half_of_the_state_of_adamw() -> None:
    from search_space import zoo
    from search_space.cost import state_bytes_per_param
    from search_space.dataflow import dataflow

    bytes_of = {n: state_bytes_per_param(dataflow(zoo.program(n))) for n in ("sgd_sai", "adamw")}
    assert bytes_of["sgd_sai"] == pytest.approx(bytes_of["adamw"] / 2, rel=1e-3)


def test_adafactor_is_exact_where_the_second_moment_has_rank_one() -> None:
    """Then row and column means give back every element."""
    a, b = np.geomspace(0.1, 3.0, 6)[:, None], np.geomspace(0.5, 2.0, 5)[None]
    w = {"matrix": jnp.ones((6, 5))}
    tx = optimizer("adafactor", 1.0, threshold=1e30, least=1.0, eps=0.0)
    u, _ = tx.update({"matrix": jnp.asarray(a * b, jnp.float32)}, tx.init(w), w)
    np.testing.assert_allclose(u["matrix"], -np.ones((6, 5)), rtol=1e-5)  # type: ignore[index]


def test_autosparse_evaluates_and_differentiates_at_the_thresholded_weights() -> None:
    from search_space import evaluation_params, training_step

    w, target = jnp.asarray([1.0, 0.3, -2.0]), jnp.asarray([0.0, 1.0, 1.0])
    init, step = training_step("autosparse", 0.1, lambda w: 0.5 * jnp.sum((w - target) ** 2), start=0.0)
    new, state, value = step(w, init(w))
    thin = jnp.asarray([0.5, 0.0, -1.5])
    np.testing.assert_allclose(value, 0.5 * jnp.sum((thin - target) ** 2), rtol=1e-6)
    np.testing.assert_allclose(new, w - 0.1 * (thin - target) * jnp.asarray([1.0, 0.5, 1.0]), rtol=1e-5)
    threshold = jax.nn.sigmoid(state.slots["s"])
    np.testing.assert_allclose(evaluation_params("autosparse", state, new, start=0.0), jnp.sign(new) * jax.nn.relu(abs(new) - threshold))
