"""Evolution strategies through unrolled trainings, with antithetic pairs: one class, told apart by when noise is drawn again.

For particle i with noise epsilon ~ N(0, sigma^2 I), and the losses L+, L- of the truncation that its arms theta ± epsilon go through,

    gradient = mean over i of total_i · (L+ - L-) / (2 sigma^2),

where total is the sum of all noises drawn since the episode began. Drawn at every truncation this is PES (arXiv 2112.13835), drawn once for
an episode ES-Single (arXiv 2304.11153), in between noise-reuse ES (arXiv 2304.12180). Truncated ES forgets the earlier noises, which
is biased. Full ES takes whole episodes at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from meta_train.estimators.contracts import Contribution, flatten, unflatten
from meta_train.estimators.noise import Guide, Isotropic
from meta_train.estimators.track import Track, advance, blank, renew
from meta_train.problem import InnerProblem, PyTree, finite, select, unroll
from tasks.streams import derive

_NOISE = 2
_SIGNS = (1.0, -1.0)


class Particles(NamedTuple):
    """Leaves lead with N."""

    track: Track
    carry: PyTree  # [N, 2, ...], weights and optimizer states of the two arms
    noise: jax.Array  # f32[N, P]
    total: jax.Array  # f32[N, P]
    age: jax.Array  # i32[N], truncations since the episode began


class State(NamedTuple):
    """`limit` i32[] is the longest episode that may start now; `guide` is what the noise distribution remembers."""

    particles: Particles
    limit: jax.Array
    guide: PyTree


@dataclass(frozen=True)
class EvolutionStrategies:
    """Antithetic evolution strategies over N = `particles` pairs, `steps` inner steps at a time; None takes whole episodes.

    `period` counts truncations between draws of the noise; None draws it once for an episode.
    """

    problem: InnerProblem
    particles: int
    steps: int | None
    period: int | None = None
    accumulate: bool = True
    noise: Isotropic | Guide = Isotropic()
    arms: int = 2

    def init(self, theta: PyTree, limit: int) -> State:
        """All particles before their first episode, which has at most `limit` steps."""
        track, carry = blank(self.problem, theta, self.particles)
        size = sum(leaf.size for leaf in jax.tree.leaves(theta))
        pairs = jax.tree.map(lambda leaf: np.zeros((leaf.shape[0], 2, *leaf.shape[1:]), leaf.dtype), carry)
        noise, total = (np.zeros((self.particles, size), np.float32) for _ in range(2))
        particles = Particles(track, *jax.device_put((pairs, noise, total, np.zeros(self.particles, np.int32))))
        return State(particles, jax.device_put(np.int32(limit)), self.noise.init(size))

    def contributions(self, theta: PyTree, state: State, key: jax.Array) -> tuple[Contribution, State]:
        """Each particle's product of noise and loss difference."""
        flat = flatten(theta)
        sides = jnp.array(_SIGNS)[:, None]

        def arms(noise: jax.Array) -> PyTree:
            return jax.vmap(lambda vector: unflatten(theta, vector))(flat + sides * noise)

        def prepare(particle: Particles) -> Particles:
            mine = derive(key, particle.track.number)
            track, restart = renew(self.problem, particle.track, mine, state.limit)
            age = jnp.where(restart, 0, particle.age)
            again = age == 0 if self.period is None else age % self.period == 0
            noise = jnp.where(again, self.noise.draw(derive(mine, _NOISE), flat.size, state.guide), particle.noise)
            earlier = jnp.where(restart | (not self.accumulate), 0.0, particle.total)
            total = jnp.where(again, earlier + noise, particle.total)
            start = jax.vmap(self.problem.start, (0, None))(arms(noise), track.episode)
            return Particles(track, select(restart, start, particle.carry), noise, total, age)

        def go(particle: Particles, steps: int | jax.Array) -> tuple[PyTree, jax.Array]:
            track = particle.track
            one = jax.vmap(lambda theta, carry: unroll(self.problem, theta, track.episode, carry, track.t, steps))
            return one(arms(particle.noise), particle.carry)

        def finish(before: Particles, carry: PyTree, losses: jax.Array, steps: int | jax.Array) -> tuple[Contribution, Particles]:
            sound = finite(carry)
            track, count, ended = advance(before.track, steps, sound)
            whole = count if self.steps is None else self.steps
            gradient = self.noise.gradient(before.total, (losses[0] - losses[1]) / whole)
            part = Contribution(gradient, jnp.mean(losses), count, jnp.all(jnp.isfinite(losses)), ended)
            return part, before._replace(track=track, carry=carry, age=before.age + 1)

        ready = jax.vmap(prepare)(self._finished(state.particles))
        steps = jnp.max(ready.track.episode.length) if self.steps is None else self.steps
        carry, losses = jax.vmap(lambda particle: go(particle, steps))(ready)
        parts, particles = jax.vmap(lambda before, carry, losses: finish(before, carry, losses, steps))(ready, carry, losses)
        return parts, state._replace(particles=particles)

    def after(self, state: State, gradient: jax.Array) -> State:
        """Let a guided distribution remember the estimate."""
        return state._replace(guide=self.noise.remember(state.guide, gradient))

    def _finished(self, particles: Particles) -> Particles:
        """The particles; for whole episodes, all at the end of one, and never staggered."""
        if self.steps is not None:
            return particles
        track = particles.track
        return particles._replace(track=track._replace(t=jnp.maximum(track.episode.length, 0)))


def pes(problem: InnerProblem, particles: int, steps: int, sigma: float = 0.01) -> EvolutionStrategies:
    """Persistent evolution strategies."""
    return EvolutionStrategies(problem, particles, steps, period=1, noise=Isotropic(sigma))


def noise_reuse(problem: InnerProblem, particles: int, steps: int, sigma: float = 0.01, period: int = 4) -> EvolutionStrategies:
    """Noise-reuse evolution strategies: fresh noise every `period` truncations."""
    return EvolutionStrategies(problem, particles, steps, period=period, noise=Isotropic(sigma))


def es_single(problem: InnerProblem, particles: int, steps: int, sigma: float = 0.01) -> EvolutionStrategies:
    """ES-Single: one noise for an episode."""
    return EvolutionStrategies(problem, particles, steps, noise=Isotropic(sigma))


def truncated_es(problem: InnerProblem, particles: int, steps: int, sigma: float = 0.01) -> EvolutionStrategies:
    """Truncated evolution strategies: blind to what earlier truncations did, hence biased."""
    return EvolutionStrategies(problem, particles, steps, period=1, accumulate=False, noise=Isotropic(sigma))


def full_es(problem: InnerProblem, particles: int, sigma: float = 0.01) -> EvolutionStrategies:
    """Evolution strategies over whole episodes."""
    return EvolutionStrategies(problem, particles, None, noise=Isotropic(sigma))


def guided_es(
    problem: InnerProblem, particles: int, steps: int, sigma: float = 0.01, share: float = 0.5, memory: int = 4
) -> EvolutionStrategies:
    """ES-Single whose noise lies partly in the span of the last estimates."""
    return EvolutionStrategies(problem, particles, steps, noise=Guide(sigma, share, memory))
