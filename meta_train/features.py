"""Running statistics of gradients that learned optimizers look at: momenta, second moments, and their means over rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


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


def mean_squares(features: Sequence[jax.Array]) -> jax.Array:
    """Mean square of each of n features: f32[n]. What a feature would have after broadcasting is what it has at its own size."""
    return jnp.stack([jnp.mean(x * x) for x in features])
