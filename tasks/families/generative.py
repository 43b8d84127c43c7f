"""Denoising: masked autoencoders of photograph patches, and rectified flows in the plane and on digits."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from tasks import data, mlp, photographs, variation
from tasks.contracts import PyTree, Split, Task
from tasks.streams import derive, draw, normal, uniform

BASE_WIDTH = 64


@dataclass(frozen=True)
class PatchDenoising:
    """Fill in the masked half of 8x8 photograph patches: 128 inputs (visible pixels, mask) - width - width - 64; mean squared error."""

    width: int = BASE_WIDTH
    batch: int = 64
    masked: float = 0.5
    vary: float = 0.0  # 1: log-normal scale of the initial weights, deviation 0.5
    name: str = "patch_denoising"

    def sample(self, key: jax.Array) -> PyTree:
        return variation.init_scale(derive(key, 0), self.vary)

    def task(self, config: PyTree) -> Task:
        sizes = (128, self.width, self.width, 64)

        def batch(key: jax.Array, split: Split) -> PyTree:
            patches = jnp.asarray(photographs.patches()[split])
            key = variation.split_key(key, split)
            rows = draw(derive(key, 0), self.batch, patches.shape[0]) if split == "train" else jnp.arange(min(512, patches.shape[0]))
            return {"x": patches[rows], "hidden": (uniform(derive(key, 1), (rows.shape[0], 64)) < self.masked).astype(jnp.float32)}

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            seen = batch["x"] * (1.0 - batch["hidden"])
            output = mlp.apply(params, jnp.concatenate([seen, batch["hidden"]], axis=-1), jax.nn.relu)
            return jnp.sum(batch["hidden"] * (output - batch["x"]) ** 2) / jnp.maximum(jnp.sum(batch["hidden"]), 1.0)

        return Task(
            name=self.name,
            init=lambda key: mlp.init(key, sizes, config["init_scale"]),
            batch=batch,
            loss=loss,
            metadata=mlp.metadata(sizes, self.width, BASE_WIDTH),
            metric="mean squared error of hidden pixels, variances of a photograph",
        )


@dataclass(frozen=True)
class RectifiedFlow:
    """A network of (point, time) that predicts data − noise on the line between them (Liu et al., arXiv:2209.03003).

    `digits` 0: two spirals in the plane; 1: handwritten digits. Noise and times come from the loss's key; held-out ones are fixed.
    """

    digits: int = 0
    width: int = BASE_WIDTH
    depth: int = 2
    batch: int = 128
    vary: float = 0.0  # 1: log-normal scale of the initial weights, deviation 0.5

    @property
    def name(self) -> str:
        return "flow_digits" if self.digits else "flow_2d"

    def sample(self, key: jax.Array) -> PyTree:
        return variation.init_scale(derive(key, 0), self.vary)

    def task(self, config: PyTree) -> Task:
        parts = _digit_parts() if self.digits else _spirals()
        size = parts["train"].shape[1]
        sizes = (size + 3, *[self.width] * self.depth, size)

        def batch(key: jax.Array, split: Split) -> PyTree:
            points = jnp.asarray(parts[split])
            key = variation.split_key(key, split)
            rows = draw(derive(key, 0), self.batch, points.shape[0]) if split == "train" else jnp.arange(points.shape[0])
            return {
                "x": points[rows],
                "noise": normal(derive(key, 1), (rows.shape[0], size)),
                "time": uniform(derive(key, 2), (rows.shape[0], 1)),
            }

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            t = batch["time"]
            along = t * batch["x"] + (1.0 - t) * batch["noise"]
            inputs = jnp.concatenate([along, t, jnp.sin(2 * jnp.pi * t), jnp.cos(2 * jnp.pi * t)], axis=-1)
            return jnp.mean((mlp.apply(params, inputs, jax.nn.relu) - (batch["x"] - batch["noise"])) ** 2)

        return Task(
            name=self.name,
            init=lambda key: mlp.init(key, sizes, config["init_scale"]),
            batch=batch,
            loss=loss,
            metadata=mlp.metadata(sizes, self.width, BASE_WIDTH),
            metric="mean squared error of the velocity",
        )


def _spirals() -> dict[str, np.ndarray]:
    """Two noisy spirals of deviation about 1: f32[N, 2]."""
    random = np.random.default_rng(4)

    def points(count: int) -> np.ndarray:
        angle = 3.0 * np.pi * np.sqrt(random.random(count))
        arm = np.where(random.random(count) < 0.5, 1.0, -1.0)
        curve = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * (arm * angle / 6.0)[:, None]
        return (curve + 0.05 * random.normal(size=(count, 2))).astype(np.float32)

    return {"train": points(4096), "valid": points(1024), "test": points(1024)}


def _digit_parts() -> dict[str, np.ndarray]:
    images = data.digits()
    return {name: images.part(name).x for name in ("train", "valid", "test")}
