"""Pieces that networks share: dense layers, layer normalisation, their metadata."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from tasks.contracts import PyTree, Role, TensorMeta
from tasks.streams import derive, normal


def dense(key: jax.Array, fan_in: int, fan_out: int, gain: jax.Array | float = 1.0) -> PyTree:
    """Weights [fan_in, fan_out] of variance gain² / fan_in and a bias of zeros."""
    return {"w": normal(key, (fan_in, fan_out)) * (gain / fan_in**0.5), "b": jnp.zeros(fan_out)}


def dense_meta(role: Role, fan_in: int, fan_out: int, mult: float) -> PyTree:
    """Metadata of `dense`; an output layer's bias has no width."""
    return {"w": TensorMeta(role, fan_in, fan_out, mult), "b": TensorMeta("vector", 1, fan_out, 1.0 if role == "output" else mult)}


def affine(params: PyTree, x: jax.Array) -> jax.Array:
    """x @ w + b."""
    return x @ params["w"] + params["b"]


def norm_init(width: int) -> PyTree:
    """Gain and shift of a layer normalisation."""
    return {"gain": jnp.ones(width), "shift": jnp.zeros(width)}


def norm_meta(width: int, mult: float) -> PyTree:
    """Metadata of `norm_init`."""
    return {"gain": TensorMeta("vector", 1, width, mult), "shift": TensorMeta("vector", 1, width, mult)}


def layer_norm(params: PyTree, x: jax.Array) -> jax.Array:
    """Normalise the last axis to mean 0 and variance 1 (Ba et al., arXiv:1607.06450)."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    scaled = centred * jax.lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)
    return scaled * params["gain"] + params["shift"]


def keys(key: jax.Array, names: Any) -> dict[str, jax.Array]:
    """A key for each name, by its place."""
    return {name: derive(key, i) for i, name in enumerate(names)}
