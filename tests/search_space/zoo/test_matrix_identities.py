"""Exact relations of matrix rules with simpler ones, as their papers state them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from search_space import load, optimizer, training_step, zoo
from search_space.program import RuleSet

RNG = np.random.default_rng(5)
WEIGHT = jnp.asarray(RNG.normal(size=(6, 6)), jnp.float32)
GRADS = jnp.asarray(RNG.normal(size=(40, 6, 6)), jnp.float32)


def run(rule: Any, grads: jax.Array = GRADS, **hypers: float) -> np.ndarray:
    """Updates of one matrix over a stream of gradients, the weights held."""
    tx = optimizer(rule, 0.1, **hypers)
    return np.asarray(jax.lax.scan(lambda s, g: tx.update(g, s, WEIGHT)[::-1], tx.init(WEIGHT), grads)[1])


def changed(name: str, *replacements: tuple[str, str]) -> RuleSet:
    """A known rule with parts of its text replaced; each must occur."""
    text = zoo.text(name)
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    rule = load(text)
    assert isinstance(rule, RuleSet)
    return rule


def matrix(singular: list[float]) -> np.ndarray:
    """A square matrix with these singular values."""
    u, v = (np.linalg.qr(RNG.normal(size=(len(singular),) * 2))[0] for _ in range(2))
    return np.asarray(u @ np.diag(singular) @ v, np.float32)


def test_shampoo_without_accumulation_is_spectral_descent_without_its_norm() -> None:
    first = GRADS[:1]
    expected = np.asarray(run("spectral_descent", first)) / np.linalg.norm(np.asarray(first[0]), "nuc")
    assert_allclose(run("shampoo", first, eps=1e-7), expected, atol=2e-4)


def test_frugal_of_all_columns_is_adamw_and_of_none_sign_descent() -> None:
    assert_allclose(run("frugal", rho=1.0, decay=0.1), run("adamw", decay=0.1), rtol=1e-5, atol=1e-7)
    assert_allclose(run("frugal", rho=0.0, decay=0.1), run("sign_sgd", decay=0.1), rtol=1e-5, atol=1e-7)
    assert np.abs(run("frugal", rho=0.5) - run("adamw", decay=0.0)).max() > 0.01


def test_subspace_rules_with_the_identity_as_projection_are_adam() -> None:
    galore = changed("galore", ("where(every(period, t), basis, p)", "eye_right(g) + 0.0 * basis"))
    assert_allclose(run(galore, size=1.0, eps=1e-12), run("adam", eps=1e-12), rtol=1e-4, atol=1e-6)
    descent = changed(
        "online_subspace_descent", ("first(eigenvectors(outer_right(g, g)) * less(fan_out - rank - 0.5, col_index))", "identity")
    )
    assert_allclose(run(descent, rate=0.0, eps=1e-12), run("adam", eps=1e-12), rtol=1e-4, atol=1e-6)


def test_lanton_of_one_matrix_is_an_oracle_with_momentum() -> None:
    assert_allclose(run("lanton", alpha=3.0), run("scion", b=0.95, radius=1.0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "error"), [("taylor_root_descent", 1e-3), ("pade_root_descent", 1e-5)])
def test_fast_roots_whiten_a_well_conditioned_matrix(name: str, error: float) -> None:
    g = matrix([1.0, 0.95, 0.9, 0.85, 0.8, 0.75])
    u, _, v = np.linalg.svd(g)
    assert_allclose(run(name, jnp.asarray(g[None]), eps=0.0)[0], -0.1 * u @ v, atol=error)


def test_sparse_ggt_starts_as_the_normalised_gradient_and_keeps_ties() -> None:
    expected = -0.1 * np.asarray(GRADS[0]) / np.linalg.norm(GRADS[0])
    assert_allclose(run("sparse_ggt", GRADS[:1], keep=1.0, eps=0.0)[0], expected, rtol=1e-4)
    tied = run("sparse_ggt", jnp.sign(GRADS[:1]))[0]
    assert_allclose(np.abs(tied), 0.1 / 6, rtol=1e-3)


@pytest.mark.parametrize("name", ["psgd_xmat", "psgd_kron"])
def test_psgd_fits_the_inverse_of_the_absolute_hessian(name: str) -> None:
    """A diagonal Hessian with a negative entry; the plan's vector and the rule's are the same noise."""
    curvature = jnp.asarray([1.0, 4.0, 0.25, -9.0])
    init, step = training_step(name, 0.0, lambda w: 0.5 * jnp.sum(curvature * w**2), rate=0.03)
    w = jnp.ones(4)

    def one(state: Any, _: None) -> Any:
        state = step(w, state)[1]
        s = state.slots
        return state, s["a"] ** 2 if name == "psgd_xmat" else jnp.diag(s["qr"].T @ s["qr"]) * s["ql"][0, 0] ** 2

    fitted = jax.lax.scan(one, init(w), None, length=2000)[1][1000:]
    assert_allclose(np.exp(np.mean(np.log(np.asarray(fitted)), axis=0)), 1 / np.abs(np.asarray(curvature)), rtol=0.2)


def test_soap_in_the_eigenbasis_of_diagonal_statistics_is_adam() -> None:
    """One entry at a time keeps both second moments diagonal, so the bases are permutations and the first step alone is lost."""
    signs = jnp.sign(GRADS[:, :1, :1]) * jnp.diag(jnp.arange(1.0, 7.0))
    soap = run("soap", jnp.concatenate([signs[:1], signs]), b1=0.9, b2=0.99)[1:]
    adam = run("adam", signs, b1=0.9, b2=0.99)
    assert_allclose(soap, adam, rtol=1e-4, atol=1e-6)
