"""Matrix primitives (tier M): products, transposes, decompositions, and their macros.

A `left` value is rows × rows, a `right` value cols × cols. Everything works over leading batch axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from search_space.op import Op
from search_space.program import Kind

_SQUARE: dict[tuple[Kind, ...], Kind] = {("left",): "left", ("right",): "right"}
_PRODUCTS: dict[tuple[Kind, ...], Kind] = {
    ("left", "full"): "full",
    ("full", "right"): "full",
    ("left", "left"): "left",
    ("right", "right"): "right",
    ("left", "row"): "row",
    ("col", "right"): "col",
}


def _transpose(xp: Any, x: Any) -> Any:
    return xp.swapaxes(x, -1, -2)


def _triple(xp: Any, x: Any, y: Any, z: Any) -> Any:
    """x yᵀ z, by way of the smaller square."""
    rows, cols = x.shape[-2:]
    return (x @ _transpose(xp, y)) @ z if rows <= cols else x @ (_transpose(xp, y) @ z)


def _identity(side: int) -> Callable[..., Any]:
    def fn(xp: Any, x: Any) -> Any:
        size = x.shape[side]
        return xp.broadcast_to(xp.eye(size, dtype=x.dtype), (*x.shape[:-2], size, size))

    return fn


def _safely(name: str) -> Callable[..., Any]:
    """A decomposition of `xp.linalg`; None where NumPy raises (JAX gives NaN by itself)."""

    def fn(xp: Any, x: Any) -> Any:
        failures = getattr(xp.linalg, "LinAlgError", ())
        try:
            return getattr(xp.linalg, name)(x)
        except failures:
            return None

    return fn


def _symmetric(xp: Any, x: Any) -> Any:
    return 0.5 * (x + _transpose(xp, x))


def _eigenvectors(xp: Any, x: Any) -> Any:
    """Columns in ascending order of eigenvalue; the largest entry of each is positive, which makes them unique."""
    found = _safely("eigh")(xp, _symmetric(xp, x))
    if found is None:
        return xp.full_like(x, xp.nan)
    vectors = found[1]
    at = xp.argmax(xp.abs(vectors), axis=-2)[..., None, :]
    return vectors * xp.sign(xp.take_along_axis(vectors, at, axis=-2))


def _eigenvalues(xp: Any, x: Any, shape_of: int) -> Any:
    found = _safely("eigvalsh")(xp, _symmetric(xp, x))
    values = xp.full(x.shape[:-1], xp.nan, x.dtype) if found is None else found
    return xp.expand_dims(values, shape_of)


def _orthonormal(xp: Any, x: Any) -> Any:
    """The Q of QR whose R has a positive diagonal."""
    found = _safely("qr")(xp, x)
    if found is None:
        return xp.full_like(x, xp.nan)
    signs = xp.sign(xp.diagonal(found[1], axis1=-2, axis2=-1))
    return found[0] * xp.where(signs == 0, xp.ones_like(signs), signs)[..., None, :]


def _inverse(xp: Any, x: Any) -> Any:
    found = _safely("inv")(xp, x)
    return xp.full_like(x, xp.nan) if found is None else found


_POLAR = """
y = ratio(x, norm(x))
for _ in range(8):
    a = triple(y, y, y)
    y = 3.4445 * y - 4.775 * a + 2.0315 * triple(y, y, a)
for _ in range(7):
    y = 1.5 * y - 0.5 * triple(y, y, y)
return y
"""
_INV_ROOT = """
v = eigenvectors(x)
return from_spectrum(v, pow(diagonal_{}(transpose(v) @ (x @ v)), -1.0 / y))
"""
_SPECTRAL_NORM = """
v = col_norm(x)
for _ in range(30):
    u = row_sum(x * v)
    v = col_sum(x * ratio(u, norm(u)))
    v = ratio(v, norm(v))
return norm(row_sum(x * v))
"""


def matrix_ops() -> list[Op]:
    """Rows of tier M."""
    pair: dict[tuple[Kind, ...], Kind] = {("full", "full"): "left", ("row", "row"): "left", ("left", "left"): "left"}
    pair_right: dict[tuple[Kind, ...], Kind] = {("full", "full"): "right", ("col", "col"): "right", ("right", "right"): "right"}
    triple: dict[tuple[Kind, ...], Kind] = {("full", "full", "full"): "full"}
    left: dict[tuple[Kind, ...], Kind] = {("full",): "left", ("left",): "left"}
    right: dict[tuple[Kind, ...], Kind] = {("full",): "right", ("right",): "right"}
    spectrum: dict[tuple[Kind, ...], Kind] = {("left", "row"): "left", ("right", "col"): "right"}
    return [
        _row("matmul", 2, lambda xp, a, b: a @ b, _PRODUCTS, (1, 1), 64, infix="@"),
        _row("transpose", 1, _transpose, _SQUARE, (1,), 1),
        _row("outer_left", 2, lambda xp, a, b: a @ _transpose(xp, b), pair, (1, 1), 64),
        _row("outer_right", 2, lambda xp, a, b: _transpose(xp, a) @ b, pair_right, (1, 1), 64),
        _row("triple", 3, _triple, triple, (1, 1, 1), 128),
        _row("eye_left", 1, _identity(-2), left, (0,), 1),
        _row("eye_right", 1, _identity(-1), right, (0,), 1),
        _row("triu", 1, lambda xp, x: xp.triu(x), _SQUARE, (1,), 1),
        _row("trace", 1, _trace, {("left",): "tensor", ("right",): "tensor"}, (1,), 1),
        _row("diagonal_left", 1, lambda xp, x: xp.diagonal(x, axis1=-2, axis2=-1)[..., :, None], {("left",): "row"}, (1,), 1),
        _row("diagonal_right", 1, lambda xp, x: xp.diagonal(x, axis1=-2, axis2=-1)[..., None, :], {("right",): "col"}, (1,), 1),
        _row("eigenvectors", 1, _eigenvectors, _SQUARE, (0,), 500),
        _row("eigenvalues_left", 1, lambda xp, x: _eigenvalues(xp, x, -1), {("left",): "row"}, (1,), 200),
        _row("eigenvalues_right", 1, lambda xp, x: _eigenvalues(xp, x, -2), {("right",): "col"}, (1,), 200),
        _row("from_spectrum", 2, _from_spectrum, spectrum, (0, 1), 64),
        _row("orthonormal", 1, _orthonormal, _SQUARE, (0,), 200),
        _row("inverse", 1, _inverse, _SQUARE, (-1,), 100),
        Op("eigenvalues", 1, "M", macro=_by_side("eigenvalues_{}(x)"), units=(1,), flops=200),
        Op("diagonal", 1, "M", macro=_by_side("diagonal_{}(x)"), units=(1,)),
        Op("inv_root", 2, "M", macro=_by_side(_INV_ROOT), flops=800),
        Op("polar", 1, "M", macro=_POLAR, units=(0,), flops=3000),
        Op("nuclear_norm", 1, "M", macro="sum(x * polar(x))", units=(1,), flops=3000),
        Op("spectral_norm", 1, "M", macro=_SPECTRAL_NORM, units=(1,), flops=200),
    ]


def _row(
    name: str,
    arity: int,
    fn: Callable[..., Any],
    signatures: dict[tuple[Kind, ...], Kind],
    units: tuple[float, ...],
    flops: int,
    infix: str | None = None,
) -> Op:
    return Op(name, arity, "M", "signature", fn=fn, signatures=signatures, units=units, flops=flops, infix=infix)


def _by_side(text: str) -> dict[Kind, str]:
    return {"left": text.format("left"), "right": text.format("right")}


def _trace(xp: Any, x: Any) -> Any:
    return xp.trace(x, axis1=-2, axis2=-1)[..., None, None]


def _from_spectrum(xp: Any, vectors: Any, values: Any) -> Any:
    """V diag(λ) Vᵀ, λ a column (R, 1) or a row (1, C)."""
    along = values if values.shape[-2] == 1 else _transpose(xp, values)
    return (vectors * along) @ _transpose(xp, vectors)
