"""Convolutional networks: 3x3 convolutions whose channels double, with mean pooling between them and over the image at the end.

Letters: N images, S side in pixels, C channels.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tasks.contracts import PyTree, TensorMeta
from tasks.nets.blocks import affine, dense, dense_meta
from tasks.streams import derive, normal

MAX_DEPTH = 3
"""An 8x8 image can be halved twice between convolutions."""


def _channels(depth: int, inputs: int, width: int) -> list[int]:
    return [inputs, *[width * 2**i for i in range(depth)]]


def init(key: jax.Array, depth: int, inputs: int, width: int, classes: int, gain: jax.Array | float = 1.0) -> PyTree:
    """`depth` kernels [3, 3, in, out] of variance 2 gain² / (9 in) (He et al., arXiv:1502.01852), zero biases, and a linear readout."""
    sizes = _channels(depth, inputs, width)
    params = {}
    for i in range(depth):
        scale = gain * (2.0 / (9 * sizes[i])) ** 0.5
        params[f"conv_{i}"] = {"w": normal(derive(key, i), (3, 3, sizes[i], sizes[i + 1])) * scale, "b": jnp.zeros(sizes[i + 1])}
    return {**params, "head": dense(derive(key, depth), sizes[-1], classes, gain)}


def metadata(depth: int, inputs: int, width: int, classes: int, mult: float) -> PyTree:
    """Metadata of `init`."""
    sizes = _channels(depth, inputs, width)
    meta = {}
    for i in range(depth):
        role = "input" if i == 0 else "hidden"
        meta[f"conv_{i}"] = {"w": TensorMeta(role, 9 * sizes[i], sizes[i + 1], mult), "b": TensorMeta("vector", 1, sizes[i + 1], mult)}
    return {**meta, "head": dense_meta("output", sizes[-1], classes, mult)}


def apply(params: PyTree, x: jax.Array) -> jax.Array:
    """Images f32[N, S, S, C] to logits f32[N, classes]."""
    depth = len(params) - 1
    for i in range(depth):
        x = jax.nn.relu(_convolve(params[f"conv_{i}"], x if i == 0 else pool(x)))
    return affine(params["head"], x.mean(axis=(1, 2)))


def pool(x: jax.Array) -> jax.Array:
    """Means over 2x2 pixels of f32[N, S, S, C]; an odd last row or column is left out."""
    height, width = (n // 2 for n in x.shape[1:3])
    cut = x[:, : 2 * height, : 2 * width]
    return cut.reshape(-1, height, 2, width, 2, x.shape[3]).mean(axis=(2, 4))


def _convolve(params: PyTree, x: jax.Array) -> jax.Array:
    """3x3 convolution with zero padding, as one matrix product: batched weights make a grouped convolution, which is slow on CPUs."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = jnp.concatenate([padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=-1)
    return windows @ params["w"].reshape(-1, params["w"].shape[-1]) + params["b"]
