"""Curvature against dense Hessians and their exact eigenvalues, and sharpness against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from discover.diagnose.curvature import directional, hessian, largest, share
from discover.diagnose.sharpness import adaptive, after_flow, average, barriers

KEY = jax.random.key(0)
CURVATURES = np.array([7.0, 5.0, 5.0, 2.0, 1.0, 0.5, 0.0, -1.0, -3.0], np.float32)


@pytest.fixture(scope="module")
def quadratic():
    """H with a double and a zero eigenvalue, its eigenvectors, and ½ wᵀ H w + bᵀ w."""
    random = np.random.default_rng(0)
    vectors = np.linalg.qr(random.normal(size=(9, 9)))[0].astype(np.float32)
    dense = (vectors * CURVATURES) @ vectors.T
    slope = random.normal(size=9).astype(np.float32)
    return dense, vectors, lambda w: 0.5 * w @ dense @ w + slope @ w


def test_products_are_those_of_the_dense_hessian():
    def loss(w):
        return jnp.sum(jnp.tanh(w[:3] @ w[3:].reshape(3, 2)) ** 2) + jnp.sum(w**4)

    w, v = np.random.default_rng(3).normal(size=(2, 9)).astype(np.float32)
    dense = np.asarray(jax.jit(jax.hessian(loss))(w))
    by_product, along = jax.jit(lambda w, v: (hessian(loss, w)(v), directional(hessian(loss, w), v)))(w, v)
    np.testing.assert_allclose(by_product, dense @ v, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(along, v @ dense @ v / (v @ v), rtol=1e-4)


def test_lanczos_finds_double_eigenvalues_and_their_space(quadratic):
    dense, vectors, loss = quadratic
    values, found = jax.jit(lambda w: largest(hessian(loss, w), 9, 4, KEY))(jnp.ones(9))
    np.testing.assert_allclose(values, CURVATURES[:4], rtol=1e-4)
    np.testing.assert_allclose(found @ found.T, vectors[:, :4] @ vectors[:, :4].T, atol=1e-3)
    np.testing.assert_allclose(found.T @ found, np.eye(4), atol=1e-5)


def test_few_steps_find_the_top_of_a_large_matrix():
    curvatures = np.concatenate([[100.0, 60.0, 30.0], np.linspace(0, 1, 297)]).astype(np.float32)
    values, _ = jax.jit(lambda key: largest(lambda v: curvatures * v, 300, 3, key, steps=20))(KEY)
    np.testing.assert_allclose(values, [100.0, 60.0, 30.0], rtol=1e-4)


def test_share_of_a_gradient_by_hand(quadratic):
    _, vectors, _ = quadratic
    gradient = 3.0 * vectors[:, 0] + 4.0 * vectors[:, 5]
    assert float(share(jnp.asarray(vectors[:, :2]), jnp.asarray(gradient))) == pytest.approx(9 / 25, rel=1e-4)
    assert float(share(jnp.asarray(vectors), jnp.asarray(gradient))) == pytest.approx(1.0, rel=1e-4)


def on_the_sphere(matrix, slope, radius):
    """max of ½ xᵀ A x + bᵀ x over ‖x‖ = radius for a convex A, by its secular equation."""
    values, vectors = np.linalg.eigh(np.asarray(matrix, np.float64))
    b = vectors.T @ np.asarray(slope, np.float64)
    low, high = values[-1] + 1e-9, values[-1] + np.linalg.norm(b) / radius + 1.0
    for _ in range(200):
        mid = (low + high) / 2
        low, high = (mid, high) if np.linalg.norm(b / (mid - values)) > radius else (low, mid)
    x = b / (low - values)
    return 0.5 * np.sum(values * x * x) + b @ x


def test_adaptive_sharpness_is_the_maximum_on_the_scaled_ball():
    random = np.random.default_rng(1)
    root = random.normal(size=(6, 6)).astype(np.float32)
    dense, slope, w = root @ root.T, random.normal(size=6).astype(np.float32), np.array([1.0, -2.0, 0.5, 0.0, 3.0, -1.0], np.float32)
    found = adaptive(lambda x: 0.5 * x @ dense @ x + slope @ x, jnp.asarray(w), 0.3, steps=200)
    scale = np.abs(w)
    expected = on_the_sphere(scale[:, None] * dense * scale, scale * (dense @ w + slope), 0.3)
    assert float(found) == pytest.approx(expected, rel=1e-3)


def test_adaptive_sharpness_in_the_maximum_norm_is_at_a_corner():
    random = np.random.default_rng(2)
    root, w = random.normal(size=(5, 5)).astype(np.float32), np.array([1.0, 2.0, -1.0, 0.5, 1.5], np.float32)
    dense = root @ root.T

    def loss(x):
        return 0.5 * x @ dense @ x

    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 5)).reshape(5, -1).T
    expected = max(float(loss(w + 0.1 * np.abs(w) * s)) for s in signs) - float(loss(w))
    assert float(adaptive(loss, jnp.asarray(w), 0.1, "inf")) == pytest.approx(expected, rel=1e-4)


def test_adaptive_sharpness_does_not_change_when_weights_are_rescaled():
    def loss(w):
        return (w[0] * w[1] - 1.0) ** 2

    one, other = (adaptive(loss, jnp.asarray(w), 0.1) for w in ([2.0, 3.0], [0.2, 30.0]))
    assert float(one) == pytest.approx(float(other), rel=1e-3)


def test_average_sharpness_of_a_quadratic(quadratic):
    dense, _, loss = quadratic
    w = jnp.linspace(-1.0, 2.0, 9)
    expected = 0.5 * 0.1**2 * float(jnp.sum(w**2 * jnp.diag(dense)))
    assert float(average(loss, w, 0.1, KEY, draws=4_000)) == pytest.approx(expected, rel=0.05)


def scalar_network(w):
    """Two weights whose product must be 1."""
    return 0.5 * (w[0] * w[1] - 1.0) ** 2


def test_the_flow_of_a_scalar_network_ends_where_its_invariant_says():
    """u² − v² is conserved and the end has u v = 1, so that the curvature there, u² + v², is √(invariant² + 4)."""
    w = jnp.asarray([2.0, 0.2])
    found, left = jax.jit(lambda w: after_flow(scalar_network, w, KEY, steps=600, each=0.02))(w)
    assert float(found) == pytest.approx(((4.0 - 0.04) ** 2 + 4.0) ** 0.5, rel=2e-3)
    assert float(left) < 0.01


def test_descent_lowers_the_sharpness_of_the_flow_from_where_it_is():
    """arXiv:2305.13064, on their scalar network, at a step at which descent overshoots."""
    measured = jax.jit(lambda w: after_flow(scalar_network, w, KEY, steps=600, each=0.05)[0])
    w, found = jnp.asarray([2.4, 0.2]), []
    for _ in range(6):
        found.append(float(measured(w)))
        w = w - 0.25 * jax.grad(scalar_network)(w)
    assert all(later < before * 1.001 for before, later in zip(found, found[1:], strict=False)) and found[-1] < 0.99 * found[0]


def test_barriers_by_hand():
    """A double well has its ridge on the way, a parabola has none."""
    one, other = {"well": jnp.asarray([-1.0]), "bowl": jnp.asarray([1.0])}, {"well": jnp.asarray([1.0]), "bowl": jnp.asarray([-2.0])}
    found = barriers(lambda p: jnp.sum((p["well"] ** 2 - 1.0) ** 2) + jnp.sum(p["bowl"] ** 2), one, other)
    assert float(found["well"]) == pytest.approx(1.0, abs=1e-6)
    assert float(found["bowl"]) == pytest.approx(0.0, abs=1e-6)
