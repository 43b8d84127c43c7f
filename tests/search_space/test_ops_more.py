"""Every primitive of the tiers noise, order, history and matrix against a plain formula, in NumPy and in JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from search_space.compiler import to_optax
from search_space.dataflow import dataflow
from search_space.ops import CORE_OPS, OPS
from search_space.parse import parse_program
from search_space.reference import Reference
from tests.search_space import noise
from tests.search_space.agreement import check
from tests.search_space.programs import known_programs

Array = np.ndarray
SHAPES = ((4, 3), (3, 5), (4,), (2, 2, 3, 4))
RNG = np.random.default_rng(0)
GRADS = [RNG.normal(size=s).astype(np.float32) for s in SHAPES]
WEIGHTS = [RNG.normal(size=s).astype(np.float32) for s in SHAPES]


def updates(text: str, grads: Sequence[Array] = GRADS, weights: Sequence[Array] = WEIGHTS, steps: int = 1) -> list[list[Array]]:
    """What a rule returns at the last step for each tensor: [by the reference, by the compiler]."""
    program = parse_program(text)
    rule = Reference(program, [x.shape for x in grads])
    state, tx = rule.init(), to_optax(program, 1.0)
    compiled = tx.init(list(weights))
    step = jax.jit(tx.update)
    u, v = [], []
    for _ in range(steps):
        u, state = rule.update(grads, state, weights, 1.0)
        v, compiled = step(list(grads), compiled, list(weights))
    return [[-x for x in u], [-np.asarray(x) for x in v]]


def values(expression: str, grads: Sequence[Array] = GRADS, weights: Sequence[Array] = WEIGHTS) -> list[list[Array]]:
    """The value of an expression of g and w at step 1."""
    return updates(f"def r(w, g, lr):\n    return {expression}", grads, weights)


def view(x: Array) -> Array:
    """Matrix view in float64."""
    return np.asarray(x, np.float64).reshape(-1, x.shape[-1])


Formula = Callable[[Array, Array], Any]

MATRIX: dict[str, list[tuple[str, Formula]]] = {
    "matmul": [
        ("outer_left(g, w) @ g", lambda g, w: g @ w.T @ g),
        ("g @ outer_right(g, w)", lambda g, w: g @ g.T @ w),
        ("outer_left(g, w) @ outer_left(w, w) @ g", lambda g, w: g @ w.T @ w @ w.T @ g),
        ("g @ (outer_right(g, w) @ outer_right(w, w))", lambda g, w: g @ g.T @ w @ w.T @ w),
        ("outer_left(g, w) @ row_sum(w)", lambda g, w: (g @ w.T @ w.sum(1))[:, None]),
        ("col_sum(w) @ outer_right(g, w)", lambda g, w: w.sum(0) @ g.T @ w),
    ],
    "transpose": [
        ("transpose(outer_left(g, w)) @ g", lambda g, w: w @ g.T @ g),
        ("g @ transpose(outer_right(g, w))", lambda g, w: g @ w.T @ g),
    ],
    "outer_left": [
        ("outer_left(row_sum(g), row_sum(w)) @ g", lambda g, w: np.outer(g.sum(1), w.sum(1)) @ g),
        ("outer_left(outer_left(g, w), outer_left(w, w)) @ g", lambda g, w: (g @ w.T) @ (w @ w.T).T @ g),
    ],
    "outer_right": [
        ("g @ outer_right(col_sum(g), col_sum(w))", lambda g, w: g @ np.outer(g.sum(0), w.sum(0))),
        ("g @ outer_right(outer_right(g, w), outer_right(w, w))", lambda g, w: g @ (g.T @ w).T @ (w.T @ w)),
    ],
    "triple": [("triple(g, w, g + w)", lambda g, w: g @ w.T @ (g + w))],
    "eye_left": [("eye_left(g) @ w", lambda g, w: w), ("eye_left(outer_left(g, g)) @ w", lambda g, w: w)],
    "eye_right": [("w @ eye_right(g)", lambda g, w: w), ("w @ eye_right(outer_right(g, g))", lambda g, w: w)],
    "triu": [
        ("triu(outer_left(g, w)) @ g", lambda g, w: np.triu(g @ w.T) @ g),
        ("g @ triu(outer_right(g, w))", lambda g, w: g @ np.triu(g.T @ w)),
    ],
    "trace": [("trace(outer_left(g, w))", lambda g, w: np.sum(g * w)), ("trace(outer_right(g, w))", lambda g, w: np.sum(g * w))],
    "diagonal": [
        ("diagonal(outer_left(g, w))", lambda g, w: np.sum(g * w, 1, keepdims=True)),
        ("diagonal(outer_right(g, w))", lambda g, w: np.sum(g * w, 0, keepdims=True)),
    ],
    "diagonal_left": [("diagonal_left(outer_left(g, w))", lambda g, w: np.sum(g * w, 1, keepdims=True))],
    "diagonal_right": [("diagonal_right(outer_right(g, w))", lambda g, w: np.sum(g * w, 0, keepdims=True))],
    "eigenvalues": [
        ("eigenvalues(outer_left(g, w))", lambda g, w: np.linalg.eigvalsh((g @ w.T + w @ g.T) / 2)[:, None]),
        ("eigenvalues(outer_right(g, w))", lambda g, w: np.linalg.eigvalsh((g.T @ w + w.T @ g) / 2)[None]),
    ],
    "eigenvalues_left": [("eigenvalues_left(outer_left(g, g))", lambda g, w: np.linalg.eigvalsh(g @ g.T)[:, None])],
    "eigenvalues_right": [("eigenvalues_right(outer_right(g, g))", lambda g, w: np.linalg.eigvalsh(g.T @ g)[None])],
    "from_spectrum": [
        ("from_spectrum(outer_left(g, w), row_sum(g)) @ g", lambda g, w: (g @ w.T) @ np.diag(g.sum(1)) @ (g @ w.T).T @ g),
        ("g @ from_spectrum(outer_right(g, w), col_sum(g))", lambda g, w: g @ (g.T @ w) @ np.diag(g.sum(0)) @ (g.T @ w).T),
    ],
    "eigenvectors": [
        ("from_spectrum(eigenvectors(outer_left(g, w)), eigenvalues(outer_left(g, w))) @ g", lambda g, w: (g @ w.T + w @ g.T) / 2 @ g),
        ("g @ from_spectrum(eigenvectors(outer_right(g, w)), eigenvalues(outer_right(g, w)))", lambda g, w: g @ (g.T @ w + w.T @ g) / 2),
    ],
    "inverse": [
        ("inverse(outer_left(g, g) + eye_left(g)) @ w", lambda g, w: np.linalg.solve(g @ g.T + np.eye(len(g)), w)),
        ("w @ inverse(outer_right(g, w) + 9.0 * eye_right(g))", lambda g, w: np.linalg.solve((g.T @ w + 9 * np.eye(g.shape[1])).T, w.T).T),
    ],
    "inv_root": [
        ("inv_root(outer_left(g, g) + eye_left(g), 4.0) @ w", lambda g, w: _power(g @ g.T + np.eye(len(g)), -0.25) @ w),
        ("w @ inv_root(outer_right(g, g) + eye_right(g), 2.0)", lambda g, w: w @ _power(g.T @ g + np.eye(g.shape[1]), -0.5)),
    ],
    "floor": [("floor(3.0 * g)", lambda g, w: np.floor(3.0 * g))],
    "polar": [("polar(g)", lambda g, w: _polar(g)), ("polar(0.0 * g)", lambda g, w: 0 * g)],
    "nuclear_norm": [("nuclear_norm(g)", lambda g, w: np.linalg.norm(g, "nuc")), ("nuclear_norm(0.0 * g)", lambda g, w: 0.0)],
    "spectral_norm": [("spectral_norm(0.0 * g)", lambda g, w: 0.0)],
}
"""Primitive → (expression, what it is) on the matrix views of every tensor."""

BY_THEMSELVES = ("orthonormal", "window_mean", "quantile", "median", "global_quantile", "rank_match", "push", "recall", "store")
BY_THEMSELVES += ("history_sum", "gram_solve", "hash_uniform", "uniform", "global_uniform", "normal", "rademacher", "floor")
"""Primitives with a test of their own below."""


def _power(x: Array, p: float) -> Array:
    values, vectors = np.linalg.eigh(x)
    return vectors @ np.diag(values**p) @ vectors.T


def _polar(x: Array) -> Array:
    u, _, v = np.linalg.svd(x, full_matrices=False)
    return u @ v


def test_every_primitive_has_a_case() -> None:
    assert {*MATRIX, *BY_THEMSELVES} == set(OPS) - set(CORE_OPS)


@pytest.mark.parametrize("name", MATRIX)
def test_matrix(name: str) -> None:
    for expression, formula in MATRIX[name]:
        for executor in values(expression):
            for got, g, w in zip(executor, GRADS, WEIGHTS, strict=True):
                expected = np.broadcast_to(formula(view(g), view(w)), view(g).shape)
                assert_allclose(view(got), expected, rtol=2e-4, atol=2e-5 * max(1.0, np.abs(expected).max()), err_msg=expression)


def test_spectral_norm_is_the_largest_singular_value() -> None:
    gapped = [np.asarray(view(g) + 4 * np.outer(view(g)[:, 0], view(w)[0]), np.float32) for g, w in zip(GRADS, WEIGHTS, strict=True)]
    for executor in values("spectral_norm(g)", gapped, gapped):
        for got, g in zip(executor, gapped, strict=True):
            assert_allclose(got, np.linalg.norm(g, 2), rtol=1e-5)


def test_polar_reaches_small_singular_values() -> None:
    u, _, v = np.linalg.svd(RNG.normal(size=(6, 6)))
    g = np.asarray(u @ np.diag([1, 0.3, 0.1, 0.03, 0.01, 0.001]) @ v, np.float32)
    for scale in (1e-6, 1.0, 1e6):
        for executor in values("polar(g)", [scale * g], [g]):
            assert_allclose(executor[0], u @ v, atol=1e-3)


NAMESPACES = pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])


def call(name: str, xp: Any, *args: Any, **more: Any) -> Array:
    """One primitive on arrays."""
    return np.asarray(OPS[name].fn(xp, *(xp.asarray(a) for a in args), **more))  # type: ignore[misc]


def square_matrix(n: int = 5) -> Array:
    """Well conditioned, with distinct eigenvalues of its symmetric part."""
    return np.asarray(np.diag(np.arange(n) + 2.0) + 0.5 * np.random.default_rng(3).normal(size=(n, n)), np.float32)


@NAMESPACES
def test_eigenvectors_are_made_unique(xp: Any) -> None:
    x = square_matrix()
    v = call("eigenvectors", xp, x)
    assert_allclose(v.T @ v, np.eye(5), atol=1e-5)
    rayleigh = np.diag(v.T @ x @ v)
    assert np.all(np.diff(rayleigh) > 0)
    assert all(column[np.argmax(np.abs(column))] > 0 for column in v.T)
    assert np.isnan(call("eigenvectors", xp, np.full((2, 2), np.nan, np.float32))).all()


@NAMESPACES
def test_orthonormal_is_the_q_of_a_positive_r(xp: Any) -> None:
    x = square_matrix()
    q = call("orthonormal", xp, x)
    r = q.T @ x
    assert_allclose(q.T @ q, np.eye(5), atol=1e-5)
    assert_allclose(np.tril(r, -1), 0, atol=1e-5)
    assert np.all(np.diag(r) > 0)
    assert_allclose(call("orthonormal", xp, q), q, atol=1e-5)


@NAMESPACES
def test_singular_matrices_give_no_finite_inverse(xp: Any) -> None:
    with np.errstate(all="ignore"):
        assert not np.isfinite(call("inverse", xp, np.zeros((2, 2), np.float32))).any()


@NAMESPACES
def test_decompositions_over_leading_axes(xp: Any) -> None:
    stacked = np.stack([square_matrix(), square_matrix() + 1])
    for name in ("eigenvectors", "orthonormal", "inverse", "trace", "triu", "transpose", "diagonal_left", "eigenvalues_right"):
        one = [call(name, xp, x) for x in stacked]
        assert_allclose(call(name, xp, stacked), np.stack(one), rtol=1e-5, atol=1e-6)


@NAMESPACES
def test_order_statistics(xp: Any) -> None:
    x = np.asarray([[3.0, -1.0, 2.0], [0.0, 5.0, 2.0]], np.float32)
    for q in (0.0, 0.1, 0.5, 0.77, 1.0):
        got = call("quantile", xp, x, np.full((1, 1), q, np.float32))
        assert_allclose(got, np.quantile(x, np.float32(q)).reshape(1, 1), rtol=1e-6)
        other = np.asarray([[7.0, -8.0]], np.float32)
        both = OPS["global_quantile"].fn(xp, [xp.asarray(x), xp.asarray(other)], [xp.full((1, 1), q, np.float32)] * 2)  # type: ignore[misc]
        for part in both:
            assert_allclose(np.asarray(part), np.quantile(np.append(x, other), np.float32(q)).reshape(1, 1), rtol=1e-6)
    assert_allclose(call("quantile", xp, x, np.full((1, 1), 7.0, np.float32)), [[5.0]])  # clipped to 1
    assert_allclose(call("quantile", xp, x[:1, :1], np.full((1, 1), 0.3, np.float32)), [[3.0]])
    y = np.asarray([[60.0, 10.0, 30.0], [20.0, 50.0, 40.0]], np.float32)
    assert_allclose(call("rank_match", xp, np.asarray([[3, -1, 2], [0, 5, 2.5]], np.float32), y), [[50, 10, 30], [20, 60, 40]])
    stacked = call("quantile", xp, np.stack([x, 2 * x]), np.full((1, 1, 1), 0.5, np.float32))
    assert_allclose(stacked.reshape(-1), [2.0, 4.0])


def test_quantiles_in_rules() -> None:
    everything = np.concatenate([np.abs(g).ravel() for g in GRADS])
    for executor in values("median(g) + global_quantile(abs(g), 0.9)"):
        for got, g in zip(executor, GRADS, strict=True):
            assert_allclose(got, np.median(g) + np.quantile(everything, 0.9), rtol=1e-5)


@NAMESPACES
def test_floor(xp: Any) -> None:
    assert_allclose(call("floor", xp, np.asarray([[1.5, -1.5, 2.0, np.inf]], np.float32)), [[1, -2, 2, np.inf]])


@NAMESPACES
def test_equal_elements_rank_by_place(xp: Any) -> None:
    x = np.zeros((3, 40), np.float32)
    y = np.arange(120, dtype=np.float32).reshape(3, 40)
    np.testing.assert_array_equal(call("rank_match", xp, x, y), y)


@NAMESPACES
def test_window_mean(xp: Any) -> None:
    kernel = RNG.normal(size=(3, 2, 4, 5)).astype(np.float32)
    got = call("window_mean", xp, kernel.reshape(-1, 5), shape=kernel.shape).reshape(kernel.shape)
    assert_allclose(got, np.broadcast_to(kernel.mean((0, 1)), kernel.shape), rtol=1e-5, atol=1e-6)
    assert_allclose(call("window_mean", xp, kernel[0, 0], shape=(4, 5)), kernel[0, 0])


def test_histories() -> None:
    head = "def r(w, g, lr, *, h: full[3] = zeros):\n    h = push(h, t * g)\n"
    for text, factor in (
        ("return recall(h, 0.0)", 4),
        ("return recall(h, 2.0)", 2),
        ("return recall(h, 0.8)", 3),
        ("return recall(h, 3.0)", 0),
        ("return recall(h, -1.0)", 0),
        ("return history_sum(h)", 9),
        ("return history_sum(store(h, 1.0, 0.0 * g))", 6),
        ("return history_sum(store(h, 5.0, 100.0 * g))", 9),
    ):
        for executor in updates(f"{head}    {text}", steps=4):
            for got, g in zip(executor, GRADS, strict=True):
                assert_allclose(got, factor * g, rtol=1e-6, err_msg=text)


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_gram_solve_is_a_dense_solve(power: float) -> None:
    text = "def r(w, g, lr, *, h: full[4] = zeros):\n    h = push(h, g * cos(t * row_index + 2.0 * col_index) + w * t)\n"
    text += f"    return gram_solve(h, w, 0.7, {power})"
    rows = []
    for t in (1, 2, 3):
        parts = []
        for g, w in zip(GRADS, WEIGHTS, strict=True):
            i, j = np.indices(view(g).shape)
            parts.append((view(g) * np.cos(t * i + 2 * j) + view(w) * t).ravel())
        rows.append(np.concatenate(parts))
    dense = np.stack(rows).T @ np.stack(rows)
    values, vectors = np.linalg.eigh(dense)
    root = vectors @ np.diag(np.clip(values, 0, None) ** power) @ vectors.T
    expected = np.linalg.solve(root + 0.7 * np.eye(len(root)), np.concatenate([w.ravel() for w in WEIGHTS]))
    for executor in updates(text, steps=3):
        assert_allclose(np.concatenate([x.ravel() for x in executor]), expected, rtol=1e-3, atol=1e-4)


def test_gram_solve_of_an_empty_history_divides_by_epsilon() -> None:
    for executor in updates("def r(w, g, lr, *, h: full[4] = zeros):\n    h = push(h, 0.0 * g)\n    return gram_solve(h, w, 0.5, 1.0)"):
        assert_allclose(executor[0], 2 * WEIGHTS[0], rtol=1e-6)


def test_gram_solve_in_the_span_stands_a_small_epsilon() -> None:
    text = "def r(w, g, lr, *, h: full[4] = zeros):\n    h = push(h, g * cos(t * row_index + 2.0 * col_index))\n"
    text += "    return gram_solve(h, recall(h, 0.0), 1e-06, 0.5)"
    rows = []
    for t in (1, 2, 3):
        rows.append(
            np.concatenate([(view(g) * np.cos(t * np.indices(view(g).shape)[0] + 2 * np.indices(view(g).shape)[1])).ravel() for g in GRADS])
        )
    u, sizes, v = np.linalg.svd(np.stack(rows), full_matrices=False)
    expected = v.T @ (u[2] * sizes / (sizes + 1e-6))
    for executor in updates(text, steps=3):
        assert_allclose(np.concatenate([x.ravel() for x in executor]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stream", [0.0, 0.25, 3.0, 1000.0])
def test_noise_is_exactly_what_is_written(stream: float) -> None:
    uniforms = updates(f"def r(w, g, lr):\n    return uniform(w, {stream})", steps=3)
    signs = updates(f"def r(w, g, lr):\n    return rademacher(w, {stream})", steps=3)
    normals = updates(f"def r(w, g, lr):\n    return normal(w, {stream})", steps=3)
    ones = updates(f"def r(w, g, lr):\n    return global_uniform({stream})", steps=3)
    for executor in range(2):
        for k, shape in enumerate(SHAPES):
            np.testing.assert_array_equal(uniforms[executor][k], noise.uniform(shape, stream, 3, k).astype(np.float32))
            np.testing.assert_array_equal(signs[executor][k], noise.rademacher(shape, stream, 3, k))
            np.testing.assert_array_equal(ones[executor][k], np.float32(noise.global_uniform(stream, 3)))
            assert_allclose(normals[executor][k], noise.normal(shape, stream, 3, k), rtol=2e-5, atol=2e-6)


def test_noise_of_rows_columns_and_squares() -> None:
    for executor in values("uniform(row_sum(g), 1.0)"):
        assert_allclose(view(executor[0]), np.broadcast_to(noise.uniform((4, 1), 1.0, 1, 0), (4, 3)), rtol=1e-6)
    for executor in values("uniform(eye_left(g), 1.0) @ w"):
        assert_allclose(executor[0], noise.uniform((4, 4), 1.0, 1, 0) @ WEIGHTS[0], rtol=1e-5, atol=1e-5)
    for executor in values("uniform(w, 1.0) - uniform(g, 1.0)"):
        assert not np.any(executor[0])


MANY = 100_352


def drawn(name: str, stream: float, step: int, tensor: int) -> Array:
    """About 1e5 draws by NumPy, from the table of primitives."""
    number = lambda x: np.full((1, 1), x, np.float32)  # noqa: E731
    x = np.zeros((MANY // 98, 98), np.float32)
    u = lambda s: OPS["hash_uniform"].fn(np, x, number(s), number(step), number(tensor)).ravel().astype(np.float64)  # type: ignore[misc]  # noqa: E731
    if name == "uniform":
        return u(stream)
    return np.sqrt(-2 * np.log(u(stream + 0.25))) * np.cos(2 * np.pi * u(stream + 0.5))


def test_moments_of_the_noise() -> None:
    for step, tensor in ((1, 0), (2, 0), (1, 7), (5000, 3)):
        u = drawn("uniform", 0.0, step, tensor)
        assert u.min() > 0 and u.max() < 1
        counts = np.bincount((u * 128).astype(int), minlength=128)
        assert np.sum((counts - MANY / 128) ** 2) / (MANY / 128) < 127 + 5 * np.sqrt(254)  # chi-squared, 127 degrees of freedom
        assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 5 / np.sqrt(MANY)
        z = drawn("normal", 0.0, step, tensor)
        assert abs(z.mean()) < 5 / np.sqrt(MANY)
        assert abs(z.var() - 1) < 5 * np.sqrt(2 / MANY)
        assert abs(np.mean(z**3)) < 5 * np.sqrt(15 / MANY)
        assert abs(np.mean(z**4) - 3) < 5 * np.sqrt(96 / MANY)


def test_streams_steps_and_tensors_are_independent() -> None:
    places = [(0.0, 1, 0), (1.0, 1, 0), (0.25, 1, 0), (0.0, 2, 0), (0.0, 1, 1), (1.0, 2, 1), (2.0, 1, 1), (0.0, 1000, 0)]
    draws = np.stack([drawn("uniform", *place) for place in places])
    assert np.abs(np.corrcoef(draws) - np.eye(len(places))).max() < 5 / np.sqrt(MANY)
    once = [noise.global_uniform(0.0, step) for step in range(1, 20_001)]
    assert abs(np.mean(once) - 0.5) < 5 / np.sqrt(12 * len(once))
    assert abs(np.corrcoef(once[:-1], once[1:])[0, 1]) < 5 / np.sqrt(len(once))


PROGRAMS = known_programs(Random(0), 16)


def test_reference_and_compiler_agree_on_random_programs() -> None:
    verdicts = check(PROGRAMS)
    assert verdicts.counts()["disagree"] == 0, [o for o in verdicts.outcome if o not in ("agree", "sensitive", "too large")]
    assert verdicts.counts()["sensitive"] <= len(PROGRAMS) // 4


def test_random_programs_use_every_primitive() -> None:
    live = {node.op for program in PROGRAMS for node in dataflow(program).nodes}
    assert {name for name, op in OPS.items() if op.macro is None and name not in CORE_OPS} <= live
