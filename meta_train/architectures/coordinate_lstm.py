"""A free LSTM for each coordinate (Andrychowicz et al., arXiv 1606.04474), all of them with the same weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from meta_train.assembly import Architecture, Core, Moment, PerTensor
from meta_train.contracts import PyTree
from meta_train.lstm import LSTMState, init_linear, init_lstm, linear, lstm_start, lstm_step

CUT = 10.0  # gradients below e⁻¹⁰ are seen linearly


@dataclass(frozen=True)
class CoordinateLSTM(Architecture):
    """`layers` LSTM layers of `hidden` units and a linear readout; the paper's are 2 and 20."""

    base: ClassVar[str] = "coordinate_lstm"
    rate: ClassVar[float] = 0.1
    hidden: int = 20
    layers: int = 2

    def init(self, key: jax.Array) -> PyTree:
        """Random weights."""
        cell, readout = jax.random.split(key)
        return {"lstm": init_lstm(cell, 2, self.hidden, self.layers), "readout": init_linear(readout, self.hidden, 1)}

    def core(self) -> Core:
        return PerTensor(lambda p: lstm_start(p.shape, self.hidden, self.layers), _step)


def _step(theta: PyTree, g: jax.Array, p: jax.Array, state: LSTMState, moment: Moment) -> tuple[jax.Array, LSTMState]:
    del p, moment
    output, state = lstm_step(theta["lstm"], jnp.stack(log_and_sign(g), -1), state)
    return linear(theta["readout"], output)[..., 0], state


def log_and_sign(g: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(log|g| / 10, sign g) where |g| ≥ e⁻¹⁰, and (−1, e¹⁰ g) below (appendix A of the paper)."""
    size = jnp.abs(g)
    large = size >= math.exp(-CUT)
    log = jnp.log(jnp.where(large, size, 1.0)) / CUT
    return jnp.where(large, log, -1.0), jnp.where(large, jnp.sign(g), math.exp(CUT) * g)
