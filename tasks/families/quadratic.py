"""Quadratics with a given spectrum, gradient noise and a known optimum."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from tasks.contracts import PyTree, Split, Task, TensorMeta
from tasks.streams import derive, draw, normal, uniform

_TABLE = 1024  # minibatches of noise


@dataclass(frozen=True)
class NoisyQuadratic:
    """½ Σ h (x - x*)² over a matrix [rows, cols] and a vector [cols], in axes that are rotated at random.

    The matrix has the curvature a_i·b_j, as in a linear layer (Kronecker), and is rotated on both sides; curvatures fall
    geometrically from 1 to 1/condition. Gradient noise has a covariance proportional to the curvature and vanishes in
    "valid" and "test" (Zhang et al., "Which Algorithmic Choices Matter at Which Batch Sizes?", 2019).
    `vary` 0: condition 100, noise 0.1, rotation none; 1: condition 1 to 10⁴, noise 0.01 to 1 and random rotations.
    """

    rows: int = 16
    cols: int = 8
    vary: float = 1.0
    name: str = "noisy_quadratic"

    def sample(self, key: jax.Array) -> PyTree:
        """condition f32[], noise f32[], target {matrix, vector}, left f32[rows, rows] and right f32[cols, cols] rotations."""
        spread = self.vary * (2.0 * uniform(derive(key, 0), (2,)) - 1.0)
        rotate = self.vary > 0
        return {
            "condition": 10.0 ** (2.0 + 2.0 * spread[0]),
            "noise": 10.0 ** (-1.0 + spread[1]),
            "target": {
                "matrix": normal(derive(key, 1), (self.rows, self.cols)),
                "vector": normal(derive(key, 2), (self.cols,)),
            },
            "left": _rotation(derive(key, 3), self.rows) if rotate else jnp.eye(self.rows),
            "right": _rotation(derive(key, 4), self.cols) if rotate else jnp.eye(self.cols),
        }

    def task(self, config: PyTree) -> Task:
        roots = self._root_curvature(config["condition"])

        def init(key: jax.Array) -> PyTree:
            return {
                "matrix": normal(derive(key, 0), (self.rows, self.cols)),
                "vector": normal(derive(key, 1), (self.cols,)),
            }

        def batch(key: jax.Array, split: Split) -> PyTree:
            if split != "train":
                return {"matrix": jnp.zeros((self.rows, self.cols)), "vector": jnp.zeros(self.cols)}
            row = draw(key, 1, _TABLE)[0]
            table = _noise(self.rows, self.cols)
            return {name: config["noise"] * jnp.asarray(values)[row] for name, values in table.items()}

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            error = jax.tree.map(jnp.subtract, params, config["target"])
            error = {
                "matrix": config["left"] @ error["matrix"] @ config["right"],
                "vector": error["vector"] @ config["right"],
            }
            scaled = jax.tree.map(jnp.multiply, roots, error)
            terms = jax.tree.map(lambda e, noise: jnp.sum(0.5 * e * e + noise * e), scaled, batch)
            return terms["matrix"] + terms["vector"]

        meta = {"matrix": TensorMeta("hidden", self.rows, self.cols), "vector": TensorMeta("vector", 1, self.cols)}
        return Task(self.name, init, batch, loss, meta, optimum=0.0, metric="excess loss")

    def _root_curvature(self, condition: jax.Array) -> PyTree:
        """√h of the matrix, [rows, cols], and of the vector, [cols]; the largest h is 1, the smallest 1/condition."""

        def powers(count: int, exponent: float) -> jax.Array:
            return condition ** (-exponent * jnp.linspace(0.0, 1.0, count))

        return {
            "matrix": powers(self.rows, 0.25)[:, None] * powers(self.cols, 0.25)[None, :],
            "vector": powers(self.cols, 0.5),
        }


def _rotation(key: jax.Array, size: int) -> jax.Array:
    """A random orthogonal matrix, [size, size]; flips of axes do not matter here, so the signs stay as QR leaves them."""
    return jnp.linalg.qr(normal(key, (size, size)))[0]


def _noise(rows: int, cols: int) -> dict[str, np.ndarray]:
    """A fixed table of white noise, [_TABLE, ...], with a mean of 0, so that the optimum of the training loss is exact."""
    random = np.random.default_rng(2)
    table = {"matrix": random.normal(size=(_TABLE, rows, cols)), "vector": random.normal(size=(_TABLE, cols))}
    return {name: (values - values.mean(axis=0)).astype(np.float32) for name, values in table.items()}
