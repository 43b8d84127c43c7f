"""What a meta-gradient estimator needs of an inner problem: pure functions of one particle, and the truncated unroll over them.

A particle is one inner training that goes on across outer steps, a truncation of K inner steps at a time. Antithetic arms of a particle
share its episode, that is its task, data stream and length, and differ in their carry. The inner loop of `tasks.rollout` runs trainings
from start to end and measures them; this one stops and goes on, and is differentiated with respect to the optimizer.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp

PyTree: TypeAlias = Any


class Episode(NamedTuple):
    """What all arms of a particle share."""

    key: jax.Array  # key[], from which every step's data are derived
    length: jax.Array  # i32[], inner steps from start to end
    setting: PyTree  # the task's configuration and whatever else was drawn for it


class InnerProblem(Protocol):
    """Problems that an optimizer with meta-parameters theta works on.

    episode(key, limit) -> Episode of at most `limit` steps, i32[]. start(theta, episode) -> carry: weights and optimizer state.
    step(theta, episode, carry, t) -> (carry, loss f32[]): inner step number t, and the loss that theta is judged by.
    """

    def episode(self, key: jax.Array, limit: jax.Array) -> Episode: ...

    def start(self, theta: PyTree, episode: Episode) -> PyTree: ...

    def step(self, theta: PyTree, episode: Episode, carry: PyTree, t: jax.Array) -> tuple[PyTree, jax.Array]: ...


@runtime_checkable
class Judged(Protocol):
    """An inner problem whose theta is judged at the end of each truncation, not by the losses on the way.

    judge(episode, carry) -> f32[]: counts for each step of the truncation.
    """

    def judge(self, episode: Episode, carry: PyTree) -> jax.Array: ...


def unroll(
    problem: InnerProblem, theta: PyTree, episode: Episode, carry: PyTree, t: jax.Array, steps: int | jax.Array
) -> tuple[PyTree, jax.Array]:
    """Go `steps` inner steps on from step t: the new carry and the sum of the losses up to the episode's end, f32[].

    Steps beyond the end are taken and not counted, so that all particles do equal work. `steps` may be traced, which cannot be
    differentiated in reverse.
    """

    def one(carry: PyTree, k: jax.Array) -> tuple[PyTree, jax.Array]:
        carry, loss = problem.step(theta, episode, carry, t + k)
        return carry, jnp.where(t + k < episode.length, loss, 0.0)

    if isinstance(steps, int):
        carry, losses = jax.lax.scan(one, carry, jnp.arange(steps, dtype=jnp.int32))
        total = jnp.sum(losses)  # not in the carry: a part of it that starts out the same for all makes vmap trace the loop twice
    else:

        def add(k: jax.Array, state: tuple[PyTree, jax.Array]) -> tuple[PyTree, jax.Array]:
            carry, loss = one(state[0], k)
            return carry, state[1] + loss

        carry, total = jax.lax.fori_loop(0, steps, add, (carry, jnp.zeros(())))
    if isinstance(problem, Judged):
        total = counted(episode, t, steps) * problem.judge(episode, carry)
    return carry, total


def counted(episode: Episode, t: jax.Array, steps: int | jax.Array) -> jax.Array:
    """How many of the `steps` steps from t on are before the episode's end: i32[]."""
    return jnp.clip(episode.length - t, 0, steps)


def select(condition: jax.Array, new: PyTree, old: PyTree) -> PyTree:
    """The new tree where the condition, bool[], holds, else the old one."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def finite(tree: PyTree) -> jax.Array:
    """Whether all floating-point leaves are finite: bool[]."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return jnp.all(jnp.array([jnp.isfinite(jnp.sum(leaf * 0)) for leaf in leaves]))
