"""Multilayer perceptrons as nested dicts: {"layer_0": {"w": [in, out], "b": [out]}, ...}."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
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


def metadata(sizes: Sequence[int], width: int, base: int, fixed: Container[int] = ()) -> PyTree:
    """Describe the tensors of `init(key, sizes)`, whose hidden layers are `width` wide, in a family of base width `base`.

    Activations numbered in `fixed` (1 are those after the first layer) do not grow with the width, as inputs and outputs do not.
    """
    last, mult = len(sizes) - 1, width / base

    def grows(i: int) -> bool:
        return 0 < i < last and i not in fixed

    def layer(i: int) -> PyTree:
        both = grows(i), grows(i + 1)
        role = "hidden" if all(both) else "output" if both[0] else "input"  # a linear model's is "input", of multiplier 1
        return {
            "w": TensorMeta(role, sizes[i], sizes[i + 1], mult if any(both) else 1.0),
            "b": TensorMeta("vector", 1, sizes[i + 1], mult if both[1] else 1.0),
        }

    return {f"layer_{i}": layer(i) for i in range(last)}
