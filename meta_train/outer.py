"""The optimizer of theta: clipping, AdamW and a learning rate that warms up and decays, and steps that are skipped when not finite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from meta_train.config import MetaConfig
from meta_train.problem import PyTree


class OuterState(NamedTuple):
    """theta, the state of its optimizer, and how many steps were skipped, i32[]."""

    theta: PyTree
    optimizer: PyTree
    skipped: jax.Array


def transformation(config: MetaConfig) -> optax.GradientTransformation:
    """Global-norm clipping, then AdamW; the rate rises for `warmup` steps and falls to `final_rate` of its peak as half a cosine."""
    decay = max(config.warmup + 1, config.outer_steps)
    schedule = optax.warmup_cosine_decay_schedule(0.0, config.rate, config.warmup, decay, config.final_rate * config.rate)
    return optax.chain(
        optax.clip_by_global_norm(config.clip),
        optax.adamw(lambda count: schedule(count + 1), b1=0.9, b2=0.99, weight_decay=config.decay),
    )


def initial(config: MetaConfig, theta: PyTree) -> OuterState:
    """Before the first step."""
    return OuterState(theta, transformation(config).init(theta), jnp.int32(0))


def make_update(config: MetaConfig) -> Callable[[OuterState, Sequence[PyTree]], tuple[OuterState, jax.Array]]:
    """The compiled update(state, gradients of the families) -> (state, norm of the mean gradient).

    Each family's gradient is clipped first, so that none drowns the others.
    """
    optimizer, clip = transformation(config), optax.clip_by_global_norm(config.clip)

    def update(state: OuterState, gradients: Sequence[PyTree]) -> tuple[OuterState, jax.Array]:
        clipped = [clip.update(gradient, optax.EmptyState())[0] for gradient in gradients]
        mean = jax.tree.map(lambda *parts: sum(parts) / len(parts), *clipped)
        norm = optax.tree.norm(mean)
        updates, after = optimizer.update(mean, state.optimizer, state.theta)
        theta = optax.apply_updates(state.theta, updates)
        sound = jnp.isfinite(norm) & jnp.isfinite(optax.tree.norm(theta))
        kept = jax.tree.map(lambda new, old: jnp.where(sound, new, old), (theta, after), (state.theta, state.optimizer))
        return OuterState(kept[0], kept[1], state.skipped + (~sound).astype(jnp.int32)), norm

    return jax.jit(update)
