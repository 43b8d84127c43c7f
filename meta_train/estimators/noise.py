"""Distributions of perturbations: isotropic, and guided by a subspace (arXiv 1806.10230)."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from meta_train.problem import PyTree
from tasks.streams import derive, normal


@dataclass(frozen=True)
class Isotropic:
    """Noise ~ N(0, sigma² I)."""

    sigma: float = 0.01

    def init(self, size: int) -> PyTree:
        """Nothing to remember."""
        return ()

    def draw(self, key: jax.Array, size: int, memory: PyTree) -> jax.Array:
        """One noise: f32[P]."""
        return self.sigma * normal(key, (size,))

    def gradient(self, total: jax.Array, difference: jax.Array) -> jax.Array:
        """The estimate from a sum of noises, f32[P], and the difference of two losses, f32[]."""
        return total * (difference / (2.0 * self.sigma**2))

    def remember(self, memory: PyTree, gradient: jax.Array) -> PyTree:
        """Nothing to remember."""
        return memory


@dataclass(frozen=True)
class Guide:
    """Noise ~ N(0, sigma² C), C = share · I + (1 - share) · P / k · U Uᵀ, where U [P, k] spans the last k estimates.

    The trace of C is P, as of the identity. The estimate total · (L+ - L-) / (2 sigma²) has the mean C · gradient: along the subspace
    steps are longer and, where the true gradient lies in it, variance is smaller.
    """

    sigma: float = 0.01
    share: float = 0.5
    memory: int = 4

    def init(self, size: int) -> PyTree:
        """The last estimates, zeros at first: f32[k, P]."""
        return jnp.zeros((self.memory, size))

    def draw(self, key: jax.Array, size: int, memory: PyTree) -> jax.Array:
        """One noise: f32[P]; isotropic until the memory is full."""
        basis = jnp.linalg.qr(memory.T)[0]
        inside = basis @ normal(derive(key, 1), (self.memory,)) * (size / self.memory) ** 0.5
        full = jnp.all(jnp.sum(memory**2, axis=1) > 0)
        share = jnp.where(full, self.share, 1.0)
        return self.sigma * (jnp.sqrt(share) * normal(derive(key, 0), (size,)) + jnp.sqrt(1.0 - share) * jnp.where(full, inside, 0.0))

    def gradient(self, total: jax.Array, difference: jax.Array) -> jax.Array:
        """The estimate from a sum of noises, f32[P], and the difference of two losses, f32[]."""
        return total * (difference / (2.0 * self.sigma**2))

    def remember(self, memory: PyTree, gradient: jax.Array) -> PyTree:
        """Put the newest estimate first."""
        return jnp.concatenate([gradient[None] / jnp.maximum(jnp.linalg.norm(gradient), 1e-30), memory[:-1]])
