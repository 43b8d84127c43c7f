"""Networks that classify images: a convolutional network and a vision transformer on handwritten digits, others on larger sets.

The larger sets are not installed with Python: see `external`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import jax

from tasks import data, images, mlp, variation
from tasks.contracts import PyTree, Task, TensorMeta
from tasks.nets import convnet, transformer
from tasks.nets.blocks import affine, dense, dense_meta, keys
from tasks.streams import normal

BASE_WIDTH = 16
PATCH, SIDE = 2, 8


@dataclass(frozen=True)
class DigitsConvnet:
    """8x8 image - `depth` 3x3 convolutions to C, 2 C, 4 C channels, halved between them - mean over the image - 10 classes."""

    width: int = BASE_WIDTH
    depth: int = 2
    batch: int = 64
    vary: float = 0.0  # see `variation.sample`
    name: str = "digits_convnet"

    def sample(self, key: jax.Array) -> variation.Config:
        return variation.sample(key, 64, self.vary)

    def task(self, config: variation.Config) -> Task:
        return _convnet_task(self.name, data.digits(), (SIDE, 1), config, self.depth, self.width, self.batch)


def _convnet_task(
    name: str, parts: data.Dataset, shape: tuple[int, int], config: variation.Config, depth: int, width: int, batch: int
) -> Task:
    """A convolutional network on images of `shape` (side, channels)."""
    side, channels = shape

    def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
        del key
        return variation.cross_entropy(convnet.apply(params, batch["x"].reshape(-1, side, side, channels)), batch["y"])

    return Task(
        name=name,
        init=lambda key: convnet.init(key, depth, channels, width, parts.classes, config["init_scale"]),
        batch=lambda key, split: variation.minibatch(parts, config, key, split, batch),
        loss=loss,
        metadata=convnet.metadata(depth, channels, width, parts.classes, width / BASE_WIDTH),
        metric="cross-entropy, nats",
    )


@dataclass(frozen=True)
class ImageClassifier:
    """A multilayer perceptron or a convolutional network on Fashion-MNIST or CIFAR-10, averaged over `pool` x `pool` pixels.

    Trains on the first `examples` images; 1,000 others validate, 2,000 of the published test part are for testing.
    """

    net: Literal["mlp", "convnet"] = "mlp"
    source: str = "fashion_mnist"
    width: int = BASE_WIDTH
    depth: int = 2
    batch: int = 64
    pool: int = 1
    examples: int = 10_000
    vary: float = 0.0  # see `variation.sample`; each channel has its scale

    @property
    def name(self) -> str:
        return f"{self.source.partition('_')[0].removesuffix('10')}_{self.net}"

    @property
    def _shape(self) -> tuple[int, int]:
        side, channels = images.SHAPES[self.source]
        return side // self.pool, channels

    def sample(self, key: jax.Array) -> variation.Config:
        side, channels = self._shape
        return variation.sample(key, side * side * channels, self.vary)

    def task(self, config: variation.Config) -> Task:
        parts, (side, channels) = images.dataset(self.source, self.examples, self.pool), self._shape
        if self.net == "convnet":
            return _convnet_task(self.name, parts, (side, channels), config, self.depth, self.width, self.batch)
        sizes = (side * side * channels, *[self.width] * self.depth, parts.classes)

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            return variation.cross_entropy(mlp.apply(params, batch["x"], jax.nn.relu), batch["y"])

        return Task(
            name=self.name,
            init=lambda key: mlp.init(key, sizes, config["init_scale"]),
            batch=lambda key, split: variation.minibatch(parts, config, key, split, self.batch),
            loss=loss,
            metadata=mlp.metadata(sizes, self.width, BASE_WIDTH),
            metric="cross-entropy, nats",
        )


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
        parts, width, mult = data.digits(), self.width, self.width / BASE_WIDTH

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
            x = transformer.apply(params["body"], x, heads=transformer.head_count(width, 8), causal=False, rotary=False)
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
            batch=lambda key, split: variation.minibatch(parts, config, key, split, self.batch),
            loss=loss,
            metadata=meta,
            metric="cross-entropy, nats",
        )
