"""Small networks that classify handwritten digits: a convolutional network and a vision transformer."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from tasks import data, variation
from tasks.contracts import PyTree, Task, TensorMeta
from tasks.nets import transformer
from tasks.nets.blocks import affine, dense, dense_meta, keys
from tasks.streams import normal

BASE_WIDTH = 16
PATCH, SIDE = 2, 8


@dataclass(frozen=True)
class DigitsConvnet:
    """8x8 image - 3x3 convolution to C - mean pool 2x2 - 3x3 convolution to 2 C - mean over the image - 10 classes."""

    width: int = BASE_WIDTH
    batch: int = 64
    vary: float = 0.0  # see `variation.sample`
    name: str = "digits_convnet"

    def sample(self, key: jax.Array) -> variation.Config:
        return variation.sample(key, 64, self.vary)

    def task(self, config: variation.Config) -> Task:
        images, width, mult = data.digits(), self.width, self.width / BASE_WIDTH

        def init(key: jax.Array) -> PyTree:
            k = keys(key, ("first", "second", "head"))
            gain = config["init_scale"] * 2**0.5
            return {
                "first": {"w": normal(k["first"], (3, 3, 1, width)) * (gain / 3.0), "b": jnp.zeros(width)},
                "second": {"w": normal(k["second"], (3, 3, width, 2 * width)) * (gain / (9 * width) ** 0.5), "b": jnp.zeros(2 * width)},
                "head": dense(k["head"], 2 * width, 10, config["init_scale"]),
            }

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            x = batch["x"].reshape(-1, SIDE, SIDE, 1)
            x = jax.nn.relu(_convolve(params["first"], x))
            x = x.reshape(-1, 4, 2, 4, 2, width).mean(axis=(2, 4))
            x = jax.nn.relu(_convolve(params["second"], x)).mean(axis=(1, 2))
            return variation.cross_entropy(affine(params["head"], x), batch["y"])

        meta = {
            "first": {"w": TensorMeta("input", 9, width, mult), "b": TensorMeta("vector", 1, width, mult)},
            "second": {"w": TensorMeta("hidden", 9 * width, 2 * width, mult), "b": TensorMeta("vector", 1, 2 * width, mult)},
            "head": dense_meta("output", 2 * width, 10, mult),
        }
        return Task(
            name=self.name,
            init=init,
            batch=lambda key, split: variation.minibatch(images, config, key, split, self.batch),
            loss=loss,
            metadata=meta,
            metric="cross-entropy, nats",
        )


def _convolve(params: PyTree, x: jax.Array) -> jax.Array:
    """3x3 convolution with zero padding, as one matrix product: batched weights make a grouped convolution, which is slow on CPUs."""
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = jnp.concatenate([padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=-1)
    return windows @ params["w"].reshape(-1, params["w"].shape[-1]) + params["b"]


@dataclass(frozen=True)
class DigitsTransformer:
    """8x8 image as 16 patches of 2x2 - embedding with learned positions - `depth` blocks - mean - 10 classes."""

    width: int = BASE_WIDTH
    depth: int = 2
    batch: int = 64
    vary: float = 0.0  # see `variation.sample`
    name: str = "digits_vit"

    def sample(self, key: jax.Array) -> variation.Config:
        return variation.sample(key, 64, self.vary)

    def task(self, config: variation.Config) -> Task:
        images, width, mult = data.digits(), self.width, self.width / BASE_WIDTH

        def init(key: jax.Array) -> PyTree:
            k = keys(key, ("patch", "place", "body", "head"))
            return {
                "patch": dense(k["patch"], PATCH * PATCH, width, config["init_scale"]),
                "place": normal(k["place"], (16, width)) * 0.1,
                "body": transformer.init(k["body"], self.depth, width, config["init_scale"]),
                "head": dense(k["head"], width, 10, config["init_scale"]),
            }

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            x = batch["x"].reshape(-1, 4, PATCH, 4, PATCH).transpose(0, 1, 3, 2, 4).reshape(-1, 16, PATCH * PATCH)
            x = affine(params["patch"], x) + params["place"]
            x = transformer.apply(params["body"], x, heads=max(1, width // 8), causal=False, rotary=False)
            return variation.cross_entropy(affine(params["head"], x.mean(axis=1)), batch["y"])

        meta = {
            "patch": dense_meta("input", PATCH * PATCH, width, mult),
            "place": TensorMeta("input", 16, width, mult),
            "body": transformer.metadata(self.depth, width, mult),
            "head": dense_meta("output", width, 10, mult),
        }
        return Task(
            name=self.name,
            init=init,
            batch=lambda key, split: variation.minibatch(images, config, key, split, self.batch),
            loss=loss,
            metadata=meta,
            metric="cross-entropy, nats",
        )
