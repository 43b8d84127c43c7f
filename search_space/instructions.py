"""The interpreter's instruction tables, built from the table of primitives.

Three banks: `number` registers (B,), `small` registers (B, K + R + C), `full` registers (B, N); see `layout` for the letters.
A full instruction computes  alpha · f(pre · x, y, z) + beta  with numbers pre, alpha, beta, so that scaling by the learning rate, adding an
epsilon or correcting a bias costs no pass over memory of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from search_space.layout import Layout
from search_space.ops import BASE_OPS, OPS

_ELEMENTWISE = tuple(name for name in BASE_OPS if OPS[name].rule == "elementwise")
_REDUCTIONS = tuple(name for name in BASE_OPS if OPS[name].rule in ("tensor", "row", "col", "global"))
_ARGUMENT_KINDS = {"tensor": ("full", "row", "col"), "row": ("full",), "col": ("full",), "global": ("full", "row", "col", "tensor")}

REDUCTIONS = tuple((name, kind) for name in _REDUCTIONS for kind in _ARGUMENT_KINDS[OPS[name].rule])
"""(primitive, kind of its argument)."""

NUMBER_OPS: dict[str, int] = {}
SMALL_OPS: dict[str, int] = {}
FULL_OPS: dict[str, int] = {}

FUSED: dict[str, Callable[..., Any]] = {
    "id": lambda x, y, z, s: x,
    "fill": lambda x, y, z, s: jnp.broadcast_to(s, x.shape),
    "lerp_s": lambda x, y, z, s: (1.0 - s) * x + s * y,
    "lerp_square_s": lambda x, y, z, s: (1.0 - s) * (x * x) + s * y,
    "max_s": lambda x, y, z, s: jnp.maximum(x, s),
    "min_s": lambda x, y, z, s: jnp.minimum(x, s),
    "pow_s": lambda x, y, z, s: jnp.power(x, s),
    "s_pow": lambda x, y, z, s: jnp.power(s, x),
    "less_s": lambda x, y, z, s: jnp.where(x < s, 1.0, 0.0),
    "s_less": lambda x, y, z, s: jnp.where(s < x, 1.0, 0.0),
    "where_s": lambda x, y, z, s: jnp.where(s != 0, x, y),
}
"""Full instructions with a number `s` (B, 1) as one operand."""


def _register(table: dict[str, int], names: Any) -> None:
    for name in names:
        table[name] = len(table)


_register(NUMBER_OPS, (*_ELEMENTWISE, *(f"{n}:{k}" for n, k in REDUCTIONS if OPS[n].rule == "global")))
_register(SMALL_OPS, (*_ELEMENTWISE, "spread", *(f"{n}:{k}" for n, k in REDUCTIONS if OPS[n].rule != "global")))
_register(FULL_OPS, (*_ELEMENTWISE, *FUSED, "from_tensor", "from_row", "from_col"))


def reduce_to_global(layout: Layout, name: str, kind: str, register: jax.Array) -> jax.Array:
    """(B,) of a `global_` primitive over a value of a kind, given its full or small register."""
    start, stop = (0, layout.full) if kind == "full" else layout.sections[kind]
    value = register[:, start:stop]
    if OPS[name].combine == "max":
        return value.max(axis=1)
    total = value.sum(axis=1)
    return total / float(stop - start) if OPS[name].combine == "mean" else total


def reduce_to_small(layout: Layout, name: str, kind: str, register: jax.Array) -> jax.Array:
    """Small register of a per-tensor, row or column primitive over a value of a kind, given its full or small register."""
    rule = OPS[name].rule
    fn = _over(name)
    if rule == "tensor":
        values = layout.matrices(register) if kind == "full" else layout.pieces(register, kind)
        return layout.from_tensor([fn(x.reshape(x.shape[0], -1), 1)[:, None] for x in values])
    axis = 2 if rule == "row" else 1
    return layout.from_axis(rule, [fn(x, axis) for x in layout.matrices(register)])


def _over(name: str) -> Callable[[jax.Array, int], jax.Array]:
    suffix = name.rsplit("_", 1)[-1]
    return {"sum": jnp.sum, "mean": jnp.mean, "amax": jnp.max}[suffix]
