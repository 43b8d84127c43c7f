"""The one table of primitives: parser, analysis, executors and exports all read it; adding a primitive is adding a row.

Functions are written once over an array namespace `xp` (numpy or jax.numpy), so this file imports neither jax nor a backend.
Arrays of one tensor are in its matrix view (…, R, C), R rows and C columns; a `row` value is (…, R, 1), `col` (…, 1, C), `tensor` and
`global` (…, 1, 1), so elementwise primitives broadcast by themselves and reductions keep their axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from search_space.op import Op, Rule
from search_space.ops_matrix import matrix_ops
from search_space.ops_more import more_ops


def _ratio(xp: Any, a: Any, b: Any) -> Any:
    zero = b == 0
    return xp.where(zero, xp.zeros_like(a), a / xp.where(zero, xp.ones_like(b), b))


def _every(xp: Any, k: Any, t: Any) -> Any:
    period = xp.maximum(xp.round(k), 1.0)
    elapsed = t - 1.0
    return _float(xp, elapsed - period * xp.floor(elapsed / period) == 0, elapsed + period)


def _debias(xp: Any, x: Any, b: Any, t: Any) -> Any:
    # expm1 keeps 1 - b^t exact to a few ulp; subtracting the power loses 4 digits at b = 0.999, t = 1.
    return x / -xp.expm1(t * xp.log(b))


def _float(xp: Any, condition: Any, like: Any) -> Any:
    return xp.where(condition, xp.ones_like(like), xp.zeros_like(like))


def _elementwise() -> list[Op]:
    same, free = "same", "none"
    return [
        Op("add", 2, "E", fn=lambda xp, a, b: a + b, commutative=True, units=same, infix="+"),
        Op("sub", 2, "E", fn=lambda xp, a, b: a - b, units=same, infix="-"),
        Op("mul", 2, "E", fn=lambda xp, a, b: a * b, commutative=True, units=(1, 1), infix="*"),
        Op("div", 2, "E", fn=lambda xp, a, b: a / b, units=(1, -1), infix="/", flops=4),
        Op("pow", 2, "E", fn=lambda xp, a, b: xp.power(a, b), units=free, infix="**", flops=20),
        Op("ratio", 2, "E", fn=_ratio, units=(1, -1), flops=6),
        Op("max", 2, "E", fn=lambda xp, a, b: xp.maximum(a, b), units=same),
        Op("min", 2, "E", fn=lambda xp, a, b: xp.minimum(a, b), units=same),
        Op("less", 2, "E", fn=lambda xp, a, b: _float(xp, a < b, a + b), units=same),
        Op("neg", 1, "E", fn=lambda xp, x: -x, units=(1,)),
        Op("abs", 1, "E", fn=lambda xp, x: xp.abs(x), units=(1,)),
        Op("sign", 1, "E", fn=lambda xp, x: xp.sign(x), units=(0,)),
        Op("sqrt", 1, "E", fn=lambda xp, x: xp.sqrt(xp.abs(x)), units=(0.5,), flops=4),
        Op("cbrt", 1, "E", fn=lambda xp, x: xp.cbrt(x), units=(1 / 3,), flops=20),
        Op("square", 1, "E", fn=lambda xp, x: x * x, units=(2,)),
        Op("cube", 1, "E", fn=lambda xp, x: x * x * x, units=(3,), flops=2),
        Op("reciprocal", 1, "E", fn=lambda xp, x: 1.0 / x, units=(-1,), flops=4),
        Op("invert", 1, "E", fn=lambda xp, x: _float(xp, x == 0, x), units=(0,)),
        Op("exp", 1, "E", fn=lambda xp, x: xp.exp(x), flops=10),
        Op("exp2", 1, "E", fn=lambda xp, x: xp.exp2(x), flops=10),
        Op("exp10", 1, "E", fn=lambda xp, x: xp.power(xp.full_like(x, 10.0), x), flops=20),
        Op("expm1", 1, "E", fn=lambda xp, x: xp.expm1(x), flops=10),
        Op("log", 1, "E", fn=lambda xp, x: xp.log(xp.abs(x)), flops=10),
        Op("log2", 1, "E", fn=lambda xp, x: xp.log2(xp.abs(x)), flops=10),
        Op("log10", 1, "E", fn=lambda xp, x: xp.log10(xp.abs(x)), flops=10),
        Op("log1p", 1, "E", fn=lambda xp, x: xp.log1p(xp.abs(x)), flops=10),
        *(Op(name, 1, "E", fn=_named(name), flops=15) for name in _NAMED_FUNCTIONS),
        Op("sigmoid", 1, "E", fn=lambda xp, x: 1.0 / (1.0 + xp.exp(-x)), flops=15),
        Op("clip", 3, "E", fn=lambda xp, x, lo, hi: xp.minimum(xp.maximum(x, lo), hi), units=same, flops=2),
        Op("lerp", 3, "E", fn=lambda xp, x, y, a: (1.0 - a) * x + a * y, units=(1, 1, 0), flops=4),
        Op("where", 3, "E", fn=lambda xp, c, a, b: xp.where(c != 0, a, b), units=(0, 1, 1)),
    ]


_NAMED_FUNCTIONS = ("sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh")


def _named(name: str) -> Callable[..., Any]:
    return lambda xp, x: getattr(xp, name)(x)


def _constants_and_control() -> list[Op]:
    return [
        Op("pi", 0, "E", "nullary", macro="3.1415926535"),
        Op("e", 0, "E", "nullary", macro="2.718281828"),
        Op("eps", 0, "E", "nullary", macro="1e-08"),
        Op("is_first", 1, "C", fn=lambda xp, t: _float(xp, t == 1, t)),
        Op("every", 2, "C", fn=_every, flops=4),
        Op("debias", 3, "C", fn=_debias, units=(1, 0, 0), flops=4),
    ]


def _axis_reductions(prefix: str, tier: Literal["R", "A"], rule: Rule, axis: int | tuple[int, int]) -> list[Op]:
    def over(name: str) -> Callable[..., Any]:
        return lambda xp, x: getattr(xp, name)(x, axis=axis, keepdims=True)

    return [
        Op(prefix + "sum", 1, tier, rule, fn=over("sum"), units=(1,)),
        Op(prefix + "mean", 1, tier, rule, fn=over("mean"), units=(1,)),
        Op(prefix + "amax", 1, tier, rule, fn=over("max"), units=(1,)),
        Op(prefix + "norm", 1, tier, rule, macro=f"sqrt({prefix}sum(square(x)))", units=(1,), flops=2),
        Op(prefix + "rms", 1, tier, rule, macro=f"sqrt({prefix}mean(square(x)))", units=(1,), flops=2),
    ]


def _reductions() -> list[Op]:
    return [
        *_axis_reductions("", "R", "tensor", (-2, -1)),
        Op("amin", 1, "R", "tensor", macro="neg(amax(neg(x)))", units=(1,)),
        Op("norm1", 1, "R", "tensor", macro="sum(abs(x))", units=(1,), flops=2),
        Op("norm_inf", 1, "R", "tensor", macro="amax(abs(x))", units=(1,), flops=2),
        Op("std", 1, "R", "tensor", macro="sqrt(mean(square(x - mean(x))))", units=(1,), flops=4),
        Op("dot", 2, "R", "tensor", macro="sum(x * y)", commutative=True, units=(1, 1), flops=2),
        Op(
            "cos_sim",
            2,
            "R",
            "tensor",
            macro="ratio(sum(x * y), norm(where(1.0, x, y)) * norm(where(1.0, y, x)))",
            commutative=True,
            units=(0, 0),
            flops=6,
        ),
        *_axis_reductions("row_", "A", "row", -1),
        *_axis_reductions("col_", "A", "col", -2),
        Op("global_sum", 1, "G", "global", fn=lambda xp, x: xp.sum(x, axis=(-2, -1), keepdims=True), combine="sum", units=(1,)),
        Op("global_mean", 1, "G", "global", fn=lambda xp, x: xp.sum(x, axis=(-2, -1), keepdims=True), combine="mean", units=(1,)),
        Op("global_amax", 1, "G", "global", fn=lambda xp, x: xp.max(x, axis=(-2, -1), keepdims=True), combine="max", units=(1,)),
        Op("global_norm", 1, "G", "global", macro="sqrt(global_sum(square(x)))", units=(1,), flops=2),
        Op("global_dot", 2, "G", "global", macro="global_sum(x * y)", commutative=True, units=(1, 1), flops=2),
        Op("clip_by_global_norm", 2, "G", macro="x * min(1.0, where(global_norm(x), y / global_norm(x), 1.0))", units=(1, 0), flops=4),
    ]


OPS: dict[str, Op] = {op.name: op for op in (*_elementwise(), *_constants_and_control(), *_reductions(), *more_ops(), *matrix_ops())}
"""Every primitive by name."""

CORE_OPS: tuple[str, ...] = tuple(name for name, op in OPS.items() if op.tier in "ECRAG")
"""Primitives of the tiers that the interpreter runs and search draws from."""

BASE_OPS: tuple[str, ...] = tuple(name for name in CORE_OPS if OPS[name].macro is None)
"""Core primitives that executors implement; the rest are macros over these."""

INFIX: dict[str, str] = {op.infix: op.name for op in OPS.values() if op.infix}
