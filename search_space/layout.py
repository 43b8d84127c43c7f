"""Where the numbers of all parameter tensors live in the interpreter's registers.

Letters: K tensors; N elements, R rows and C columns over all tensors' matrix views; B batch members (tasks × seeds × learning rates).
A `full` register is (B, N), tensors one after the other. A `small` register is (B, K + R + C): one number for each tensor, row and column.
A per-tensor number is stored in the row and column sections as well, so that small elementwise work needs no broadcasting.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from search_space.program import TENSOR_CONSTANTS
from search_space.tensors import tensor_constants, view_shape


@dataclass(frozen=True)
class Layout:
    """Shapes of the parameter tensors, in the order of `jax.tree.leaves`; hashable, so it may be a static argument."""

    shapes: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(params: Any) -> Layout:
        """The layout of a tree of (unbatched) parameters or shapes."""
        return Layout(tuple(tuple(jnp.shape(x)) for x in jax.tree.leaves(params)))

    @property
    def views(self) -> list[tuple[int, int]]:
        """(rows, columns) of each tensor."""
        return [view_shape(s) for s in self.shapes]

    @property
    def full(self) -> int:
        """N."""
        return sum(r * c for r, c in self.views)

    @property
    def sections(self) -> dict[str, tuple[int, int]]:
        """Start and stop of the tensor, row and col sections of a small register."""
        k, rows, cols = len(self.shapes), sum(r for r, _ in self.views), sum(c for _, c in self.views)
        return {"tensor": (0, k), "row": (k, k + rows), "col": (k + rows, k + rows + cols)}

    @property
    def small(self) -> int:
        """K + R + C."""
        return self.sections["col"][1]

    def flatten(self, tree: Any) -> jax.Array:
        """Leaves with a leading batch axis (B, …) → (B, N), float32."""
        leaves = jax.tree.leaves(tree)
        return jnp.concatenate([x.reshape(x.shape[0], -1).astype(jnp.float32) for x in leaves], axis=1)

    def unflatten(self, flat: jax.Array, like: Any) -> Any:
        """(B, N) → a tree of leaves (B, …) with the structure and dtypes of `like`."""
        leaves, structure = jax.tree.flatten(like)
        stops = np.cumsum([math.prod(s) for s in self.shapes])
        starts = [0, *stops[:-1]]
        parts = [flat[:, a:b].reshape(x.shape).astype(x.dtype) for x, a, b in zip(leaves, starts, stops, strict=True)]
        return structure.unflatten(parts)

    def constants(self) -> np.ndarray:
        """Small registers of `numel fan_in fan_out ndim`: (4, K + R + C)."""
        table = [[tensor_constants(s)[name] for s in self.shapes] for name in TENSOR_CONSTANTS]
        repeats = [np.repeat(row, [v[axis] for v in self.views]) for row in table for axis in (0, 1)]
        return np.stack([np.concatenate([table[i], repeats[2 * i], repeats[2 * i + 1]]) for i in range(len(table))]).astype(np.float32)

    def matrices(self, full: jax.Array) -> list[jax.Array]:
        """(B, N) → one (B, rows, cols) for each tensor."""
        out, start = [], 0
        for rows, cols in self.views:
            out.append(full[:, start : start + rows * cols].reshape(-1, rows, cols))
            start += rows * cols
        return out

    def pieces(self, small: jax.Array, kind: str) -> list[jax.Array]:
        """The section of a kind, split by tensor: (B, 1), (B, rows) or (B, cols) each."""
        start = self.sections[kind][0]
        out = []
        for rows, cols in self.views:
            size = {"tensor": 1, "row": rows, "col": cols}[kind]
            out.append(small[:, start : start + size])
            start += size
        return out

    def from_tensor(self, numbers: Sequence[jax.Array]) -> jax.Array:
        """One (B, 1) for each tensor → small register with all sections filled."""
        rows = [jnp.broadcast_to(x, (x.shape[0], r)) for x, (r, _) in zip(numbers, self.views, strict=True)]
        cols = [jnp.broadcast_to(x, (x.shape[0], c)) for x, (_, c) in zip(numbers, self.views, strict=True)]
        return jnp.concatenate([*numbers, *rows, *cols], axis=1)

    def from_axis(self, kind: str, parts: Sequence[jax.Array]) -> jax.Array:
        """One (B, rows) or (B, cols) for each tensor → small register, other sections zero."""
        start, stop = self.sections[kind]
        joined = jnp.concatenate(list(parts), axis=1)
        return jnp.pad(joined, ((0, 0), (start, self.small - stop)))

    def spread(self, small: jax.Array, kind: str) -> jax.Array:
        """A small value of a kind → (B, N)."""
        expand: dict[str, Callable[[jax.Array], jax.Array]] = {
            "tensor": lambda x: x[:, :, None],
            "row": lambda x: x[:, :, None],
            "col": lambda x: x[:, None, :],
        }
        parts = [
            jnp.broadcast_to(expand[kind](x), (x.shape[0], r, c)).reshape(x.shape[0], r * c)
            for x, (r, c) in zip(self.pieces(small, kind), self.views, strict=True)
        ]
        return jnp.concatenate(parts, axis=1)
