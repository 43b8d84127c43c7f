"""A tiny network applied to every parameter: features in, a few numbers out, nothing of the size (parameters × features) in between.

Features may be smaller than the tensor and broadcast to it (rows, columns, single numbers): their part of the first layer is
computed at their own size. Up to `UNROLLED` hidden units, layers are written out as elementwise code, which XLA fuses into one pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from meta_train.contracts import PyTree

UNROLLED = 8


@partial(jax.jit, static_argnames="sizes")  # one program instead of one for each operation and shape
def init_mlp(key: jax.Array, sizes: tuple[int, ...]) -> PyTree:
    """Weights w0 … and biases b0 … of layers between `sizes`: normal, cut at two standard deviations of 1/√fan_in; biases 0.

    Each layer takes the first of as many numbers as the largest needs: to compile a draw of its own for each takes three times as long.
    """
    theta: dict[str, jax.Array] = {}
    pairs = list(pairwise(sizes))
    largest = max(fan_in * fan_out for fan_in, fan_out in pairs)
    draws = jax.vmap(lambda own: jax.random.truncated_normal(own, -2.0, 2.0, (largest,)))(jax.random.split(key, len(pairs)))
    for layer, (fan_in, fan_out) in enumerate(pairs):
        theta[f"w{layer}"] = draws[layer, : fan_in * fan_out].reshape(fan_in, fan_out) / math.sqrt(fan_in)
        theta[f"b{layer}"] = jnp.zeros(fan_out)
    return theta


def apply_mlp(theta: PyTree, features: Sequence[jax.Array], scales: jax.Array | None = None) -> list[jax.Array]:
    """ReLU network of n features that broadcast to one shape S; the outputs, each of shape S.

    `scales` (f32[n]) multiply the features; they are folded into the first layer's weights. A leaf "skip" (f32[n]) of theta is a
    linear path from the features to the first output.
    """
    first = theta["w0"] if "skip" not in theta else jnp.concatenate([theta["w0"], theta["skip"][:, None]], 1)
    bias = theta["b0"] if "skip" not in theta else jnp.concatenate([theta["b0"], jnp.zeros(1)])
    weights = first if scales is None else first * scales[:, None]
    ndim = max(f.ndim for f in features)
    units, layers = theta["w0"].shape[1], sum(name.startswith("w") for name in theta)
    if units <= UNROLLED:
        wide = _first_layer(features, weights, bias)
        hidden, linear = wide[:units], wide[units:]
        for layer in range(1, layers):
            own = (_numbers(theta[f"w{layer}"], ndim), _numbers(theta[f"b{layer}"][None], ndim)[0])
            hidden = _dense([jnp.maximum(x, 0.0) for x in hidden], *own)
    else:
        stacked = _first_layer_stacked(features, weights, bias)
        linear, stacked = list(stacked[units:]), stacked[:units]
        for layer in range(1, layers):
            stacked = jnp.tensordot(theta[f"w{layer}"], jax.nn.relu(stacked), ((0,), (0,)))
            stacked = stacked + theta[f"b{layer}"].reshape(-1, *[1] * (stacked.ndim - 1))
        hidden = list(stacked)
    return [hidden[0] + linear[0], *hidden[1:]] if linear else hidden


def _numbers(weights: jax.Array, ndim: int) -> list[list[jax.Array]]:
    """The entries of a matrix as arrays of `ndim` axes of length 1, by one operation: programs of thousands of indexings compile slowly."""
    rows, cols = weights.shape
    flat = weights.reshape(-1, *[1] * (ndim - 1)) if ndim else weights.reshape(-1)
    entries = jax.lax.split(flat, [1] * flat.shape[0]) if ndim else list(flat)
    return [list(entries[i * cols : (i + 1) * cols]) for i in range(rows)]


def _dense(inputs: Sequence[jax.Array], weights: list[list[jax.Array]], bias: list[jax.Array]) -> list[jax.Array]:
    """Each output as a sum of products, elementwise."""
    outputs = []
    for j, total in enumerate(bias):
        for x, row in zip(inputs, weights, strict=True):
            total = total + row[j] * x
        outputs.append(total)
    return outputs


def _by_shape(features: Sequence[jax.Array]) -> list[list[int]]:
    """Numbers of the features of equal shape, smallest first."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, feature in enumerate(features):
        groups.setdefault(feature.shape, []).append(number)
    return sorted(groups.values(), key=lambda numbers: features[numbers[0]].size)


def _first_layer(features: Sequence[jax.Array], weights: jax.Array, bias: jax.Array) -> list[jax.Array]:
    """The largest features elementwise; smaller ones by products of matrices, which XLA does not form again for every parameter."""
    ndim = max(f.ndim for f in features)
    *smaller, largest = _by_shape(features)
    parts = list(bias.reshape(-1, *[1] * ndim))
    for numbers in smaller:
        parts = [a + b for a, b in zip(parts, _product(features, weights, numbers), strict=True)]
    return _dense([features[n] for n in largest], _numbers(weights[np.asarray(largest)], ndim), parts)


def _product(features: Sequence[jax.Array], weights: jax.Array, numbers: list[int]) -> jax.Array:
    """The part of the first layer, shape (hidden, *S), that these features of shape S have."""
    return jnp.tensordot(weights[np.asarray(numbers)], jnp.stack([features[n] for n in numbers]), ((0,), (0,)))


def _first_layer_stacked(features: Sequence[jax.Array], weights: jax.Array, bias: jax.Array) -> jax.Array:
    """Shape (hidden, *S)."""
    total = bias.reshape(-1, *[1] * features[0].ndim)
    for numbers in _by_shape(features):
        total = total + _product(features, weights, numbers)
    return total
