"""Recurrent layers over sequences: LSTM, a minimal gated linear recurrence, and a plain tanh network.

Letters: N sequences, L positions, D width.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tasks.contracts import PyTree, TensorMeta
from tasks.nets.blocks import affine, dense, dense_meta, keys
from tasks.streams import normal


def lstm_init(key: jax.Array, inputs: int, width: int, gain: jax.Array | float = 1.0) -> PyTree:
    """Hochreiter & Schmidhuber's cell with the forget gate's bias at 1."""
    k = keys(key, ("x", "h"))
    x = dense(k["x"], inputs, 4 * width, gain)
    return {"x": {"w": x["w"], "b": x["b"].at[width : 2 * width].set(1.0)}, "h": normal(k["h"], (width, 4 * width)) * (gain / width**0.5)}


def lstm_meta(inputs: int, width: int, mult: float) -> PyTree:
    """Metadata of `lstm_init` above another layer of the same width."""
    return {"x": dense_meta("hidden", inputs, 4 * width, mult), "h": TensorMeta("hidden", width, 4 * width, mult)}


def lstm(params: PyTree, x: jax.Array) -> jax.Array:
    """x f32[N, L, I] → states f32[N, L, D]."""
    projected = affine(params["x"], x)

    def step(carry: tuple[jax.Array, jax.Array], now: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        h, c = carry
        i, f, o, g = jnp.split(now + h @ params["h"], 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((x.shape[0], params["h"].shape[0]))
    return jnp.swapaxes(jax.lax.scan(step, (zeros, zeros), jnp.swapaxes(projected, 0, 1))[1], 0, 1)


def gated_init(key: jax.Array, inputs: int, width: int, gain: jax.Array | float = 1.0) -> PyTree:
    """A minimal gated recurrence (minGRU, Feng et al., arXiv:2410.01201)."""
    k = keys(key, ("gate", "value"))
    return {"gate": dense(k["gate"], inputs, width, gain), "value": dense(k["value"], inputs, width, gain)}


def gated_meta(inputs: int, width: int, mult: float) -> PyTree:
    """Metadata of `gated_init`."""
    return {"gate": dense_meta("hidden", inputs, width, mult), "value": dense_meta("hidden", inputs, width, mult)}


def gated(params: PyTree, x: jax.Array) -> jax.Array:
    """h_t = (1 − z_t) h_{t−1} + z_t v_t, a linear recurrence, as a parallel scan: f32[N, L, I] → f32[N, L, D]."""
    z = jax.nn.sigmoid(affine(params["gate"], x))
    value = affine(params["value"], x)

    def join(a: tuple[jax.Array, jax.Array], b: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return a[0] * b[0], b[0] * a[1] + b[1]

    return jax.lax.associative_scan(join, (1.0 - z, z * value), axis=1)[1]


def plain_init(key: jax.Array, inputs: int, width: int, gain: jax.Array | float = 1.0) -> PyTree:
    """A tanh network."""
    k = keys(key, ("x", "h"))
    return {"x": dense(k["x"], inputs, width, gain), "h": normal(k["h"], (width, width)) * (gain / width**0.5)}


def plain_meta(inputs: int, width: int, mult: float) -> PyTree:
    """Metadata of `plain_init`, fed with raw inputs."""
    return {"x": dense_meta("input", inputs, width, mult), "h": TensorMeta("hidden", width, width, mult)}


def plain(params: PyTree, x: jax.Array) -> jax.Array:
    """The last state, f32[N, D], of x f32[N, L, I]."""
    projected = jnp.swapaxes(affine(params["x"], x), 0, 1)
    start = jnp.zeros((x.shape[0], params["h"].shape[0]))
    return jax.lax.scan(lambda h, now: (jnp.tanh(now + h @ params["h"]), None), start, projected)[0]
