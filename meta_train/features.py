"""Running statistics of gradients that learned optimizers look at: momenta, second moments, and their means over rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MOMENTUM_DECAYS = (0.9, 0.99, 0.999)
SECOND_DECAYS = (0.999,)
FACTORED_DECAYS = (0.9, 0.99, 0.999)
LARGE = 16384
"""Tensors of this size or more are worth a second pass instead of arrays in between."""


class Factors(NamedTuple):
    """The two axes of a tensor that its row and column statistics run over: `rows` is averaged away in columns and the reverse."""

    rows: int
    cols: int


def factored(shape: Sequence[int]) -> Factors | None:
    """The two largest axes (the later one of equals is larger); the largest is `cols`. None for vectors and scalars."""
    if len(shape) < 2:
        return None
    order = np.argsort(shape, stable=True)
    return Factors(int(order[-2]), int(order[-1]))


def row_shape(shape: Sequence[int], axes: Factors | None) -> tuple[int, ...]:
    """Shape of a statistic for each row (the axis `cols` has length 1), or of the tensor where there are no rows."""
    return tuple(shape) if axes is None else (*shape[: axes.cols], 1, *shape[axes.cols + 1 :])


def col_shape(shape: Sequence[int], axes: Factors | None) -> tuple[int, ...]:
    """Shape of a statistic for each column (the axis `rows` has length 1), or of the tensor where there are no columns."""
    return tuple(shape) if axes is None else (*shape[: axes.rows], 1, *shape[axes.rows + 1 :])


def mean_over(x: jax.Array, axis: int | None) -> jax.Array:
    """Mean over an axis that keeps length 1; `x` itself where the axis is None."""
    return x if axis is None else jnp.mean(x, axis=axis, keepdims=True)


def mean_product(x: jax.Array, y: jax.Array) -> jax.Array:
    """Mean of x · y, two tensors of equal shape: f32[]."""
    return jnp.vdot(x, y) / x.size if x.size >= LARGE else jnp.mean(x * y)


class Accumulators(NamedTuple):
    """Three momenta and a second moment in the parameter's shape; second moments by row and column, three decays each."""

    momenta: tuple[jax.Array, ...]
    second: jax.Array
    rows: tuple[jax.Array, ...]
    cols: tuple[jax.Array, ...]


class Epsilons(NamedTuple):
    """What the published optimizers add under their roots: second moment, rows and columns, the momentum features of vectors."""

    second: float = 1e-6
    factors: float = 1e-8
    vector: float = 1e-6


def start(p: jax.Array) -> Accumulators:
    """All zeros."""
    axes = factored(p.shape)

    def three(shape: tuple[int, ...]) -> tuple[jax.Array, ...]:
        return tuple(jnp.zeros(shape, jnp.float32) for _ in range(3))

    return Accumulators(three(p.shape), jnp.zeros(p.shape, jnp.float32), three(row_shape(p.shape, axes)), three(col_shape(p.shape, axes)))


def accumulate(g: jax.Array, state: Accumulators, momentum: jax.Array, second: jax.Array, by_factor: jax.Array) -> Accumulators:
    """The averages after one more gradient, with decays f32[3], f32[1], f32[3]; those of second moments are kept within [0, 1]."""
    axes, square = factored(g.shape), g * g
    kept, by_factor = jnp.clip(second, 0.0, 1.0)[0], jnp.clip(by_factor, 0.0, 1.0)
    by_row = mean_over(square, axes.cols if axes else None) + 1e-30
    by_col = mean_over(square, axes.rows if axes else None) + 1e-30
    return Accumulators(
        tuple(b * m + (1.0 - b) * g for b, m in zip(momentum, state.momenta, strict=True)),
        kept * state.second + (1.0 - kept) * square,
        tuple(b * v + (1.0 - b) * by_row for b, v in zip(by_factor, state.rows, strict=True)),
        tuple(b * v + (1.0 - b) * by_col for b, v in zip(by_factor, state.cols, strict=True)),
    )


def published_features(g: jax.Array, p: jax.Array, state: Accumulators, eps: Epsilons = Epsilons()) -> dict[str, list[jax.Array]]:
    """The features of small_fc, VeLO and Celo2 by name, not normalised; those of rows and columns at their own size.

    g, p, momenta, second moment, momenta and gradient over its root, its inverse root, gradient and momenta over the root of
    the second moment's rank-1 form (Adafactor, arXiv 1804.04235), row and column means and their inverse roots.
    """
    axes, momenta, v = factored(g.shape), state.momenta, state.second
    inverse = jax.lax.rsqrt(v + eps.second)
    if axes is None:
        for_g = [_safe_rsqrt(x + 1e-9) for x in state.rows]
        for_m = [jax.lax.rsqrt(x + eps.vector) for x in state.rows]
    else:
        for_g = for_m = [row * col for row, col in _rank_one(state, axes)]
    return {
        "g": [g],
        "clipped_g": [jnp.clip(g, -0.1, 0.1)],
        "p": [p],
        "m": list(momenta),
        "v": [v],
        "m_over_root": [m * inverse for m in momenta],
        "inverse_root": [inverse],
        "g_over_root": [g * inverse],
        "factored_g": [g * f for f in for_g],
        "factored_m": [m * f for m, f in zip(momenta, for_m, strict=True)],
        "rows": list(state.rows),
        "cols": list(state.cols),
        "inverse_rows": [jax.lax.rsqrt(x + eps.factors) for x in state.rows],
        "inverse_cols": [jax.lax.rsqrt(x + eps.factors) for x in state.cols],
    }


def published_mean_squares(g: jax.Array, p: jax.Array, state: Accumulators, eps: Epsilons = Epsilons()) -> dict[str, list[jax.Array]]:
    """Mean squares of `published_features`: those of large matrices without forming the features, which would be ten arrays.

    Σ (x · row · col)² is a product of a matrix and two vectors, and sums of products of two arrays need one pass.
    """
    axes = factored(g.shape)
    small = {name: [jnp.mean(x * x) for x in features] for name, features in published_features(g, p, state, eps).items()}
    if axes is None or g.size < LARGE:
        return small
    inverse, pairs = 1.0 / (state.second + eps.second), _rank_one(state, axes)
    return small | {
        "inverse_root": [jnp.mean(inverse)],
        "m_over_root": [jnp.mean(m * (m * inverse)) for m in state.momenta],
        "g_over_root": [jnp.mean(g * (g * inverse))],
        "factored_g": _means_between(g, pairs, axes),
        "factored_m": [_mean_between(row, m, col, axes) for m, (row, col) in zip(state.momenta, pairs, strict=True)],
    }


def _mean_between(row: jax.Array, x: jax.Array, col: jax.Array, axes: Factors) -> jax.Array:
    """Mean of (row · x · col)² over a tensor, within the reduction: m² is not stored."""
    first, second = (row, col) if axes.rows < axes.cols else (col, row)
    within = jnp.sum(x * (second * second) * x, axis=max(axes), keepdims=True)
    return jnp.sum(within * (first * first)) / x.size


def _means_between(x: jax.Array, pairs: Sequence[tuple[jax.Array, jax.Array]], axes: Factors) -> list[jax.Array]:
    """Mean of (row · x · col)² over a tensor for each pair of factors, by one product of matrices."""

    def squared(y: jax.Array) -> jax.Array:
        return jnp.moveaxis(y * y, sorted(axes), (-2, -1))

    columns = [squared(row if axes.rows < axes.cols else col) for row, col in pairs]
    rows = [squared(col if axes.rows < axes.cols else row) for row, col in pairs]
    product = jnp.swapaxes(jnp.concatenate(columns, -1), -1, -2) @ squared(x) * jnp.concatenate(rows, -2)
    return list(jnp.sum(product, axis=(*range(x.ndim - 2), x.ndim - 1)) / x.size)


def _rank_one(state: Accumulators, axes: Factors) -> list[tuple[jax.Array, jax.Array]]:
    """Row and column factors whose product is the inverse root of the second moments' rank-1 form, for each decay."""
    pairs = []
    for row, col in zip(state.rows, state.cols, strict=True):
        mean = jnp.mean(row, axis=axes.rows, keepdims=True)  # one for each position on the other axes
        pairs.append((_safe_rsqrt(row / (mean + 1e-9)), _safe_rsqrt(col)))
    return pairs


def _safe_rsqrt(x: jax.Array) -> jax.Array:
    return jax.lax.rsqrt(jnp.maximum(x, 1e-9))


def one_minus(decays: Sequence[float]) -> np.ndarray:
    """log(1 − decay) as f32, the form in which decays are meta-learned."""
    return np.log(1.0 - np.asarray(decays)).astype(np.float32)


def normalised(
    g: jax.Array, p: jax.Array, state: Accumulators, order: Sequence[str], floor: float, eps: Epsilons = Epsilons()
) -> tuple[list[jax.Array], jax.Array]:
    """Features in this order and the inverse roots of `floor` + their mean squares, f32[n], to multiply them by."""
    by_name = published_mean_squares(g, p, state, eps)
    scales = jax.lax.rsqrt(floor + jnp.stack([x for name in order for x in by_name[name]]))
    if g.size >= LARGE:  # else XLA keeps the features that the means were taken of
        g, p, state, scales = jax.lax.optimization_barrier((g, p, state, scales))
    features = published_features(g, p, state, eps)
    return [x for name in order for x in features[name]], scales
