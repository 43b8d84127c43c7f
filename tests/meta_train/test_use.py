"""Shipped weights: read, used in one line, and better than their own start."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

from meta_train import pretrained, weights
from meta_train.errors import LearnedOptimizerError
from meta_train.use import optimizer
from tasks.batch import TaskBatch
from tasks.contracts import Schedule, from_optax
from tasks.registry import load
from tasks.rollout import rollout

PARAMS = {"w": jnp.ones((4, 3)), "b": jnp.zeros(3)}


def final(architecture: Any, thetas: list[Any]) -> list[float]:
    """Mean validation loss, for each theta, on a family that the weights were neither trained on nor chosen by; compiled once."""
    batch = TaskBatch.create(load("digits_autoencoder?width=16"), jax.random.key(1), learning_rates=(architecture.rate,), seeds=2)

    @jax.jit
    def train(theta: Any) -> jax.Array:
        rule = from_optax(lambda rate: architecture.transform(theta, learning_rate=rate))
        return rollout(batch, rule, steps=60, schedule=Schedule("constant", 0.0), evals=1).final["valid"].mean()

    return [float(train(theta)) for theta in thetas]


@pytest.mark.parametrize("name", pretrained.names())
def test_shipped_weights_are_small_and_say_where_they_come_from(name: str) -> None:
    folder = pretrained.folder(name)
    card = weights.read_card(folder)
    assert {"optimizer", "config", "score"} <= set(card)
    assert sum(file.stat().st_size for file in folder.iterdir()) < 20_000


def test_there_are_shipped_weights() -> None:
    assert pretrained.names()


def test_shipped_weights_train_an_unseen_family_better_than_fresh_ones() -> None:
    architecture, theta = weights.load(pretrained.folder(pretrained.names()[0]))
    trained, fresh = final(architecture, [theta, architecture.init(jax.random.key(0))])
    assert trained < fresh


def test_one_line_with_decay_mask_and_schedule() -> None:
    name = pretrained.names()[0]
    tx = optax.chain(
        optax.clip_by_global_norm(1.0),
        optimizer(name, optax.cosine_decay_schedule(0.01, 10), weight_decay=0.1, mask={"w": True, "b": False}),
    )
    state = tx.init(PARAMS)
    updates, state = jax.jit(tx.update)(jax.tree.map(jnp.ones_like, PARAMS), state, PARAMS)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(updates))


def test_what_is_no_weights_is_told_in_one_line(tmp_path: object) -> None:
    with pytest.raises(LearnedOptimizerError, match="neither shipped weights nor a folder"):
        optimizer("no_such_weights")
    with pytest.raises(LearnedOptimizerError, match="shipped: .*scale_free"):
        optimizer(str(tmp_path))
