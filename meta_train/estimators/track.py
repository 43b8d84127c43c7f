"""Where each particle stands in its episode: staggered starts, ends inside a truncation, restarts between truncations."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from meta_train.problem import Episode, InnerProblem, PyTree, counted, select
from tasks.streams import derive, uniform

_EPISODE, _STAGGER = 0, 1
NEVER_STARTED = -1


class Track(NamedTuple):
    """One particle's place; leaves lead with N in a state."""

    number: jax.Array  # i32[], among all particles of all devices: what is drawn depends on nothing else
    episode: Episode
    t: jax.Array  # i32[], inner steps done in the episode; NEVER_STARTED before the first
    broken: jax.Array  # bool[], not finite, so that the next truncation starts anew
    taken: jax.Array  # i32[], inner steps taken in the last truncation


def blank(problem: InnerProblem, theta: PyTree, particles: int) -> tuple[Track, PyTree]:
    """Tracks and carries of N particles whose first truncation will start an episode: all zeros, leaves lead with N.

    Made by NumPy: `jax.numpy` would compile a program for each shape, which takes seconds.
    """

    def shapes(theta: PyTree) -> tuple[Episode, PyTree]:
        episode = problem.episode(jax.random.key(0), jnp.int32(1))
        return episode, problem.start(theta, episode)

    episode, carry = jax.tree.map(lambda leaf: _zeros(particles, leaf), jax.eval_shape(shapes, theta))
    numbers, unstarted = np.arange(particles, dtype=np.int32), np.full(particles, NEVER_STARTED, np.int32)
    flags = jax.device_put((unstarted, np.zeros(particles, bool), np.zeros(particles, np.int32)))
    return Track(jax.device_put(numbers), episode, *flags), carry


def _zeros(count: int, leaf: jax.ShapeDtypeStruct) -> jax.Array:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jax.device_put(np.zeros((count, *leaf.shape, 2), np.uint32)))
    return jax.device_put(np.zeros((count, *leaf.shape), leaf.dtype))


def renew(problem: InnerProblem, track: Track, key: jax.Array, limit: jax.Array) -> tuple[Track, jax.Array]:
    """Start a new episode where the last one has ended: the track and whether it did, bool[].

    The very first episode ends at a random step, so that particles are at different ages ever after and the mean over them weighs
    all parts of a training alike. `key` is the particle's own key of this outer step.
    """
    fresh = track.t == NEVER_STARTED
    done = fresh | track.broken | (track.t >= track.episode.length)
    episode = problem.episode(derive(key, _EPISODE), limit)
    share = jnp.where(fresh, uniform(derive(key, _STAGGER)), 1.0)
    episode = episode._replace(length=jnp.ceil(episode.length * share).astype(jnp.int32))
    return track._replace(episode=select(done, episode, track.episode), t=jnp.where(done, 0, track.t)), done


def advance(track: Track, steps: int | jax.Array, sound: jax.Array) -> tuple[Track, jax.Array, jax.Array]:
    """After `steps` steps: the track, how many of them counted, i32[], and whether the episode has ended, bool[]."""
    count = counted(track.episode, track.t, steps)
    t = track.t + steps
    ended = t >= track.episode.length
    return track._replace(t=t, broken=~sound, taken=jnp.asarray(steps, jnp.int32)), count, ended
