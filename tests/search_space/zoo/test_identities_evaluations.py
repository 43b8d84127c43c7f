"""Exact identities of rules that ask for evaluations, and of averages: what algebra promises, without any reference."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpy.testing import assert_allclose

from search_space import Losses, evaluation_params, optimizer, training_step, wrap
from tests.search_space.zoo.authors.problem import EDGES, NAMES, Ask, batches, flat, trajectory

RNG = np.random.default_rng(0)
W = jnp.asarray(RNG.normal(size=6), jnp.float32)
A = RNG.normal(size=(6, 6))
CURVED = jnp.asarray(A @ A.T + np.eye(6), jnp.float32)
DIAGONAL = jnp.asarray([0.5, -2.0, 3.0, 0.0, 1.0, 0.1], jnp.float32)


def bowl(w: Any) -> Any:
    return 0.5 * w @ CURVED @ w + 0.1 * jnp.sum(w**4)


def bilinear(w: Any) -> Any:
    """x·y, of which the first player's half is minimised and the second's maximised (their gradient is negated by `played`)."""
    return w[0] * w[1]


@jax.custom_vjp
def played(w: Any) -> Any:
    """A function whose gradient is the game's vector field (∂x f, −∂y f) of f = x·y."""
    return bilinear(w)


played.defvjp(lambda w: (bilinear(w), w), lambda w, c: (c * jnp.stack([w[1], -w[0]]),))


def steps(rule: str, loss: Any, start: Any, count: int, lr: float = 0.1, **hypers: Any) -> np.ndarray:
    """Weights before each step and after the last, (count + 1, n)."""
    init, step = training_step(rule, lr, loss, **hypers)
    jitted, p, state, out = jax.jit(step), start, init(start), [start]
    for _ in range(count):
        p, state, _ = jitted(p, state)
        out.append(p)
    return np.asarray(jnp.stack(out), np.float64)


@pytest.mark.parametrize("rule", ["past_extragradient", "optimistic_gradient", "extragradient", "reflected_gradient"])
def test_a_bilinear_game_spirals_in(rule: str) -> None:
    away = np.linalg.norm(steps(rule, played, jnp.asarray([1.0, 1.0]), 300), axis=1)
    assert away[-1] < 0.3 * away[0]


def test_a_bilinear_game_with_an_anchor_comes_closer() -> None:
    away = np.linalg.norm(steps("accelerated_optimistic_gradient", played, jnp.asarray([1.0, 1.0]), 300), axis=1)
    assert away[-1] < 0.2 * away[0]


def test_a_bilinear_game_spirals_out_under_gradient_descent() -> None:
    away = np.linalg.norm(steps("sgd", played, jnp.asarray([1.0, 1.0]), 100), axis=1)
    assert np.all(np.diff(away) > 0)


def test_past_extragradient_at_its_half_steps_is_the_optimistic_gradient() -> None:
    lr = 0.1
    past = steps("past_extragradient", played, jnp.asarray([1.0, 1.0]), 60, lr)
    fields = (past[:-1] - past[1:]) / lr  # the vector field at each half step
    halves = past[:-1] - lr * np.concatenate([np.zeros((1, 2)), fields[:-1]])
    here, last = np.asarray([1.0, 1.0]), np.zeros(2)
    for half in halves:
        assert_allclose(half, here, rtol=1e-4, atol=1e-5)
        field = np.asarray([here[1], -here[0]])
        here, last = here - lr * (2 * field - last), field
    single = steps("optimistic_gradient", played, jnp.asarray([1.0, 1.0]), 60, lr)
    assert_allclose(single[2:], single[1:-1] - lr * (2 * single[1:-1] - single[:-2])[:, ::-1] * [1, -1], rtol=1e-4, atol=1e-5)


def test_a_rademacher_probe_gives_the_diagonal_of_a_diagonal_hessian_exactly() -> None:
    quadratic = lambda w: 0.5 * jnp.sum(DIAGONAL * w * w)  # noqa: E731
    text = "def r(w, g, lr, hz=hessian_vector(rademacher(w, 0.0))):\n    return lr * rademacher(w, 0.0) * hz"
    moved = -np.diff(steps(text, quadratic, W, 20, 1.0), axis=0)
    assert_allclose(moved, np.broadcast_to(DIAGONAL, (20, 6)), rtol=1e-4, atol=1e-5)


def test_the_probe_has_both_signs() -> None:
    signs = np.concatenate([Ask(tuple(x[0] for x in batches(0)), t).rademacher(0.0) for t in range(1, 40)])  # type: ignore[arg-type]
    assert set(signs) == {-1.0, 1.0}
    assert abs(np.mean(signs)) < 5 / np.sqrt(signs.size)


def test_adahessian_on_a_diagonal_quadratic_takes_newton_steps() -> None:
    curvature = jnp.asarray([0.5, 2.0, 3.0, 4.0, 1.0, 10.0])
    quadratic = lambda w: 0.5 * jnp.sum(curvature * w * w)  # noqa: E731
    path = steps("adahessian", quadratic, W, 30, 0.1, b1=0.0, eps=0.0)
    assert_allclose(path[1:], 0.9 * path[:-1], rtol=1e-4, atol=1e-6)


def test_sophia_s_diagonal_of_a_diagonal_quadratic_has_no_cross_terms() -> None:
    curvature = jnp.asarray([0.5, 2.0, 3.0, 4.0, 1.0, 10.0])
    init, step = training_step("sophia_h", 0.0, lambda w: 0.5 * jnp.sum(curvature * w * w), b2=0.0)
    _, state, _ = step(W, init(W))
    u2 = np.asarray(state.slots["h"]) / np.asarray(curvature)
    assert np.all(u2 > 0)  # H diagonal: u ⊙ Hu = u² h, whatever the draw
    assert np.unique(u2).size == 6


@pytest.mark.parametrize("rule", ["sam", "gsam"])
def test_without_a_radius_the_perturbed_gradient_is_the_gradient(rule: str) -> None:
    assert_allclose(steps(rule, bowl, W, 10, 0.02, radius=0.0), steps("sgd", bowl, W, 10, 0.02), rtol=1e-5, atol=1e-6)


def test_gsam_without_the_climb_is_sam() -> None:
    assert_allclose(steps("gsam", bowl, W, 10, 0.02, alpha=0.0), steps("sam", bowl, W, 10, 0.02), rtol=1e-5, atol=1e-6)


def test_gam_with_the_first_gradient_alone_is_sam() -> None:
    both = [steps("gam", bowl, W, 10, 0.02, b1=1.0, b3=0.0, gamma=0.0, radius=0.3), steps("sam", bowl, W, 10, 0.02, radius=0.3)]
    assert_allclose(both[0], both[1], rtol=1e-5, atol=1e-6)


def test_gradient_regularization_is_sam_where_gamma_and_eps_are_the_radius_over_the_norm() -> None:
    norm = float(jnp.linalg.norm(jax.grad(bowl)(W)))
    mixed = steps("gradient_regularization", bowl, W, 1, 0.1, gamma=0.3 / norm, eps=0.3 / norm)
    assert_allclose(mixed, steps("sam", bowl, W, 1, 0.1, radius=0.3), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", ["gradient_regularization", "gradient_regularization_backward"])
def test_gradient_regularization_descends_the_penalised_loss(rule: str) -> None:
    gamma = 0.05
    penalised = lambda w: bowl(w) + gamma / 2 * jnp.sum(jax.grad(bowl)(w) ** 2)  # noqa: E731
    moved = -np.diff(steps(rule, bowl, W, 1, 1.0, gamma=gamma, eps=1e-4), axis=0)[0]
    assert_allclose(moved, jax.grad(penalised)(W), rtol=0.02, atol=0.02)


def test_xgrad_without_a_horizon_is_the_base() -> None:
    assert_allclose(
        steps("xgrad_adamw", bowl, W, 20, 0.02, horizon=0.0, decay=0.1), steps("adamw", bowl, W, 20, 0.02, decay=0.1), rtol=1e-4, atol=1e-5
    )
    assert_allclose(steps("xgrad_momentum", bowl, W, 20, 0.01, horizon=0.0), steps("momentum", bowl, W, 20, 0.01), rtol=1e-4, atol=1e-5)


def test_mars_without_correction_is_adamw() -> None:
    matrix = W.reshape(2, 3)
    loss = lambda w: bowl(0.01 * w.reshape(-1))  # noqa: E731  (gradients shorter than 1 are not clipped)
    mars = steps("mars_exact", loss, matrix, 10, 0.01, gamma=0.0, b1=0.9, b2=0.99)
    assert_allclose(mars, steps("adamw", loss, matrix, 10, 0.01, b2=0.99, decay=0.0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rule", ["spider", "igt"])
def test_on_one_batch_and_a_quadratic_these_step_along_the_gradient(rule: str) -> None:
    quadratic = lambda w: 0.5 * w @ CURVED @ w  # noqa: E731
    path = steps(rule, quadratic, W, 10, 0.01)
    for before, after in zip(path[:-1], path[1:], strict=True):
        g = np.asarray(CURVED, np.float64) @ before
        assert_allclose(before - after, 0.01 * g / np.linalg.norm(g), rtol=1e-3, atol=1e-6)


def test_smb_accepts_the_gradient_step_where_the_loss_falls_enough() -> None:
    assert_allclose(steps("smb", bowl, W, 5, 0.01), steps("sgd", bowl, W, 5, 0.01), rtol=1e-6)
    assert np.abs(steps("smb", bowl, W, 1, 1.0) - steps("sgd", bowl, W, 1, 1.0)).max() > 0.1


def both_kinds_of_steps(name: str, lr: float) -> set[bool]:
    """Whether steps on the problem equal plain gradient steps."""
    before, after, _ = trajectory(name, {}, lr, 0, True)
    a, b, y = batches(0)
    found = set()
    for t in range(50):
        w, new = (flat({k: v[t] for k, v in tree.items()}) for tree in (before, after))
        found.add(bool(np.allclose(new - w, -lr * Ask((a[t], b[t], y[t]), t + 1).gradient(w), rtol=1e-4)))
    return found


def test_the_problem_makes_smb_accept_and_reject() -> None:
    assert both_kinds_of_steps("smb", 9.0) == {True, False}


def test_trpo_takes_the_natural_gradient_at_the_trust_region() -> None:
    before, after, _ = trajectory("trpo", {}, 1.0, 0, True)
    w = flat({k: v[0] for k, v in before.items()})
    a, b, y = (x[0] for x in batches(0))
    ask = Ask((a, b, y), 1)
    fisher = np.stack([ask.gauss_newton_vector(w, e) for e in np.eye(EDGES[-1])]) + 0.1 * np.eye(EDGES[-1])
    x = np.linalg.solve(fisher, ask.gradient(w))
    full = np.sqrt(0.02 / (x @ fisher @ x)) * x
    assert_allclose(w - flat({k: after[k][0] for k in NAMES}), full, rtol=1e-3, atol=1e-6)


def test_thermodynamic_descent_reaches_the_natural_gradient() -> None:
    loss = lambda w: bowl(w)  # noqa: E731
    losses = Losses(loss, outputs=lambda w: w, output_loss=loss)  # Gauss–Newton is the Hessian where the outputs are the weights
    init, step = training_step("thermodynamic_ngd", 0.0, losses, rate=0.05, damping=0.5)
    state, jitted = init(W), jax.jit(step)
    for _ in range(100):
        _, state, _ = jitted(W, state)
    expected = np.linalg.solve(np.asarray(jax.hessian(loss)(W)) + 0.5 * np.eye(6), np.asarray(jax.grad(loss)(W)))
    assert_allclose(state.slots["x"], expected, rtol=1e-3, atol=1e-4)


def test_nesterov_under_interpolation_is_nesterov_with_its_constant_momentum() -> None:
    """With mu > 0 alpha tends to sqrt(mu eta) and the momentum to (1 - a) / (1 + a)."""
    mu, eta = 0.5, 0.02
    init, step = training_step("interpolation_nesterov", eta, bowl, mu=mu)
    p, state, jitted = W, init(W), jax.jit(step)
    for _ in range(400):
        p, state, _ = jitted(p, state)
    assert_allclose(state.slots["alpha"], np.sqrt(mu * eta), rtol=1e-4)


def test_schedule_free_at_a_constant_rate_evaluates_at_the_mean_of_z() -> None:
    for rule, lr in (("schedule_free_sgd", 0.02), ("schedule_free_adamw", 0.05)):
        init, step = training_step(rule, lr, bowl)
        p, state, seen = W, init(W), []
        for _ in range(20):
            p, state, _ = step(p, state)
            seen.append(np.asarray(state.slots["z"], np.float64))
            view = evaluation_params(rule, state, p, learning_rate=lr)
            assert_allclose(view, np.mean(seen, axis=0), rtol=1e-4, atol=1e-5)


def test_schedule_free_evaluates_where_optax_does() -> None:
    ours, theirs = wrap("schedule_free", optax.sgd(0.02), 0.02), optax.contrib.schedule_free(optax.sgd(0.02), 0.02)
    p: Any = W
    q: Any = W
    s, r = ours.init(W), theirs.init(W)
    for _ in range(20):
        u, s = ours.update(jax.grad(bowl)(p), s, p)
        v, r = theirs.update(jax.grad(bowl)(q), r, q)
        p, q = optax.apply_updates(p, u), optax.apply_updates(q, v)
    assert_allclose(p, q, rtol=1e-4, atol=1e-5)
    expected = optax.contrib.schedule_free_eval_params(r, q)
    assert_allclose(evaluation_params("schedule_free", s, p, learning_rate=0.02), expected, rtol=1e-4, atol=1e-5)


def test_schedule_free_without_interpolation_is_averaged_sgd() -> None:
    """b1 near 0: gradients at z, which is then plain SGD."""
    free = steps("schedule_free_sgd", bowl, W, 10, 0.02, b1=0.0)
    assert_allclose(free, steps("sgd", bowl, W, 10, 0.02), rtol=1e-4, atol=1e-5)


def test_aswa_is_sgd_with_rate_over_t_plus_1() -> None:
    tx = wrap("aswa", optax.sgd(0.5))
    p: Any = W
    state, kept = tx.init(W), W
    for t in range(1, 6):
        g = jax.grad(bowl)(p)
        u, state = tx.update(g, state, p)
        kept = kept - 0.5 * g / (t + 1)
        p = optax.apply_updates(p, u)
        assert_allclose(p, kept, rtol=1e-4, atol=1e-5)


def test_lookahead_s_slow_weights_are_optax_s() -> None:
    ours, theirs = wrap("lookahead", optax.sgd(0.02), period=4.0, alpha=0.3), optax.lookahead(optax.sgd(0.02), 4, 0.3)
    p: Any = W
    s = ours.init(W)
    pair: Any = optax.LookaheadParams.init_synced(W)
    r = theirs.init(pair)
    for _ in range(12):
        u, s = ours.update(jax.grad(bowl)(p), s, p)
        p = optax.apply_updates(p, u)
        v, r = theirs.update(jax.grad(bowl)(pair.fast), r, pair)
        pair = optax.apply_updates(pair, v)
    assert_allclose(p, pair.fast, rtol=1e-4, atol=1e-5)
    assert_allclose(evaluation_params("lookahead", s, p), pair.slow, rtol=1e-4, atol=1e-5)


def test_swa_evaluates_at_the_weights_until_it_starts() -> None:
    tx = wrap("swa", optax.sgd(0.1), start=100.0, cycle=1.0)
    u, state = tx.update(W, tx.init(W), W)
    p: Any = optax.apply_updates(W, u)
    assert_allclose(evaluation_params("swa", state, p, start=100.0, cycle=1.0), p)


def test_opt_amsgrad_with_a_perfect_prediction_looks_one_step_ahead() -> None:
    """With a constant gradient the prediction is right: weights are ahead of AMSGrad's by one step of the present size."""
    tx = optimizer("opt_amsgrad", 0.1, b1=0.0)
    g = jnp.asarray([1.0, -2.0, 0.5, 1.0, 1.0, 3.0])
    p: Any = W
    z, state = W, tx.init(W)
    for t in range(1, 6):
        u, state = tx.update(g, state, p)
        p = optax.apply_updates(p, u)
        root = jnp.sqrt(g * g * (1 - 0.999**t))
        z = z - 0.1 * g / root
        assert_allclose(p, z - 0.1 * g / root, rtol=1e-3, atol=1e-4)
