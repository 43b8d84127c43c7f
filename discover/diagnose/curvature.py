"""Hessians without writing them down: products with vectors, and their largest eigenvalues by Lanczos.

Letters: n parameters, k eigenvectors, m Lanczos vectors.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from tasks.streams import derive, normal

Loss = Callable[[jax.Array], jax.Array]
"""A loss of the flat weights f32[n]."""
Product = Callable[[jax.Array], jax.Array]
"""v f32[n] → H v."""


def hessian(loss: Loss, w: jax.Array) -> Product:
    """Products with the Hessian of the loss at w, forward over reverse (Pearlmutter 1994)."""
    return lambda v: jax.jvp(jax.grad(loss), (w,), (v,))[1]


def largest(product: Product, n: int, k: int, key: jax.Array, steps: int = 40) -> tuple[jax.Array, jax.Array]:
    """The k largest eigenvalues, f32[k] from the largest down, and their eigenvectors f32[n, k], of a symmetric product.

    Lanczos with full reorthogonalisation, m = min(n, max(steps, 3 k)) products: exact to rounding where m = n.
    """
    count = min(n, max(steps, 3 * k))
    start = normal(key, (n,))

    def step(i: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        basis, images = carry
        image = product(basis[i])
        images = images.at[i].set(image)
        rest = _orthogonal(image, basis)
        exhausted = jnp.linalg.norm(rest) <= 1e-5 * (jnp.linalg.norm(image) + 1e-30)  # an invariant subspace: begin another
        rest = jnp.where(exhausted, _orthogonal(normal(derive(key, i), (n,)), basis), rest)
        rest = _orthogonal(rest / jnp.linalg.norm(rest), basis)
        following = rest / jnp.linalg.norm(rest)
        return basis.at[i + 1].set(following, mode="drop"), images

    basis = jnp.zeros((count, n)).at[0].set(start / jnp.linalg.norm(start))
    basis, images = jax.lax.fori_loop(0, count, step, (basis, jnp.zeros((count, n))))
    small = basis @ images.T
    values, vectors = jnp.linalg.eigh((small + small.T) / 2)
    k = min(k, count)
    return values[::-1][:k], (basis.T @ vectors)[:, ::-1][:, :k]


def _orthogonal(v: jax.Array, basis: jax.Array) -> jax.Array:
    """v without its parts along the rows of the basis, taken off twice, because once is not enough (Kahan)."""
    v = v - basis.T @ (basis @ v)
    return v - basis.T @ (basis @ v)


def share(vectors: jax.Array, gradient: jax.Array) -> jax.Array:
    """‖P g‖² / ‖g‖², P onto orthonormal columns f32[n, k]: 1 where the gradient lies in their span (arXiv:1812.04754); NaN for g = 0."""
    return jnp.sum((vectors.T @ gradient) ** 2) / jnp.sum(gradient**2)


def directional(product: Product, u: jax.Array) -> jax.Array:
    """Curvature along a step, uᵀ H u / ‖u‖² (arXiv:2306.00204); NaN for u = 0."""
    return u @ product(u) / (u @ u)
