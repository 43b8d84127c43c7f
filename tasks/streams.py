"""Random numbers of the inner loop: one integer hash where JAX's threefry would cost too much.

A step of a micro task takes about 20 µs, so drawing a minibatch has to fuse into the gather that uses it; and compiling
threefry for the initial weights of a two-layer network alone took 8 s of a 9 s compilation. Keys stay JAX keys, so
that a task may use `jax.random` where it likes.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

_GOLDEN = 0x9E3779B9  # 2^32 divided by the golden ratio: spreads consecutive integers


def derive(key: jax.Array, number: jax.Array | int) -> jax.Array:
    """Derive a key from a key and a number (i32, hashed as u32); distinct numbers give distinct keys."""
    words = _words(key)
    spread = jnp.asarray(number).astype(jnp.uint32) * jnp.uint32(_GOLDEN)
    first = _mix(words[0] ^ _mix(spread))
    second = _mix(words[1] + _mix(first ^ jnp.uint32(_GOLDEN)))
    return jax.random.wrap_key_data(jnp.stack([first, second]), impl="threefry2x32")


def draw(key: jax.Array, count: int, limit: int) -> jax.Array:
    """Draw `count` independent row numbers from 0 to limit - 1: i32[count], with replacement."""
    return (_bits(key, count) % jnp.uint32(limit)).astype(jnp.int32)


def uniform(key: jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
    """Draw uniform numbers strictly between 0 and 1: f32[shape]."""
    size = 1
    for length in shape:
        size *= length
    whole = (_bits(key, size) >> 9).astype(jnp.float32)  # 23 bits, which f32 holds with the half that is added
    return ((whole + 0.5) * 2.0**-23).reshape(shape)


def normal(key: jax.Array, shape: tuple[int, ...] = ()) -> jax.Array:
    """Draw standard normal numbers, at most 5.3 in size: f32[shape]."""
    return 2.0**0.5 * jax.lax.erf_inv(2.0 * uniform(key, shape) - 1.0)


def _bits(key: jax.Array, count: int) -> jax.Array:
    """Hash the numbers 0 to count - 1 under the key: u32[count]."""
    words = _words(key)
    place = jnp.arange(count, dtype=jnp.uint32) * jnp.uint32(_GOLDEN)
    return _mix(_mix(words[0] ^ place) ^ words[1])


def _mix(x: jax.Array) -> jax.Array:
    """Bijective hash of u32 (lowbias32; Chris Wellons, "Prospecting for Hash Functions", 2018)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def _words(key: jax.Array) -> jax.Array:
    """The key's first two words, u32[2], for every implementation of keys."""
    return jax.random.key_data(key)[..., :2]
