"""How much the loss rises nearby: adaptive sharpness, sharpness at the end of the gradient flow, and barriers between trainings.

Letters: n parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from discover.diagnose.curvature import Loss, hessian, largest
from tasks.streams import normal

PyTree = Any


def adaptive(loss: Loss, w: jax.Array, radius: float, norm: Literal["2", "inf"] = "2", steps: int = 20) -> jax.Array:
    """max of L(w + δ) − L(w) over ‖δ ⊘ |w|‖ ≤ radius, in the 2- or the ∞-norm: f32[] (arXiv:2302.07011, without their logit normalisation).

    Each step goes to the point of the ball's surface that the gradient points to, which never descends where the loss is convex; the best
    point counts. A local search: a lower bound elsewhere. Weights of 0 do not move, so that rescaling them changes nothing.
    """
    scale = jnp.abs(w)

    def towards(direction: jax.Array) -> jax.Array:
        if norm == "inf":
            return radius * jnp.sign(direction)
        return radius * direction / jnp.maximum(jnp.linalg.norm(direction), 1e-30)

    def step(_: int, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        relative, best = carry
        value, gradient = jax.value_and_grad(loss)(w + scale * relative)
        return towards(scale * gradient), jnp.maximum(best, value)

    first = scale * jax.grad(loss)(w)
    start = towards(jnp.where(jnp.any(first != 0), first, scale))  # at a stationary point any direction will do
    relative, best = jax.lax.fori_loop(0, steps, step, (start, loss(w)))
    return jnp.maximum(best, loss(w + scale * relative)) - loss(w)


def average(loss: Loss, w: jax.Array, radius: float, key: jax.Array, draws: int = 16) -> jax.Array:
    """Mean of L(w + δ) − L(w) over δ ~ N(0, radius² diag(w²)), in pairs of opposite sign: f32[] (arXiv:2302.07011)."""
    noise = radius * jnp.abs(w) * normal(key, (draws, w.size))
    return jnp.mean(jax.lax.map(lambda d: (loss(w + d) + loss(w - d)) / 2, noise)) - loss(w)


def after_flow(loss: Loss, w: jax.Array, key: jax.Array, steps: int = 300, each: float = 0.1) -> tuple[jax.Array, jax.Array]:
    """Largest curvature where the gradient flow from w ends, and the norm of the gradient left there: f32[], f32[] (arXiv:2305.13064).

    `steps` Euler steps of length `each` / λ_max, the curvature being measured at every tenth; a norm far from 0 says that the end was not
    reached.
    """

    def stretch(_: int, w: jax.Array) -> jax.Array:
        top = largest(hessian(loss, w), w.size, 1, key, steps=12)[0][0]
        length = each / jnp.maximum(jnp.abs(top), 1e-6)
        return jax.lax.fori_loop(0, 10, lambda _, w: w - length * jax.grad(loss)(w), w)

    end = jax.lax.fori_loop(0, steps // 10, stretch, w)
    return largest(hessian(loss, end), w.size, 1, key)[0][0], jnp.linalg.norm(jax.grad(loss)(end))


def barriers(loss: Callable[[PyTree], jax.Array], one: PyTree, other: PyTree, points: int = 5) -> PyTree:
    """For each tensor, how high the loss rises above a straight line when this tensor alone is led from `one` to `other`.

    max over α of L(one, tensor at α) − (1 − α) L(one) − α L(one, tensor of other), 0 or more (arXiv:2307.06966).
    """
    leaves, tree = jax.tree.flatten(one)
    start = loss(one)
    found = []
    for i, target in enumerate(jax.tree.leaves(other)):

        def at(alpha: jax.Array, i: int = i, target: jax.Array = target) -> jax.Array:
            moved = leaves[i] + alpha * (target - leaves[i])
            return loss(tree.unflatten([*leaves[:i], moved, *leaves[i + 1 :]]))

        alphas = jnp.linspace(0.0, 1.0, points + 2)[1:-1]
        end = at(jnp.ones(()))
        found.append(jnp.maximum(jnp.max(jax.lax.map(at, alphas) - (1 - alphas) * start - alphas * end), 0.0))
    return tree.unflatten(found)
