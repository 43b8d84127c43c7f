"""Plain transcription of the published 39-feature optimizer (AdafacMLPLOpt of learned_optimization, arXiv 2203.11860), as an oracle.

Everything is formed as the authors form it: statistics stacked on a last axis of decays, all 39 features of all parameters in one
array, three matrix products. `xp` is numpy (float64 there) or jax.numpy (for timing the un-fused form).
"""

from __future__ import annotations

from typing import Any

import numpy as np

TIMES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000)


def decay(start: float, offset: Any, xp: Any = np) -> Any:
    """The decay that a meta-learned offset stands for."""
    return 1 - xp.exp(10 * (np.log(1 - start) / 10 + offset))


def two_axes(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """(second largest axis, largest axis)."""
    if len(shape) < 2:
        return None
    order = np.argsort(shape)
    return int(order[-2]), int(order[-1])


def start(shape: tuple[int, ...], xp: Any = np) -> dict[str, Any]:
    """State before the first step."""
    axes = two_axes(shape)
    state = {"m": xp.zeros((*shape, 3)), "v": xp.zeros((*shape, 1)), "t": 0}
    if axes is None:
        return {**state, "full": xp.zeros((*shape, 3))}
    d1, d0 = axes
    return {**state, "row": xp.zeros((*np.delete(shape, d0), 3)), "col": xp.zeros((*np.delete(shape, d1), 3))}


def safe_rsqrt(x: Any, xp: Any) -> Any:
    return 1 / xp.sqrt(xp.maximum(x, 1e-9))


def step(theta: dict[str, Any], g: Any, p: Any, state: dict[str, Any], xp: Any = np) -> tuple[Any, dict[str, Any]]:
    """What is subtracted from the weights, and the next state."""
    shape = g.shape
    b_m = xp.stack([decay(b, o, xp) for b, o in zip((0.9, 0.99, 0.999), theta["momentum_decays"], strict=True)])
    b_v = xp.clip(xp.stack([decay(0.999, theta["second_decays"][0], xp)]), 0, 1)
    b_f = xp.clip(xp.stack([decay(b, o, xp) for b, o in zip((0.9, 0.99, 0.999), theta["factored_decays"], strict=True)]), 0, 1)
    new = {"t": state["t"] + 1}
    new["m"] = b_m * state["m"] + (1 - b_m) * g[..., None]
    new["v"] = b_v * state["v"] + (1 - b_v) * (g * g)[..., None]
    rsqrt = 1 / xp.sqrt(new["v"] + 1e-6)
    square, axes = (g * g + 1e-30)[..., None], two_axes(shape)
    if axes is None:
        new["full"] = full = b_f * state["full"] + (1 - b_f) * square
        fac_g = g[..., None] * safe_rsqrt(full + 1e-9, xp)
        one, two = full, full
        fac_m = new["m"] * (full + 1e-6) ** -0.5
    else:
        d1, d0 = axes
        new["row"] = row = b_f * state["row"] + (1 - b_f) * xp.mean(square, axis=d0)
        new["col"] = col = b_f * state["col"] + (1 - b_f) * xp.mean(square, axis=d1)
        mean = xp.mean(row, axis=d1 - 1 if d1 > d0 else d1, keepdims=True)
        factor = xp.expand_dims(safe_rsqrt(row / (mean + 1e-9), xp), d0) * xp.expand_dims(safe_rsqrt(col, xp), d1)
        fac_g, fac_m = g[..., None] * factor, new["m"] * factor
        one = xp.broadcast_to(xp.expand_dims(row, d0), (*shape, 3))
        two = xp.broadcast_to(xp.expand_dims(col, d1), (*shape, 3))
    features = xp.concatenate(
        [
            g[..., None],
            p[..., None],
            new["m"],
            new["v"],
            new["m"] * rsqrt,
            rsqrt,
            fac_g,
            one,
            two,
            1 / xp.sqrt(one + 1e-8),
            1 / xp.sqrt(two + 1e-8),
            fac_m,
        ],
        axis=-1,
    )
    features = features / xp.sqrt(1e-5 + xp.mean(features**2, axis=tuple(range(len(shape))), keepdims=True))
    time = xp.broadcast_to(xp.tanh(state["t"] / xp.asarray(TIMES) - 1.0), (*shape, len(TIMES)))
    net, x = theta["network"], xp.concatenate([features, time], axis=-1)
    x = xp.maximum(x @ net["w0"] + net["b0"], 0)
    x = xp.maximum(x @ net["w1"] + net["b1"], 0)
    x = x @ net["w2"] + net["b2"]
    return x[..., 0] * xp.exp(1e-3 * x[..., 1]) * 1e-3, new
