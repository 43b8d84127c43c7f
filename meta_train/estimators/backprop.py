"""Derivatives through truncated unrolls: reverse mode, which is exact within a truncation, and forward mode in a random direction.

Both ignore how theta reached the truncation's start through earlier ones, unless forward mode carries its tangents along: with one
direction v for an episode, (dL · v) v is then unbiased (forward gradients, arXiv 2202.08587), the limit of ES-Single for small noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from meta_train.estimators.contracts import Contribution, flatten, unflatten
from meta_train.estimators.track import Track, advance, blank, renew
from meta_train.problem import InnerProblem, PyTree, finite, select, unroll
from tasks.streams import derive, normal

_DIRECTION = 2


class Particles(NamedTuple):
    """Leaves lead with N; `direction` f32[N, P] and `tangent` (like the inexact leaves of the carry) are empty in reverse mode."""

    track: Track
    carry: PyTree
    direction: PyTree
    tangent: PyTree


class State(NamedTuple):
    """`limit` i32[] is the longest episode that may start now."""

    particles: Particles
    limit: jax.Array


@dataclass(frozen=True)
class Backprop:
    """Backpropagation through `steps` inner steps of N = `particles` trainings; biased where episodes are longer."""

    problem: InnerProblem
    particles: int
    steps: int
    arms: int = 1

    def init(self, theta: PyTree, limit: int) -> State:
        """All particles before their first episode."""
        return State(Particles(*blank(self.problem, theta, self.particles), (), ()), jnp.int32(limit))

    def contributions(self, theta: PyTree, state: State, key: jax.Array) -> tuple[Contribution, State]:
        """Each particle's gradient."""

        def one(particle: Particles) -> tuple[Contribution, Particles]:
            track, carry, _ = _begin(self, theta, particle, derive(key, particle.track.number), state.limit)

            def mean_loss(theta: PyTree) -> tuple[jax.Array, PyTree]:
                end, total = unroll(self.problem, theta, track.episode, carry, track.t, self.steps)
                return total / self.steps, end

            (loss, end), gradient = jax.value_and_grad(mean_loss, has_aux=True)(theta)
            track, count, ended = advance(track, self.steps, finite(end))
            part = Contribution(flatten(gradient), loss * self.steps, count, jnp.isfinite(loss), ended)
            return part, Particles(track, end, (), ())

        parts, particles = jax.vmap(one)(state.particles)
        return parts, state._replace(particles=particles)

    def after(self, state: State, gradient: jax.Array) -> State:
        """Nothing to remember."""
        return state


@dataclass(frozen=True)
class ForwardGradient:
    """Jacobian-vector products in a random direction, one for each episode; `persistent` carries tangents across truncations."""

    problem: InnerProblem
    particles: int
    steps: int
    persistent: bool = True
    arms: int = 1

    def init(self, theta: PyTree, limit: int) -> State:
        """All particles before their first episode."""
        track, carry = blank(self.problem, theta, self.particles)
        direction = jnp.zeros((self.particles, flatten(theta).size))
        return State(Particles(track, carry, direction, _zeros(carry)), jnp.int32(limit))

    def contributions(self, theta: PyTree, state: State, key: jax.Array) -> tuple[Contribution, State]:
        """Each particle's directional derivative times its direction."""

        def one(particle: Particles) -> tuple[Contribution, Particles]:
            mine = derive(key, particle.track.number)
            track, carry, restart = _begin(self, theta, particle, mine, state.limit)
            drawn = normal(derive(mine, _DIRECTION), particle.direction.shape)
            again = restart if self.persistent else True
            direction = jnp.where(again, drawn, particle.direction)
            born = self._start_tangent(theta, track, direction)
            tangent = select(restart, born, particle.tangent) if self.persistent else select(restart, born, _zeros(carry))

            def run(theta: PyTree, moving: list[jax.Array]) -> tuple[tuple[jax.Array, list[jax.Array]], PyTree]:
                end, total = unroll(self.problem, theta, track.episode, _join(carry, moving), track.t, self.steps)
                return (total / self.steps, _moving(end)), end

            (loss, _), (slope, tangent), end = jax.jvp(run, (theta, _moving(carry)), (unflatten(theta, direction), tangent), has_aux=True)
            track, count, ended = advance(track, self.steps, finite((end, tangent)))
            part = Contribution(slope * direction, loss * self.steps, count, jnp.isfinite(loss), ended)
            return part, Particles(track, end, direction, tangent)

        parts, particles = jax.vmap(one)(state.particles)
        return parts, state._replace(particles=particles)

    def after(self, state: State, gradient: jax.Array) -> State:
        """Nothing to remember."""
        return state

    def _start_tangent(self, theta: PyTree, track: Track, direction: jax.Array) -> list[jax.Array]:
        """How the carry at the start of an episode moves with theta."""
        start = lambda theta: _moving(self.problem.start(theta, track.episode))  # noqa: E731
        return jax.jvp(start, (theta,), (unflatten(theta, direction),))[1]


def _begin(
    estimator: Backprop | ForwardGradient, theta: PyTree, particle: Particles, key: jax.Array, limit: jax.Array
) -> tuple[Track, PyTree, jax.Array]:
    """The track and the carry at the start of the truncation, and whether an episode starts."""
    track, restart = renew(estimator.problem, particle.track, key, limit)
    start = jax.lax.stop_gradient(estimator.problem.start(theta, track.episode))
    return track, select(restart, start, particle.carry), restart


def _moving(carry: PyTree) -> list[jax.Array]:
    """The leaves that can have a tangent."""
    return [leaf for leaf in jax.tree.leaves(carry) if jnp.issubdtype(leaf.dtype, np.inexact)]


def _zeros(carry: PyTree) -> list[jax.Array]:
    return [jnp.zeros_like(leaf) for leaf in _moving(carry)]


def _join(carry: PyTree, moving: list[jax.Array]) -> PyTree:
    """The carry with other values of its `_moving` leaves."""
    leaves, structure = jax.tree.flatten(carry)
    rest = iter(moving)
    return structure.unflatten([next(rest) if jnp.issubdtype(leaf.dtype, np.inexact) else leaf for leaf in leaves])
