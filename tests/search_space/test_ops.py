"""Every primitive against a plain formula, edges included, in all executors' array namespaces."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from search_space.ops import BASE_OPS, CORE_OPS, OPS
from search_space.parse import parse_program
from search_space.reference import Reference

NAN, INF = float("nan"), float("inf")

CASES: dict[str, list[tuple[tuple[float, ...], float]]] = {
    "add": [((1, 2), 3), ((INF, -INF), NAN)],
    "sub": [((1, 2), -1), ((INF, INF), NAN)],
    "mul": [((3, -2), -6), ((INF, 0), NAN)],
    "div": [((1, 0), INF), ((-1, 0), -INF), ((0, 0), NAN), ((6, 3), 2)],
    "pow": [((2, 3), 8), ((-2, 0.5), NAN), ((-2, 2), 4), ((0, 0), 1), ((4, -0.5), 0.5)],
    "ratio": [((1, 0), 0), ((0, 0), 0), ((INF, 0), 0), ((6, 3), 2), ((NAN, 2), NAN)],
    "max": [((1, 2), 2), ((NAN, 1), NAN), ((1, NAN), NAN)],
    "min": [((1, 2), 1), ((NAN, 1), NAN)],
    "less": [((1, 2), 1), ((2, 1), 0), ((1, 1), 0), ((NAN, 1), 0), ((1, NAN), 0), ((INF, 1), 0), ((1, INF), 1)],
    "neg": [((2,), -2)],
    "abs": [((-2,), 2), ((-INF,), INF)],
    "sign": [((-0.3,), -1), ((0,), 0), ((INF,), 1), ((NAN,), NAN)],
    "sqrt": [((4,), 2), ((-4,), 2), ((0,), 0)],
    "cbrt": [((-8,), -2), ((27,), 3)],
    "square": [((-3,), 9), ((1e30,), INF)],
    "cube": [((-3,), -27)],
    "reciprocal": [((0,), INF), ((4,), 0.25), ((INF,), 0)],
    "invert": [((0,), 1), ((3,), 0), ((NAN,), 0)],
    "exp": [((1,), math.e), ((1000,), INF), ((-1000,), 0)],
    "exp2": [((3,), 8), ((200,), INF)],
    "exp10": [((2,), 100), ((60,), INF)],
    "expm1": [((1e-6,), 1.0000005e-6), ((0,), 0)],
    "log": [((math.e,), 1), ((-math.e,), 1), ((0,), -INF)],
    "log2": [((8,), 3), ((-8,), 3)],
    "log10": [((1000,), 3)],
    "log1p": [((1e-6,), 9.999995e-7), ((-1e-6,), 9.999995e-7)],
    "sin": [((1,), math.sin(1)), ((INF,), NAN)],
    "cos": [((1,), math.cos(1))],
    "tan": [((1,), math.tan(1))],
    "arcsin": [((0.5,), math.asin(0.5)), ((2,), NAN)],
    "arccos": [((0.5,), math.acos(0.5)), ((-2,), NAN)],
    "arctan": [((INF,), math.pi / 2)],
    "sinh": [((1,), math.sinh(1)), ((200,), INF)],
    "cosh": [((1,), math.cosh(1))],
    "tanh": [((100,), 1), ((-0.5,), math.tanh(-0.5))],
    "arcsinh": [((1,), math.asinh(1)), ((-1,), math.asinh(-1))],
    "arccosh": [((2,), math.acosh(2)), ((0.5,), NAN)],
    "arctanh": [((0.5,), math.atanh(0.5)), ((2,), NAN)],
    "sigmoid": [((0,), 0.5), ((200,), 1), ((-200,), 0)],
    "clip": [((5, -1, 1), 1), ((-5, -1, 1), -1), ((0.5, -1, 1), 0.5), ((5, 2, 1), 1)],
    "lerp": [((2, 4, 0.25), 2.5), ((2, 4, 0), 2), ((2, 4, 1), 4)],
    "where": [((1, 2, 3), 2), ((0, 2, 3), 3), ((NAN, 2, 3), 2), ((0, INF, 3), 3)],
    "is_first": [((1,), 1), ((2,), 0)],
    "every": [((3, 1), 1), ((3, 2), 0), ((3, 4), 1), ((0.2, 5), 1), ((2.6, 4), 1)],
    "debias": [
        ((0.1, 0.9, 1), 1),
        ((0.19, 0.9, 2), 1),
        ((1, 0, 3), 1),
        ((1, -0.5, 1), NAN),
        ((0.001, 0.999, 1), 0.001 / (1 - float(np.float32(0.999)))),
    ],
}
MATRIX = np.asarray([[3.0, -4.0, 0.0], [1.0, 2.0, -2.0]], np.float32)
OTHER = np.asarray([[1.0, 0.5, 2.0], [-1.0, 0.0, 1.0]], np.float32)
VECTOR = np.asarray([2.0, -1.0], np.float32)
REDUCTIONS: dict[str, Any] = {
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean(),
    "amax": lambda x: x.max(),
    "amin": lambda x: x.min(),
    "norm": lambda x: np.sqrt((x**2).sum()),
    "norm1": lambda x: np.abs(x).sum(),
    "norm_inf": lambda x: np.abs(x).max(),
    "rms": lambda x: np.sqrt((x**2).mean()),
    "std": lambda x: x.std(),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
def test_elementwise(name: str, xp: Any) -> None:
    for args, expected in CASES[name]:
        with np.errstate(all="ignore"):
            value = OPS[name].fn(xp, *(xp.full((1, 1), a, np.float32) for a in args))  # type: ignore[misc]
        assert value.dtype == np.float32
        np.testing.assert_allclose(float(value[0, 0]), expected, rtol=2e-6, atol=0, equal_nan=True, err_msg=f"{name}{args}")


def test_every_primitive_is_tested() -> None:
    reductions = {p + n for n in ("sum", "mean", "amax", "norm", "rms") for p in ("", "row_", "col_")}
    reductions |= {
        *REDUCTIONS,
        "dot",
        "cos_sim",
        "global_sum",
        "global_mean",
        "global_amax",
        "global_norm",
        "global_dot",
        "clip_by_global_norm",
    }
    assert {*CASES, *reductions, "pi", "e", "eps"} == set(CORE_OPS)
    assert set(BASE_OPS) < set(CORE_OPS)


def value_of(expression: str, g: list[np.ndarray] | None = None) -> list[np.ndarray]:
    """The value of an expression of g and w on a matrix and a vector."""
    tensors = g or [MATRIX, VECTOR]
    program = parse_program(f"def r(w, g, lr):\n    return {expression}")
    rule = Reference(program, [x.shape for x in tensors])
    update, _ = rule.update(tensors, rule.init(), [OTHER, VECTOR], 1.0)
    return [-u for u in update]


@pytest.mark.parametrize("name", REDUCTIONS)
def test_per_tensor(name: str) -> None:
    for got, x in zip(value_of(f"{name}(g)"), (MATRIX, VECTOR), strict=True):
        np.testing.assert_allclose(got, np.full(x.shape, REDUCTIONS[name](x)), rtol=1e-6)


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "norm", "rms"])
def test_per_row_and_column(name: str) -> None:
    fn = REDUCTIONS[name]
    rows, cols = value_of(f"row_{name}(g)"), value_of(f"col_{name}(g)")
    np.testing.assert_allclose(rows[0], np.stack([np.full(3, fn(r)) for r in MATRIX]), rtol=1e-6)
    np.testing.assert_allclose(cols[0], np.stack([np.full(2, fn(c)) for c in MATRIX.T]).T, rtol=1e-6)
    np.testing.assert_allclose(rows[1], np.full(2, fn(VECTOR)), rtol=1e-6)  # a vector is one row
    np.testing.assert_allclose(cols[1], [fn(VECTOR[:1]), fn(VECTOR[1:])], rtol=1e-6)


def test_of_two_arguments() -> None:
    dot = float((MATRIX * OTHER).sum())
    np.testing.assert_allclose(value_of("dot(g, w)")[0], dot, rtol=1e-6)
    cosine = dot / np.linalg.norm(MATRIX) / np.linalg.norm(OTHER)
    np.testing.assert_allclose(value_of("cos_sim(g, w)")[0], cosine, rtol=1e-6)
    assert np.all(value_of("cos_sim(g, 0.0 * w)")[0] == 0)
    row = MATRIX.mean(axis=1, keepdims=True) * np.ones_like(MATRIX)
    broadcast = float((row * OTHER).sum()) / np.linalg.norm(row) / np.linalg.norm(OTHER)
    np.testing.assert_allclose(value_of("cos_sim(row_mean(g), w)")[0], broadcast, rtol=1e-6)


def test_across_tensors() -> None:
    everything = np.concatenate([MATRIX.ravel(), VECTOR])
    for name in ("sum", "mean", "amax", "norm"):
        for got in value_of(f"global_{name}(g)"):
            np.testing.assert_allclose(got, np.full(got.shape, REDUCTIONS[name](everything)), rtol=1e-6)
    total = float((MATRIX * OTHER).sum() + (VECTOR * VECTOR).sum())
    np.testing.assert_allclose(value_of("global_dot(g, w)")[1], np.full(2, total), rtol=1e-6)
    norm = np.linalg.norm(everything)
    np.testing.assert_allclose(value_of("clip_by_global_norm(g, 1.0)")[0], MATRIX / norm, rtol=1e-6)
    np.testing.assert_allclose(value_of("clip_by_global_norm(g, 100.0)")[0], MATRIX, rtol=1e-6)
    assert np.all(value_of("clip_by_global_norm(0.0 * g, 1.0)")[0] == 0)
    np.testing.assert_allclose(value_of("global_mean(mean(g))")[0], (MATRIX.mean() + VECTOR.mean()) / 2, rtol=1e-6)


def test_constants() -> None:
    np.testing.assert_allclose(value_of("pi()")[0], np.pi, rtol=1e-6)
    np.testing.assert_allclose(value_of("e()")[0], np.e, rtol=1e-6)
    np.testing.assert_allclose(value_of("eps()")[0], 1e-8, rtol=1e-6)
    assert [float(value_of(f"{n} * 1.0")[0][0, 0]) for n in ("numel", "fan_in", "fan_out", "ndim")] == [6, 2, 3, 2]
