"""The contract of meta-gradient estimators, and the mean over particles that they share.

Letters: N particles, P meta-parameters (theta as one flat vector).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from meta_train.problem import PyTree


class Info(NamedTuple):
    """What one estimate cost and saw."""

    loss: jax.Array  # f32[], mean loss over the inner steps that count
    inner_steps: jax.Array  # i32[], inner steps computed, each antithetic arm counted
    masked: jax.Array  # i32[], particles left out of the mean because something in them was not finite
    ended: jax.Array  # i32[], episodes that reached their end


class Contribution(NamedTuple):
    """What one particle adds to an estimate; leaves lead with N after the vmap over particles."""

    gradient: jax.Array  # f32[P]
    loss: jax.Array  # f32[], sum over the steps that count
    counted: jax.Array  # i32[], steps that count
    valid: jax.Array  # bool[]
    ended: jax.Array  # bool[]


class Estimator(Protocol):
    """Estimates the gradient of the mean loss of an inner step with respect to theta.

    init(theta, limit) -> state; episodes that start have at most `state.limit` steps, which may be replaced between estimates.
    contributions(theta, state, key) -> (Contribution, state), one for each particle, without communication: leaves of
    `state.particles` and of the contributions lead with N, everything else in the state is common to all particles.
    after(state, gradient) -> state once the mean is known. `arms` is the number of trainings that each particle holds.
    """

    arms: int

    def init(self, theta: PyTree, limit: int) -> Any: ...

    def contributions(self, theta: PyTree, state: Any, key: jax.Array) -> tuple[Contribution, Any]: ...

    def after(self, state: Any, gradient: jax.Array) -> Any: ...


def estimate(estimator: Estimator, theta: PyTree, state: Any, key: jax.Array, axis: str | None = None) -> tuple[PyTree, Any, Info]:
    """The mean gradient over all particles, those of other devices on the mesh axis `axis` included: (gradient, state, Info)."""
    part, state = estimator.contributions(theta, state, key)

    def total(values: jax.Array) -> jax.Array:
        summed = jnp.sum(values, axis=0)
        return summed if axis is None else jax.lax.psum(summed, axis)

    valid = part.valid & jnp.all(jnp.isfinite(part.gradient), axis=1) & jnp.isfinite(part.loss)
    used = jnp.where(valid[:, None], part.gradient, 0.0)
    gradient = total(used) / jnp.maximum(total(valid.astype(jnp.float32)), 1.0)
    steps = total(jnp.where(valid, part.counted, 0))
    info = Info(
        loss=total(jnp.where(valid, part.loss, 0.0)) / jnp.maximum(steps, 1),
        inner_steps=total(estimator.arms * state.particles.track.taken),
        masked=total((~valid).astype(jnp.int32)),
        ended=total(part.ended.astype(jnp.int32)),
    )
    return unflatten(theta, gradient), estimator.after(state, gradient), info


def flatten(theta: PyTree) -> jax.Array:
    """All numbers of theta: f32[P]."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(theta)])


def unflatten(like: PyTree, flat: jax.Array) -> PyTree:
    """The inverse of `flatten` for a tree of these shapes."""
    leaves, structure = jax.tree.flatten(like)
    ends = [0]
    for leaf in leaves:
        ends.append(ends[-1] + leaf.size)
    parts = [flat[a:b].reshape(leaf.shape) for a, b, leaf in zip(ends[:-1], ends[1:], leaves, strict=True)]
    return jax.tree.unflatten(structure, parts)
