"""Random numbers of the inner loop: one integer hash instead of a threefry call for each step.

A step of a micro task takes about 20 µs, so the stream of minibatches has to fuse into the gather that uses it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

_GOLDEN = 0x9E3779B9  # 2^32 divided by the golden ratio: spreads consecutive integers


def _mix(x: jax.Array) -> jax.Array:
    """Bijective hash of u32 (lowbias32, Chris Wellons, "Prospecting for hash functions", 2018)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def _words(key: jax.Array) -> jax.Array:
    """The key's first two words, u32[2], for every implementation of keys."""
    return jax.random.key_data(key)[..., :2]


def step_key(key: jax.Array, step: jax.Array | int) -> jax.Array:
    """Derive the key of one step from the key of a training (i32, hashed as u32); distinct steps have distinct keys."""
    words = _words(key)
    step = jnp.asarray(step).astype(jnp.uint32) * jnp.uint32(_GOLDEN)
    first = _mix(words[0] ^ _mix(step))
    second = _mix(words[1] + _mix(first ^ jnp.uint32(_GOLDEN)))
    return jax.random.wrap_key_data(jnp.stack([first, second]), impl="threefry2x32")


def draw(key: jax.Array, count: int, limit: int) -> jax.Array:
    """Draw `count` independent row numbers from 0 to limit - 1: i32[count], with replacement."""
    words = _words(key)
    place = jnp.arange(count, dtype=jnp.uint32) * jnp.uint32(_GOLDEN)
    bits = _mix(_mix(words[0] ^ place) ^ words[1])
    return (bits % jnp.uint32(limit)).astype(jnp.int32)
