"""The network on 39 features for each parameter of Metz et al. (arXiv 2203.11860), in the size of its authors and that of μLO.

Numerically it is their AdafacMLPLOpt at learning rate 1; computed here without the array of all features (see `network`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from meta_train.assembly import Architecture, Core, Moment, PerTensor
from meta_train.contracts import PyTree
from meta_train.features import col_shape, factored, mean_over, mean_squares, row_shape
from meta_train.network import apply_mlp, init_mlp

MOMENTUM_DECAYS = (0.9, 0.99, 0.999)
SECOND_DECAYS = (0.999,)
FACTORED_DECAYS = (0.9, 0.99, 0.999)
TIMES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000)
FEATURES = 28 + len(TIMES)
MAGNITUDE = 1e-3  # factor within the exponential


class SmallFCState(NamedTuple):
    """Three momenta and a second moment in the parameter's shape; second moments by row and column, three decays each."""

    momenta: tuple[jax.Array, ...]
    second: jax.Array
    rows: tuple[jax.Array, ...]
    cols: tuple[jax.Array, ...]


@dataclass(frozen=True)
class SmallFC(Architecture):
    """step = `step` · d · exp(m / 1000) with (d, m) from a 39-`hidden`-`hidden`-2 ReLU network. Decays are meta-parameters, too."""

    base: ClassVar[str] = "small_fc"
    hidden: int = 4
    step: float = 1e-3

    def init(self, key: jax.Array) -> PyTree:
        """Random network; offsets of log(1 − decay) / 10 at 0."""
        return {
            "momentum_decays": jnp.zeros(3),
            "second_decays": jnp.zeros(1),
            "factored_decays": jnp.zeros(3),
            "network": init_mlp(key, (FEATURES, self.hidden, self.hidden, 2)),
        }

    def core(self) -> Core:
        return PerTensor(_start, self._step)

    def _step(self, theta: PyTree, g: jax.Array, p: jax.Array, state: SmallFCState, moment: Moment) -> tuple[jax.Array, SmallFCState]:
        state = _accumulate(theta, g, state)
        features = _features(g, p, state)
        scales = jax.lax.rsqrt(1e-5 + mean_squares(features))
        time = jnp.tanh(moment.count.astype(jnp.float32) / jnp.asarray(TIMES, jnp.float32) - 1.0)
        times = [x.reshape((1,) * p.ndim) for x in time]
        direction, magnitude = apply_mlp(theta["network"], [*features, *times], jnp.concatenate([scales, jnp.ones(len(TIMES))]))
        return self.step * direction * jnp.exp(MAGNITUDE * magnitude), state


def _start(p: jax.Array) -> SmallFCState:
    axes = factored(p.shape)

    def three(shape: tuple[int, ...]) -> tuple[jax.Array, ...]:
        return tuple(jnp.zeros(shape, jnp.float32) for _ in range(3))

    return SmallFCState(three(p.shape), jnp.zeros(p.shape, jnp.float32), three(row_shape(p.shape, axes)), three(col_shape(p.shape, axes)))


def _decays(start: tuple[float, ...], offset: jax.Array) -> jax.Array:
    """1 − exp(log(1 − start) + 10 · offset)."""
    return 1.0 - jnp.exp(jnp.asarray(np.log(1.0 - np.asarray(start)), jnp.float32) + 10.0 * offset)


def _accumulate(theta: PyTree, g: jax.Array, state: SmallFCState) -> SmallFCState:
    """Decays of second moments are kept within [0, 1]; those of momenta are free."""
    axes, square = factored(g.shape), g * g
    momentum = _decays(MOMENTUM_DECAYS, theta["momentum_decays"])
    second = jnp.clip(_decays(SECOND_DECAYS, theta["second_decays"]), 0.0, 1.0)[0]
    decays = jnp.clip(_decays(FACTORED_DECAYS, theta["factored_decays"]), 0.0, 1.0)
    by_row = mean_over(square, axes.cols if axes else None) + 1e-30
    by_col = mean_over(square, axes.rows if axes else None) + 1e-30
    return SmallFCState(
        tuple(b * m + (1.0 - b) * g for b, m in zip(momentum, state.momenta, strict=True)),
        second * state.second + (1.0 - second) * square,
        tuple(b * v + (1.0 - b) * by_row for b, v in zip(decays, state.rows, strict=True)),
        tuple(b * v + (1.0 - b) * by_col for b, v in zip(decays, state.cols, strict=True)),
    )


def _features(g: jax.Array, p: jax.Array, state: SmallFCState) -> list[jax.Array]:
    """The 28 that are normalised, in the authors' order; those of rows and columns at their own size."""
    axes = factored(g.shape)
    momenta, v = state.momenta, state.second
    inverse = jax.lax.rsqrt(v + 1e-6)
    for_g, for_m = [], []
    for row, col in zip(state.rows, state.cols, strict=True):
        if axes is None:
            for_g.append(_safe_rsqrt(row + 1e-9))
            for_m.append(jax.lax.rsqrt(row + 1e-6))
        else:
            # the mean over all rows of a matrix, one for each of the other axes' positions
            mean = jnp.mean(row, axis=axes.rows, keepdims=True)
            for_g.append(_safe_rsqrt(row / (mean + 1e-9)) * _safe_rsqrt(col))
            for_m.append(for_g[-1])
    return [
        g,
        p,
        *momenta,
        v,
        *(m * inverse for m in momenta),
        inverse,
        *(g * f for f in for_g),
        *state.rows,
        *state.cols,
        *(jax.lax.rsqrt(x + 1e-8) for x in state.rows),
        *(jax.lax.rsqrt(x + 1e-8) for x in state.cols),
        *(m * f for m, f in zip(momenta, for_m, strict=True)),
    ]


def _safe_rsqrt(x: jax.Array) -> jax.Array:
    return jax.lax.rsqrt(jnp.maximum(x, 1e-9))
