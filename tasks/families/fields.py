"""Functions of coordinates as networks: a photograph (SIREN), and solutions of differential equations (PINNs)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from tasks import mlp, photographs, variation
from tasks.contracts import PyTree, Split, Task
from tasks.streams import derive, draw, normal, uniform

BASE_WIDTH = 32


@dataclass(frozen=True)
class Siren:
    """Coordinates - sine layers - grey value of a 64x64 photograph crop (Sitzmann et al., arXiv:2006.09661); mean squared error."""

    width: int = BASE_WIDTH
    depth: int = 2
    batch: int = 256
    frequency: float = 15.0
    vary: float = 0.0  # 1: log-normal frequency, deviation 0.5
    name: str = "siren"

    def sample(self, key: jax.Array) -> PyTree:
        """Which crop (i32), and the frequency of the first layer."""
        crop = draw(derive(key, 0), 1, len(photographs.crops()))[0]
        return {"crop": crop, "frequency": self.frequency * jnp.exp(0.5 * self.vary * normal(derive(key, 1)))}

    def task(self, config: PyTree) -> Task:
        sizes = (2, *[self.width] * self.depth, 1)
        side = photographs.SIDE

        def batch(key: jax.Array, split: Split) -> PyTree:
            """Pixels; a quarter of them in a checkered pattern is held out, half for validation."""
            pixels = jnp.asarray(photographs.crops())[config["crop"]].reshape(-1)
            parts = photographs.pixel_parts()
            rows = jnp.asarray(parts[split])
            rows = rows[draw(key, self.batch, rows.shape[0])] if split == "train" else rows
            place = jnp.stack([rows // side, rows % side], axis=-1) / (side - 1) * 2.0 - 1.0
            return {"x": place, "y": pixels[rows][:, None]}

        def init(key: jax.Array) -> PyTree:
            params = mlp.init(key, sizes)
            for i in range(1, self.depth + 1):  # uniform in ±√(6 / fan_in) as the paper has it, for sines of unit frequency
                layer = params[f"layer_{i}"]
                spread = (6.0 / self.width) ** 0.5
                layer["w"] = spread * (2.0 * uniform(derive(key, 100 + i), layer["w"].shape) - 1.0)
            return params

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            first = params["layer_0"]
            x = jnp.sin(config["frequency"] * (batch["x"] @ first["w"] / 2**0.5 + first["b"]))
            for i in range(1, self.depth + 1):
                layer = params[f"layer_{i}"]
                x = x @ layer["w"] + layer["b"]
                x = jnp.sin(x) if i < self.depth else x
            return jnp.mean((x - batch["y"]) ** 2)

        return Task(
            self.name, init, batch, loss, mlp.metadata(sizes, self.width, BASE_WIDTH), metric="mean squared error, variances of a crop"
        )


Equation = Literal["poisson", "burgers"]


@dataclass(frozen=True)
class Pinn:
    """A tanh network trained on the residual of an equation and on its boundary values (Raissi et al., arXiv:1711.10561).

    "poisson": u'' = f on [0, 1], u = 0 at the ends, solution a mixture of sines. "burgers": u_t + u u_x = ν u_xx, a travelling front whose
    solution is known. Held-out losses are the mean squared distance to the solution.
    """

    equation: Equation = "poisson"
    width: int = BASE_WIDTH
    depth: int = 2
    batch: int = 64
    vary: float = 0.0  # 1: other coefficients for each task

    @property
    def name(self) -> str:
        return f"pinn_{self.equation}"

    def sample(self, key: jax.Array) -> PyTree:
        """Coefficients f32[2] of the solution."""
        return {"coefficients": jnp.asarray([1.0, 0.5]) * jnp.exp(0.5 * self.vary * normal(derive(key, 0), (2,)))}

    def task(self, config: PyTree) -> Task:
        inputs = 1 if self.equation == "poisson" else 2
        sizes = (inputs, *[self.width] * self.depth, 1)
        solution = self._solution(config["coefficients"])

        def batch(key: jax.Array, split: Split) -> PyTree:
            count = self.batch if split == "train" else 512
            key = variation.split_key(key, split)
            x = uniform(derive(key, 0), (count, inputs))
            edge = jnp.round(uniform(derive(key, 1), (count, inputs)))  # corners; one side is then freed
            side = uniform(derive(key, 2), (count, inputs)) if inputs == 2 else edge
            boundary = edge.at[:, -1].set(side[:, -1]) if inputs == 2 else edge
            return {"x": x, "edge": boundary, "exact": jnp.full((), 0.0 if split == "train" else 1.0)}

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key

            def u(x: jax.Array) -> jax.Array:
                return mlp.apply(params, x[None], jnp.tanh)[0, 0]

            inside, border = (batch[name].astype(params["layer_0"]["w"].dtype) for name in ("x", "edge"))
            missed = jnp.mean((jax.vmap(u)(inside) - jax.vmap(solution)(inside)) ** 2)
            residual = jnp.mean(jax.vmap(self._residual(u, solution))(inside) ** 2)
            edge = jnp.mean((jax.vmap(u)(border) - jax.vmap(solution)(border)) ** 2)
            return jnp.where(batch["exact"] > 0, missed, residual + 10.0 * edge)

        return Task(
            name=self.name,
            init=lambda key: mlp.init(key, sizes),
            batch=batch,
            loss=loss,
            metadata=mlp.metadata(sizes, self.width, BASE_WIDTH),
            optimum=0.0,
            metric="mean squared error of the solution",
        )

    def _solution(self, c: jax.Array) -> Callable[[jax.Array], jax.Array]:
        if self.equation == "poisson":
            return lambda x: c[0] * jnp.sin(jnp.pi * x[0]) + c[1] * jnp.sin(3 * jnp.pi * x[0])
        # A front of height 2 c[1] that travels at speed c[0]: u = c0 − c1 tanh(c1 (x − c0 t) / (2 ν)).
        return lambda x: c[0] - c[1] * jnp.tanh(c[1] * (2.0 * x[0] - 1.0 - c[0] * (x[1] - 0.5)) / (2 * _VISCOSITY))

    def _residual(self, u: Callable, solution: Callable) -> Callable[[jax.Array], jax.Array]:
        """What the equation leaves at a point, scaled to order 1."""
        if self.equation == "poisson":

            def curvature(f: Callable, x: jax.Array) -> jax.Array:
                return jax.jvp(lambda y: jax.grad(f)(y)[0], (x,), (jnp.ones_like(x),))[1]

            return lambda x: (curvature(u, x) - curvature(solution, x)) / (9 * jnp.pi**2)

        def burgers(x: jax.Array) -> jax.Array:
            along = jnp.zeros_like(x).at[0].set(1.0)
            slope = jax.grad(u)(x)
            second = jax.jvp(lambda y: jax.grad(u)(y)[0], (x,), (along,))[1]
            # position is 2 x − 1, so that derivatives in it are halved
            return slope[1] + u(x) * slope[0] / 2.0 - _VISCOSITY * second / 4.0

        return burgers


_VISCOSITY = 0.1
