"""L2O with mathematical structure (Liu et al., arXiv 2305.18577): the network only sets a preconditioner and a momentum.

For a loss f + r with r = `l1` · Σ|x|:  y⁺ = prox_{r, ηP}(x − η P ⊙ ∇f(x)),  x⁺ = y⁺ + A ⊙ (y⁺ − y),
with P in (0, 4/3) and A in (0, 1) from a coordinate-wise LSTM that sees x and ∇f(x). The learning rate η is to be 1 / L, L the largest
curvature of f. This is the paper's final model L2O-PA with tighter bounds: for constant A the step is stable as long as
P < (2 + 2 A) / (1 + 2 A), which is at least 4/3, so that no output of the network makes it diverge by itself. With the paper's (0, 2)
a trained network diverged from far starts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from meta_train.assembly import Architecture, Core, Moment, PerTensor
from meta_train.contracts import PyTree
from meta_train.lstm import LSTMState, init_linear, init_lstm, linear, lstm_start, lstm_step

LARGEST = 4.0 / 3.0
START = math.log(3.0)  # with a head of 0, P is 1


class StructuredState(NamedTuple):
    """The last proximal point y (the first step has no momentum), and the LSTM's state."""

    y: jax.Array
    lstm: LSTMState


@dataclass(frozen=True)
class StructuredLSTM(Architecture):
    """`layers` LSTM layers of `hidden` units (2 and 20 in the paper), a hidden layer, and two heads for P and A.

    Gradients are those of f alone. The weight `l1` of the penalty is a keyword of `update`, 0 if left out.
    """

    base: ClassVar[str] = "structured"
    rate: ClassVar[float] = 0.1
    hidden: int = 20
    layers: int = 2

    def init(self, key: jax.Array) -> PyTree:
        """Heads of zeros: P = 1 and A = 1/2, which is a proximal gradient step with momentum."""
        cell, middle = jax.random.split(key)
        heads = {"w": jnp.zeros((self.hidden, 2)), "b": jnp.zeros(2)}
        return {
            "lstm": init_lstm(cell, 2, self.hidden, self.layers),
            "middle": init_linear(middle, self.hidden, self.hidden),
            "heads": heads,
        }

    def core(self) -> Core:
        return PerTensor(self._start, _step)

    def _start(self, p: jax.Array) -> StructuredState:
        return StructuredState(jnp.zeros(p.shape, jnp.float32), lstm_start(p.shape, self.hidden, self.layers))


def _step(theta: PyTree, g: jax.Array, p: jax.Array, state: StructuredState, moment: Moment) -> tuple[jax.Array, StructuredState]:
    output, lstm = lstm_step(theta["lstm"], jnp.stack([g, p], -1), state.lstm)
    heads = linear(theta["heads"], jax.nn.relu(linear(theta["middle"], output)))
    preconditioner, momentum = LARGEST * jax.nn.sigmoid(heads[..., 0] + START), jax.nn.sigmoid(heads[..., 1])
    step = moment.rate * preconditioner
    y = soft_threshold(p - step * g, step * moment.extra.get("l1", 0.0))
    before = jnp.where(moment.count == 0, y, state.y)
    moved = p - (y + momentum * (y - before))
    # the assembly multiplies by the learning rate, which P has within; at rate 0 only momentum would move the weights
    return jnp.where(moment.rate > 0, moved / jnp.where(moment.rate > 0, moment.rate, 1.0), 0.0), StructuredState(y, lstm)


def soft_threshold(x: jax.Array, threshold: jax.Array) -> jax.Array:
    """The proximal operator of threshold · |x|."""
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - threshold, 0.0)
