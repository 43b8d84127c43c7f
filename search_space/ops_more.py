"""Noise (tier N), order statistics (S) and histories (H): primitives that known rules need and search does not draw.

Noise is a pure function of (stream number, step, tensor, element): the same in every executor, with no key to carry.
"""

from __future__ import annotations

from typing import Any

from search_space.op import Op
from search_space.program import Kind

_GOLDEN = 0x9E3779B9
_TWO_PI = 6.283185307


def _mix(xp: Any, x: Any) -> Any:
    """Bijective hash of u32 (lowbias32; Chris Wellons, "Prospecting for Hash Functions", 2018)."""
    x = (x ^ (x >> 16)) * xp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * xp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def _whole(xp: Any, x: Any) -> Any:
    """A number as u32, in quarters: stream numbers may be 0.25 apart."""
    x = xp.round(4.0 * xp.asarray(x, xp.float32))
    return xp.where(xp.isfinite(x), xp.abs(x) % 16777216.0, xp.zeros_like(x)).astype(xp.uint32)


def _hash_uniform(xp: Any, x: Any, stream: Any, step: Any, tensor: Any) -> Any:
    """Uniform in (0, 1), of x's shape, from the position of each element and three numbers."""
    rows, cols = x.shape[-2:]
    place = xp.arange(rows * cols, dtype=xp.uint32).reshape(rows, cols)
    bits = _mix(xp, xp.broadcast_to(place, x.shape) * xp.uint32(_GOLDEN) + xp.uint32(1))
    for number in (stream, step, tensor):
        bits = _mix(xp, bits ^ (_whole(xp, number) * xp.uint32(_GOLDEN)))
    return ((bits >> 9).astype(xp.float32) + xp.float32(0.5)) * xp.float32(2.0**-23)


def _quantile_of(xp: Any, flat: Any, q: Any) -> Any:
    """Linear interpolation between order statistics of the last axis; q (…, 1) in [0, 1]."""
    ordered = xp.sort(flat, axis=-1)
    last = flat.shape[-1] - 1
    place = xp.clip(q, 0.0, 1.0) * last
    low = xp.floor(place)
    below = xp.take_along_axis(ordered, xp.clip(low, 0, last).astype(xp.int32), axis=-1)
    above = xp.take_along_axis(ordered, xp.clip(low + 1, 0, last).astype(xp.int32), axis=-1)
    return below + (place - low).astype(flat.dtype) * (above - below)


def _quantile(xp: Any, x: Any, q: Any) -> Any:
    flat = x.reshape(*x.shape[:-2], -1)
    where = xp.broadcast_to(q, (*x.shape[:-2], 1, 1))[..., 0]
    return _quantile_of(xp, flat, where)[..., None]


def _global_quantile(xp: Any, xs: list[Any], qs: list[Any]) -> list[Any]:
    flat = xp.concatenate([x.reshape(-1) for x in xs])
    return [_quantile_of(xp, flat, qs[0].reshape(1)).reshape(1, 1)] * len(xs)


def _rank_match(xp: Any, x: Any, y: Any) -> Any:
    """Each element of x replaced by the element of y of the same rank; of equal elements the earlier has the lower rank."""
    flat, other = x.reshape(*x.shape[:-2], -1), xp.sort(y.reshape(*y.shape[:-2], -1), axis=-1)
    rank = xp.argsort(xp.argsort(flat, axis=-1, stable=True), axis=-1, stable=True)
    return xp.take_along_axis(other, rank, axis=-1).reshape(x.shape)


def _push(xp: Any, history: Any, x: Any) -> Any:
    return xp.concatenate([xp.broadcast_to(x, history.shape[1:])[None], history[:-1]])


def _place(xp: Any, history: Any, k: Any) -> Any:
    """Which entry: 1 where it is number k (rounded, 0 the newest), shape (D, 1, 1)."""
    return (xp.arange(history.shape[0], dtype=xp.float32) == xp.round(k).reshape(-1)[0])[:, None, None]


def _recall(xp: Any, history: Any, k: Any) -> Any:
    return xp.sum(xp.where(_place(xp, history, k), history, xp.zeros_like(history)), axis=0)


def _store(xp: Any, history: Any, k: Any, x: Any) -> Any:
    return xp.where(_place(xp, history, k), xp.broadcast_to(x, history.shape[1:])[None], history)


def _gram_solve(xp: Any, histories: list[Any], xs: list[Any], eps: list[Any], power: list[Any]) -> list[Any]:
    """((Σ hᵢhᵢᵀ)^power + eps)⁻¹ x over all tensors as one vector, through the D × D Gram matrix.

    Solved apart in the span of the history and outside of it, so that a small eps does not magnify rounding errors of the one in the other.
    """
    depth = histories[0].shape[0]
    rows = [h.reshape(depth, -1) for h in histories]
    flat = [xp.broadcast_to(x, h.shape[1:]).reshape(-1) for x, h in zip(xs, histories, strict=True)]
    values, vectors = xp.linalg.eigh(sum(r @ r.T for r in rows))
    e, p = eps[0].reshape(()), power[0].reshape(())
    kept = values > 1e-6 * xp.max(values)  # float32 noise of the Gram matrix
    safe = xp.where(kept, values, xp.ones_like(values))
    along = vectors.T @ sum(r @ x for r, x in zip(rows, flat, strict=True))
    along = xp.where(kept, along / safe, xp.zeros_like(along))
    outside = [x - r.T @ (vectors @ along) for x, r in zip(flat, rows, strict=True)]
    size = [sum(xp.sum(x * x) for x in part) for part in (flat, outside)]
    counts = size[1] > 1e-10 * size[0]
    inside = vectors @ (along / (safe**p + e))
    return [
        (r.T @ inside + xp.where(counts, o / e, xp.zeros_like(o))).reshape(h.shape[1:])
        for o, r, h in zip(outside, rows, histories, strict=True)
    ]


def _window_mean(xp: Any, x: Any, shape: tuple[int, ...]) -> Any:
    """Mean over the window of a convolution kernel (all axes but the last two), for each pair of channels."""
    if len(shape) < 3:
        return x
    window = x.reshape(*x.shape[:-2], -1, shape[-2], shape[-1])
    return xp.broadcast_to(xp.mean(window, axis=-3, keepdims=True), window.shape).reshape(x.shape)


def more_ops() -> list[Op]:
    """Rows of tiers N, S and H, and the window mean of kernels."""
    return [*_noise(), *_order(), *_history()]


def _noise() -> list[Op]:
    normal = f"sqrt(-2.0 * log(uniform(x, y + 0.25))) * cos({_TWO_PI} * uniform(x, y + 0.5))"
    return [
        Op("hash_uniform", 4, "N", fn=_hash_uniform, flops=20),
        Op("uniform", 2, "N", macro="hash_uniform(x, y, t, tensor_index)", units=(0, 0), flops=20),
        Op("global_uniform", 1, "N", macro="hash_uniform(1.0, x, t, 0.0)", flops=20),
        Op("normal", 2, "N", macro=normal, units=(0, 0), flops=60),
        Op("rademacher", 2, "N", macro="sign(uniform(x, y) - 0.5)", units=(0, 0), flops=22),
    ]


def _order() -> list[Op]:
    full: dict[tuple[Kind, ...], Kind] = {("full", "full"): "full"}
    everywhere: dict[tuple[Kind, ...], Kind] = {("full", "global"): "global"}
    kinds: tuple[Kind, ...] = ("full", "row", "col", "left", "right")
    quantile: dict[tuple[Kind, ...], Kind] = {(x, q): "tensor" for x in kinds for q in ("global", "tensor")}
    return [
        Op("quantile", 2, "S", "signature", fn=_quantile, signatures=quantile, units=(1, 0), flops=20),
        Op("floor", 1, "S", fn=lambda xp, x: xp.floor(x)),
        Op("median", 1, "S", macro="quantile(x, 0.5)", units=(1,), flops=20),
        Op("global_quantile", 2, "S", "signature", fn=_global_quantile, combine="gather", signatures=everywhere, units=(1, 0), flops=20),
        Op("rank_match", 2, "S", "signature", fn=_rank_match, signatures=full, units=(0, 1), flops=60),
        Op("window_mean", 1, "M", "signature", fn=_window_mean, signatures={("full",): "full"}, units=(1,), shaped=True),
    ]


def _history() -> list[Op]:
    solve: dict[tuple[Kind, ...], Kind] = {("history", "full", "global", "global"): "full"}
    return [
        Op("push", 2, "H", "signature", fn=_push, signatures={("history", "full"): "history"}, units="same"),
        Op("recall", 2, "H", "signature", fn=_recall, signatures={("history", "global"): "full"}, units=(1, 0)),
        Op("store", 3, "H", "signature", fn=_store, signatures={("history", "global", "full"): "history"}, units=(1, 0, 1)),
        Op("history_sum", 1, "H", "signature", fn=lambda xp, h: xp.sum(h, axis=0), signatures={("history",): "full"}, units=(1,)),
        Op("gram_solve", 4, "H", "signature", fn=_gram_solve, combine="gather", signatures=solve, flops=100),
    ]
