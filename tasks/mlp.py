"""Multilayer perceptrons as nested dicts: {"layer_0": {"w": [in, out], "b": [out]}, ...}."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import jax
import jax.numpy as jnp

from tasks import streams
from tasks.contracts import PyTree, TensorMeta

ACTIVATIONS: tuple[Callable[[jax.Array], jax.Array], ...] = (jax.nn.relu, jnp.tanh)


def init(key: jax.Array, sizes: Sequence[int], scale: jax.Array | float = 1.0) -> PyTree:
    """Draw weights of variance scale² / fan_in (LeCun et al., "Efficient BackProp", 1998); biases are 0."""

    def layer(key: jax.Array, fan_in: int, fan_out: int) -> PyTree:
        weights = streams.normal(key, (fan_in, fan_out)) * (scale / fan_in**0.5)
        return {"w": weights, "b": jnp.zeros(fan_out)}

    return {f"layer_{i}": layer(streams.derive(key, i), *pair) for i, pair in enumerate(pairwise(sizes))}


def apply(params: PyTree, x: jax.Array, activation: Callable[[jax.Array], jax.Array], linear: tuple[int, ...] = ()) -> jax.Array:
    """Map x f32[N, D] to the outputs f32[N, C]; the last layer and the layers numbered in `linear` have no activation."""
    last = len(params) - 1
    for i in range(last + 1):
        layer = params[f"layer_{i}"]
        x = x @ layer["w"] + layer["b"]
        if i != last and i not in linear:
            x = activation(x)
    return x


def metadata(sizes: Sequence[int], width: int, base: int) -> PyTree:
    """Describe the tensors of `init(key, sizes)`, whose hidden layers are `width` wide, in a family of base width `base`."""
    last = len(sizes) - 2
    mult = width / base

    def layer(i: int, fan_in: int, fan_out: int) -> PyTree:
        role = "input" if i == 0 else "output" if i == last else "hidden"
        alone = last == 0  # a linear model has no width
        return {
            "w": TensorMeta(role, fan_in, fan_out, 1.0 if alone else mult),
            "b": TensorMeta("vector", 1, fan_out, 1.0 if i == last else mult),
        }

    return {f"layer_{i}": layer(i, *pair) for i, pair in enumerate(pairwise(sizes))}
