"""Tables that ship with scikit-learn: softmax regression on wine, an MLP on diabetes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from tasks import data, mlp, variation
from tasks.contracts import PyTree, Split, Task
from tasks.streams import derive, draw

BASE_WIDTH = 32


@dataclass(frozen=True)
class WineSoftmax:
    """13 measurements - 3 cultivars, linear; cross-entropy in nats."""

    batch: int = 32
    vary: float = 0.0  # see `variation.sample`
    name: str = "wine_softmax"

    def sample(self, key: jax.Array) -> variation.Config:
        return variation.sample(key, 13, self.vary)

    def task(self, config: variation.Config) -> Task:
        wine, sizes = data.wine(), (13, 3)

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            return variation.cross_entropy(mlp.apply(params, batch["x"], jax.nn.relu), batch["y"])

        return Task(
            name=self.name,
            init=lambda key: mlp.init(key, sizes, config["init_scale"]),
            batch=lambda key, split: variation.minibatch(wine, config, key, split, self.batch),
            loss=loss,
            metadata=mlp.metadata(sizes, 1, 1),
            metric="cross-entropy, nats",
        )


@dataclass(frozen=True)
class DiabetesMLP:
    """10 measurements - width - progression of the disease after a year; mean squared error in its variances."""

    width: int = BASE_WIDTH
    batch: int = 32
    vary: float = 0.0  # 1: log-normal scale of the initial weights, deviation 0.5
    name: str = "diabetes_mlp"

    def sample(self, key: jax.Array) -> PyTree:
        return variation.init_scale(derive(key, 0), self.vary)

    def task(self, config: PyTree) -> Task:
        sizes = (10, self.width, 1)

        def batch(key: jax.Array, split: Split) -> PyTree:
            x, y = (jnp.asarray(part) for part in _diabetes()[split])
            rows = draw(key, self.batch, x.shape[0]) if split == "train" else jnp.arange(x.shape[0])
            return {"x": x[rows], "y": y[rows]}

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            return jnp.mean((mlp.apply(params, batch["x"], jax.nn.relu)[:, 0] - batch["y"]) ** 2)

        return Task(
            name=self.name,
            init=lambda key: mlp.init(key, sizes, config["init_scale"]),
            batch=batch,
            loss=loss,
            metadata=mlp.metadata(sizes, self.width, BASE_WIDTH),
            metric="mean squared error, variances",
        )


@cache
def _diabetes() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Inputs f32[N, 10] and targets f32[N] of each split, standardised with the training part's statistics."""
    from sklearn.datasets import load_diabetes

    x, y = (np.asarray(part, np.float64) for part in load_diabetes(return_X_y=True))
    order = np.random.default_rng(0).permutation(len(y))
    rows = {"test": order[:90], "valid": order[90:180], "train": order[180:]}
    train = rows["train"]
    x, y = (x - x[train].mean(axis=0)) / x[train].std(axis=0), (y - y[train].mean()) / y[train].std()
    return {name: (x[r].astype(np.float32), y[r].astype(np.float32)) for name, r in rows.items()}
