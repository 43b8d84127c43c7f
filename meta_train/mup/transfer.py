"""Does a learning rate found at one width serve at another? Training losses over a grid of one number, at each width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from meta_train.mup import network
from meta_train.mup.subjects import Subject
from search_space.mup import apply_init, multipliers

TAIL = 0.2
"""Share of the steps, at the end, over which the loss is averaged."""


def losses_over(
    subject: Callable[[jax.Array], Subject],
    values: Sequence[float] | np.ndarray,
    width: int,
    parametrisation: str = "mup",
    *,
    base: int,
    steps: int = 100,
    seed: int = 0,
    decay_rule: str = "sqrt",
) -> np.ndarray:
    """Mean training loss (nats) at the end, for each value: f64[len(values)]; NaN where it is not finite."""
    info = network.metadata(width, base)
    factors = jax.tree.map(jnp.float32, multipliers(info, parametrisation, decay_rule))

    def one(value: jax.Array) -> jax.Array:
        training = subject(value)(factors)
        params = apply_init(network.init(jax.random.key(seed), width), info, factors)

        def step(carry: Any, batch: Any) -> Any:
            params, state, loss = training.step(*carry, *batch)
            return (params, state), loss

        batches = network.images(jax.random.key(1000 + seed), steps)
        losses = jax.lax.scan(step, (params, training.init(params)), batches)[1]
        return jnp.mean(losses[-max(1, int(TAIL * steps)) :])

    found = np.asarray(jax.jit(lambda v: jax.lax.map(one, v))(jnp.asarray(values, jnp.float32)), np.float64)
    return np.where(np.isfinite(found), found, np.nan)
