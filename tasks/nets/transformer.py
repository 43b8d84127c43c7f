"""Pre-norm transformer blocks (Xiong et al., arXiv:2002.04745), causal or not, with learned or rotary positions.

Letters: N sequences, L positions, D width, H heads.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from tasks.contracts import PyTree
from tasks.nets.blocks import affine, dense, dense_meta, keys, layer_norm, norm_init, norm_meta

_PARTS = ("qkv", "mix", "up", "down")


def init(key: jax.Array, depth: int, width: int, gain: jax.Array | float = 1.0) -> PyTree:
    """`depth` blocks of width D; hidden layers are 4 D wide. Residual branches are scaled down by √(2 depth)."""

    def block(key: jax.Array) -> PyTree:
        k, small = keys(key, _PARTS), gain / (2 * depth) ** 0.5
        return {
            "norm_1": norm_init(width),
            "qkv": dense(k["qkv"], width, 3 * width, gain),
            "mix": dense(k["mix"], width, width, small),
            "norm_2": norm_init(width),
            "up": dense(k["up"], width, 4 * width, gain),
            "down": dense(k["down"], 4 * width, width, small),
        }

    blocks = {f"block_{i}": block(k) for i, k in enumerate(keys(key, range(depth)).values())}
    return {**blocks, "norm": norm_init(width)}


def metadata(depth: int, width: int, mult: float) -> PyTree:
    """Metadata of `init`."""
    block = {
        "norm_1": norm_meta(width, mult),
        "qkv": dense_meta("hidden", width, 3 * width, mult),
        "mix": dense_meta("hidden", width, width, mult),
        "norm_2": norm_meta(width, mult),
        "up": dense_meta("hidden", width, 4 * width, mult),
        "down": dense_meta("hidden", 4 * width, width, mult),
    }
    return {**{f"block_{i}": block for i in range(depth)}, "norm": norm_meta(width, mult)}


def apply(params: PyTree, x: jax.Array, *, heads: int, causal: bool, rotary: bool) -> jax.Array:
    """x f32[N, L, D] → f32[N, L, D]."""
    for i in range(len(params) - 1):
        block = params[f"block_{i}"]
        x = x + affine(block["mix"], _attend(affine(block["qkv"], layer_norm(block["norm_1"], x)), heads, causal, rotary))
        x = x + affine(block["down"], jax.nn.gelu(affine(block["up"], layer_norm(block["norm_2"], x))))
    return layer_norm(params["norm"], x)


def head_count(width: int, size: int) -> int:
    """The largest number of heads that divides the width into parts of at least `size`, or 1."""
    return max(count for count in range(1, max(1, width // size) + 1) if width % count == 0)


def _attend(qkv: jax.Array, heads: int, causal: bool, rotary: bool) -> jax.Array:
    """Multi-head attention of f32[N, L, 3 D]."""
    batch, length, tripled = qkv.shape
    size = tripled // 3 // heads
    q, k, v = (part.reshape(batch, length, heads, size) for part in jnp.split(qkv, 3, axis=-1))
    if rotary:
        q, k = _rotate(q), _rotate(k)
    scores = jnp.einsum("nlhd,nmhd->nhlm", q, k) / size**0.5
    if causal:
        scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -1e9)
    mixed = jnp.einsum("nhlm,nmhd->nlhd", jax.nn.softmax(scores, axis=-1), v)
    return mixed.reshape(batch, length, heads * size)


def _rotate(x: jax.Array) -> jax.Array:
    """Rotary positions (Su et al., arXiv:2104.09864) on f32[N, L, H, d]; of an odd d the last stays."""
    length, half = x.shape[1], x.shape[3] // 2
    angle = jnp.arange(length)[:, None] * 10_000.0 ** (-jnp.arange(half) / half)[None, :]
    cos, sin = jnp.cos(angle)[None, :, None, :], jnp.sin(angle)[None, :, None, :]
    first, second = x[..., :half], x[..., half : 2 * half]
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos, x[..., 2 * half :]], axis=-1)
