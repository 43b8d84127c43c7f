"""Small problems whose behaviour is known: matrix sensing, XOR, deep linear networks, sparse regression."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from tasks import mlp, variation
from tasks.contracts import PyTree, Split, Task, TensorMeta
from tasks.streams import derive, normal, uniform

BASE_WIDTH = 32


@dataclass(frozen=True)
class MatrixSensing:
    """Recover U Vᵀ of rank 2 from random linear measurements with an overparametrised product; from a small start ranks come one by one."""

    size: int = 12
    width: int = 12
    batch: int = 32
    start: float = 0.1
    vary: float = 0.0  # 1: log-normal scale of the start, deviation 0.5
    name: str = "matrix_sensing"

    def sample(self, key: jax.Array) -> PyTree:
        left, right = normal(derive(key, 0), (self.size, 2)), normal(derive(key, 1), (self.size, 2))
        return {
            "target": left * jnp.asarray([1.0, 0.4]) @ right.T / self.size**0.5,
            "start": self.start * jnp.exp(0.5 * self.vary * normal(derive(key, 2))),
        }

    def task(self, config: PyTree) -> Task:
        def init(key: jax.Array) -> PyTree:
            shape = (self.size, self.width)
            scale = config["start"] / self.width**0.5
            return {"left": scale * normal(derive(key, 0), shape), "right": scale * normal(derive(key, 1), shape[::-1])}

        def batch(key: jax.Array, split: Split) -> PyTree:
            probes = normal(variation.split_key(key, split), (self.batch if split == "train" else 256, self.size, self.size))
            return {"probe": probes, "y": jnp.sum(probes * config["target"], axis=(1, 2))}

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            return jnp.mean((jnp.sum(batch["probe"] * (params["left"] @ params["right"]), axis=(1, 2)) - batch["y"]) ** 2)

        mult = self.width / 12
        meta = {"left": TensorMeta("input", self.size, self.width, mult), "right": TensorMeta("output", self.width, self.size, mult)}
        return Task(self.name, init, batch, loss, meta, optimum=0.0, metric="mean squared error of measurements")


@dataclass(frozen=True)
class Parity:
    """XOR of two coordinates of random ±1 vectors, by a network of one hidden layer; logistic loss in nats."""

    inputs: int = 16
    width: int = BASE_WIDTH
    batch: int = 64
    vary: float = 0.0  # 1: log-normal scale of the initial weights, deviation 0.5
    name: str = "xor"

    def sample(self, key: jax.Array) -> PyTree:
        return variation.init_scale(derive(key, 0), self.vary)

    def task(self, config: PyTree) -> Task:
        sizes = (self.inputs, self.width, 2)

        def batch(key: jax.Array, split: Split) -> PyTree:
            x = jnp.sign(uniform(variation.split_key(key, split), (self.batch if split == "train" else 512, self.inputs)) - 0.5)
            return {"x": x, "y": (x[:, 0] * x[:, 1] > 0).astype(jnp.int32)}

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            return variation.cross_entropy(mlp.apply(params, batch["x"], jax.nn.relu), batch["y"])

        return Task(
            name=self.name,
            init=lambda key: mlp.init(key, sizes, config["init_scale"]),
            batch=batch,
            loss=loss,
            metadata=mlp.metadata(sizes, self.width, BASE_WIDTH),
            optimum=0.0,
            metric="cross-entropy, nats",
        )


@dataclass(frozen=True)
class DeepLinear:
    """A product of `depth` matrices that must become a given rotation with a spectrum (Saxe et al., arXiv:1312.6120)."""

    inputs: int = 8
    width: int = 16
    depth: int = 4
    batch: int = 32
    vary: float = 0.0  # 1: log-normal scale of the initial weights, deviation 0.5
    name: str = "deep_linear"

    def sample(self, key: jax.Array) -> PyTree:
        rotation = jnp.linalg.qr(normal(derive(key, 0), (self.inputs, self.inputs)))[0]
        return {
            "target": rotation * 2.0 ** -jnp.arange(self.inputs, dtype=jnp.float32),
            **variation.init_scale(derive(key, 1), self.vary),
        }

    def task(self, config: PyTree) -> Task:
        sizes = (self.inputs, *[self.width] * (self.depth - 1), self.inputs)

        def init(key: jax.Array) -> PyTree:
            params = mlp.init(key, sizes, 0.5 * config["init_scale"])
            return {name: {"w": layer["w"]} for name, layer in params.items()}

        def batch(key: jax.Array, split: Split) -> jax.Array:
            return normal(variation.split_key(key, split), (self.batch if split == "train" else 512, self.inputs))

        def loss(params: PyTree, batch: jax.Array, key: jax.Array) -> jax.Array:
            del key
            x = batch
            for i in range(self.depth):
                x = x @ params[f"layer_{i}"]["w"]
            return jnp.mean((x - batch @ config["target"]) ** 2)

        meta = {name: {"w": layer["w"]} for name, layer in mlp.metadata(sizes, self.width, 16).items()}
        return Task(self.name, init, batch, loss, meta, optimum=0.0, metric="mean squared error")


@dataclass(frozen=True)
class Lasso:
    """½ mean (a·x − b)² + λ‖x‖₁ with a sparse truth and correlated columns: not smooth, best reached with a shrinking rate."""

    inputs: int = 64
    batch: int = 32
    penalty: float = 0.01
    vary: float = 0.0  # 1: log-uniform correlation of the columns
    name: str = "lasso"

    def sample(self, key: jax.Array) -> PyTree:
        chosen = uniform(derive(key, 0), (self.inputs,)) < 0.15
        return {
            "truth": jnp.where(chosen, normal(derive(key, 1), (self.inputs,)), 0.0),
            "shared": 0.5 + 0.45 * self.vary * (2.0 * uniform(derive(key, 2)) - 1.0),
        }

    def task(self, config: PyTree) -> Task:
        def batch(key: jax.Array, split: Split) -> PyTree:
            key = variation.split_key(key, split)
            count = self.batch if split == "train" else 512
            common = normal(derive(key, 0), (count, 1))
            rows = (1 - config["shared"]) ** 0.5 * normal(derive(key, 1), (count, self.inputs)) + config["shared"] ** 0.5 * common
            return {"a": rows, "b": rows @ config["truth"] + 0.1 * normal(derive(key, 2), (count,))}

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            fit = 0.5 * jnp.mean((batch["a"] @ params["x"] - batch["b"]) ** 2)
            return fit + self.penalty * jnp.sum(jnp.abs(params["x"]))

        meta = {"x": TensorMeta("vector", 1, self.inputs)}
        return Task(self.name, lambda key: {"x": 0.1 * normal(key, (self.inputs,))}, batch, loss, meta, metric="objective")
