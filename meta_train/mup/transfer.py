"""Does a learning rate, or a decay, found at one width serve at another? Losses over a grid of one number, at each width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from meta_train.mup import network
from meta_train.mup.subjects import Subject
from search_space.mup import apply_init, multipliers
from tasks import data

TAIL = 0.2
"""Share of the steps, at the end, over which the loss is averaged."""


class Trained(NamedTuple):
    """For each value f64[V]: training loss at the end, validation loss (nats), largest singular value of the hidden matrix.

    NaN where a loss is not finite.
    """

    train: np.ndarray
    valid: np.ndarray
    sigma: np.ndarray


def train_over(
    subject: Callable[[jax.Array], Subject],
    values: Sequence[float] | np.ndarray,
    width: int,
    parametrisation: str = "mup",
    *,
    base: int,
    steps: int = 100,
    seed: int = 0,
    decay_rule: str = "linear",
) -> Trained:
    """Train the network of the coordinate check with `subject(value)` for each value."""
    info = network.metadata(width, base)
    factors = jax.tree.map(jnp.float32, multipliers(info, parametrisation, decay_rule))
    loss, held_out = network.losses().loss, data.digits().valid

    def one(value: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        training = subject(value)(factors)
        params = apply_init(network.init(jax.random.key(seed), width), info, factors)

        def step(carry: Any, batch: Any) -> Any:
            params, state, now = training.step(*carry, *batch)
            return (params, state), now

        batches = network.images(jax.random.key(1000 + seed), steps)
        (params, _), losses = jax.lax.scan(step, (params, training.init(params)), batches)
        valid = loss(params, jnp.asarray(held_out.x), jnp.asarray(held_out.y))
        return jnp.mean(losses[-max(1, int(TAIL * steps)) :]), valid, largest_singular(params["hidden"]["w"])

    found = jax.jit(lambda v: jax.lax.map(one, v))(jnp.asarray(values, jnp.float32))
    return Trained(*(np.where(np.isfinite(x), x, np.nan) for x in map(np.float64, found)))


def largest_singular(matrix: jax.Array, rounds: int = 30) -> jax.Array:
    """By power iteration, from below: f32[]."""
    start = jnp.ones(matrix.shape[1]) / matrix.shape[1] ** 0.5

    def round_(_: Any, x: jax.Array) -> jax.Array:
        y = matrix.T @ (matrix @ x)
        return y / (jnp.linalg.norm(y) + 1e-30)

    return jnp.linalg.norm(matrix @ jax.lax.fori_loop(0, rounds, round_, start))
