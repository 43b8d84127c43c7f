"""Stacked LSTM cells as functions of explicit weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from meta_train.contracts import PyTree


class Cell(NamedTuple):
    """State of one LSTM layer: output and memory, f32[..., H] each."""

    output: jax.Array
    memory: jax.Array


LSTMState: TypeAlias = tuple[Cell, ...]


def init_linear(key: jax.Array, inputs: int, outputs: int) -> PyTree:
    """Weights "w" uniform within 1/√inputs, biases "b" 0."""
    bound = 1.0 / math.sqrt(inputs)
    return {"w": jax.random.uniform(key, (inputs, outputs), jnp.float32, -bound, bound), "b": jnp.zeros(outputs)}


def linear(theta: PyTree, x: jax.Array) -> jax.Array:
    """x f32[..., I] to f32[..., O]."""
    return x @ theta["w"] + theta["b"]


def init_lstm(key: jax.Array, inputs: int, hidden: int, layers: int) -> list[PyTree]:
    """One matrix for all four gates of each layer; the forget gates start open (bias 1)."""
    made = []
    for layer, own in enumerate(jax.random.split(key, layers)):
        theta = init_linear(own, (hidden if layer else inputs) + hidden, 4 * hidden)
        theta["b"] = theta["b"].at[hidden : 2 * hidden].set(1.0)
        made.append(theta)
    return made


def lstm_start(shape: Sequence[int], hidden: int, layers: int) -> LSTMState:
    """Zeros for a batch of this shape."""
    return tuple(Cell(jnp.zeros((*shape, hidden), jnp.float32), jnp.zeros((*shape, hidden), jnp.float32)) for _ in range(layers))


def lstm_step(theta: Sequence[PyTree], x: jax.Array, state: LSTMState) -> tuple[jax.Array, LSTMState]:
    """Last layer's output f32[..., H] for x f32[..., I], and the next state (Hochreiter and Schmidhuber 1997, with forget gates)."""
    cells = []
    for layer, cell in zip(theta, state, strict=True):
        write, keep, read, candidate = jnp.split(linear(layer, jnp.concatenate([x, cell.output], -1)), 4, -1)
        memory = jax.nn.sigmoid(keep) * cell.memory + jax.nn.sigmoid(write) * jnp.tanh(candidate)
        x = jax.nn.sigmoid(read) * jnp.tanh(memory)
        cells.append(Cell(x, memory))
    return x, tuple(cells)
