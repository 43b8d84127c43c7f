"""Expressions over whole recorded streams: each node is an array over all steps, so that a slot is one filter call.

A node is a nested tuple `(op, *arguments)`; arguments are nodes or numbers. Letters: R runs, E elements, T steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.signal import lfilter

from discover.imitate.streams import Array, Layout

Node = tuple[Any, ...]

G: Node = ("g",)
W: Node = ("w",)
U: Node = ("u",)
"""The target's own update, which a rule may keep for the next step."""


def ratio(a: Array, b: Array) -> Array:
    """`a / b`, 0 where b is 0: the language's primitive."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b != 0)


def ema(x: Array, b: float, start: float = 0.0) -> Array:
    """`s = lerp(x, s, b)` from a starting value."""
    return np.asarray(lfilter([1.0 - b], [1.0, -b], x, axis=-1)) + _fading(x, b, start)


def _fading(x: Array, b: float, start: float) -> Array:
    return start * b ** _time(x) if start else np.zeros(1)


def warm(x: Array, b: float) -> Array:
    """`s = lerp(x, s, b)` from the first x."""
    return np.asarray(lfilter([1.0 - b], [1.0, -b], x, axis=-1, zi=b * x[..., :1])[0])


def trace(x: Array, b: float) -> Array:
    """`s = b * s + x` from zero."""
    return np.asarray(lfilter([1.0], [1.0, -b], x, axis=-1))


def _time(x: Array) -> Array:
    return np.arange(1, x.shape[-1] + 1, dtype=float)


def debias(x: Array, b: float, ahead: float = 0.0) -> Array:
    """`debias(x, b, t + ahead)`."""
    return x / (1.0 - b ** (_time(x) + ahead))


def peak(x: Array, b: float) -> Array:
    """`s = max(b * s, x)` from zero."""
    out = np.empty_like(x)
    s = np.zeros(x.shape[:-1])
    for step in range(x.shape[-1]):
        s = np.maximum(b * s, x[..., step])
        out[..., step] = s
    return out


def lag(x: Array) -> Array:
    """The value of the step before, 0 at the first."""
    out = np.zeros_like(x)
    out[..., 1:] = x[..., :-1]
    return out


def held(x: Array) -> Array:
    """The value of the step before, the present one at the first."""
    out = lag(x)
    out[..., 0] = x[..., 0]
    return out


def pulled(x: Array, b: float, start: float = 0.0) -> Array:
    """`s = s + (1 - b) * sign(x - s) * x` from a starting value: moves by x towards x."""
    out = np.empty_like(x)
    s = np.full(x.shape[:-1], start)
    for step in range(x.shape[-1]):
        now = x[..., step]
        s = s + (1.0 - b) * np.sign(now - s) * now
        out[..., step] = s
    return out


def signed_root(x: Array) -> Array:
    """`sign(x) * sqrt(x)`."""
    return np.sign(x) * np.sqrt(np.abs(x))


POINTWISE: dict[str, Callable[..., Array]] = {
    "ones": np.ones_like,
    "time": lambda x: np.broadcast_to(_time(x), x.shape),
    "abs": np.abs,
    "square": np.square,
    "cube": lambda x: x**3,
    "sqrt": lambda x: np.sqrt(np.abs(x)),
    "cbrt": np.cbrt,
    "sign": np.sign,
    "neg": np.negative,
    "exp": np.exp,
    "tanh": np.tanh,
    "arctan": np.arctan,
    "arcsinh": np.arcsinh,
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "log1p": lambda x: np.log1p(np.abs(x)),
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "ratio": ratio,
    "max": np.maximum,
    "min": np.minimum,
    "where": lambda c, a, b: np.where(c != 0, a, b),
    "clip": lambda x, c: np.clip(x, -c, c),
    "less": lambda a, b: np.asarray(np.less(a, b), dtype=float),
    "pow": lambda a, b: np.where(a > 0, np.abs(a), 0.0) ** b,
}
SLOTS: dict[str, Callable[..., Array]] = {
    "ema": ema,
    "warm": warm,
    "debiased": lambda x, b: debias(ema(x, b), b),
    "trace": trace,
    "peak": peak,
    "pulled": pulled,
    "total": lambda x: np.cumsum(x, axis=-1),
    "record": lambda x: np.maximum(np.maximum.accumulate(x, axis=-1), 0.0),
    "lag": lag,
    "held": held,
    "debias": debias,
}
"""What depends on earlier steps or on the step itself; those with a number have a decay between 0 and 1."""
REDUCTIONS: dict[str, Callable[[Array], Array]] = {
    "mean": lambda x: x.mean(axis=1),
    "sum": lambda x: x.sum(axis=1),
    "norm": lambda x: np.sqrt(np.square(x).sum(axis=1)),
    "rms": lambda x: np.sqrt(np.square(x).mean(axis=1)),
    "norm1": lambda x: np.abs(x).sum(axis=1),
    "norm_inf": lambda x: np.abs(x).max(axis=1),
    "std": lambda x: x.std(axis=1),
}


class Signals:
    """Values of nodes on fixed streams, `[R, E, T]` each, remembered by node."""

    def __init__(self, g: Array, w: Array, layout: Layout, u: Array | None = None, capacity: int = 1500) -> None:
        self.layout = layout
        self.evaluated = 0
        self._inputs = {G: g.astype(float), W: w.astype(float)} | ({} if u is None else {U: u.astype(float)})
        self._memo: dict[Node, Array] = {}
        self._capacity = capacity

    def __call__(self, node: Node | float) -> Array:
        """The value of a node, or of a number."""
        if not isinstance(node, tuple):
            return np.asarray(float(node))
        found = self._inputs.get(node)
        if found is None:
            found = self._memo.get(node)
        if found is not None:
            return found
        value = self._compute(node)
        if len(self._memo) >= self._capacity:
            self._memo.clear()
        self._memo[node] = value
        return value

    def _compute(self, node: Node) -> Array:
        self.evaluated += 1
        op, *args = node
        with np.errstate(all="ignore"):
            if op in SLOTS:
                return SLOTS[op](self(args[0]), *args[1:])
            if op in REDUCTIONS:
                return self._reduce(op, self(args[0]))
            if op == "global_norm":
                x = np.broadcast_to(self(args[0]), self._inputs[G].shape)
                return np.broadcast_to(np.sqrt(np.square(x).sum(axis=1, keepdims=True)), x.shape)
            if op.startswith(("row_", "col_")):
                return self._reduce_axis(op[4:], self(args[0]), 1 if op.startswith("row_") else 0)
            return POINTWISE[op](*(self(arg) for arg in args))

    def _reduce(self, op: str, x: Array) -> Array:
        out = np.empty(self._inputs[G].shape)
        x = np.broadcast_to(x, out.shape)
        for part in self.layout.slices():
            out[:, part] = REDUCTIONS[op](x[:, part])[:, None]
        return out

    def _reduce_axis(self, op: str, x: Array, axis: int) -> Array:
        out = np.empty(self._inputs[G].shape)
        for part, shape in zip(self.layout.slices(), self.layout.shapes, strict=True):
            cols = shape[-1] if shape else 1
            grid = x[:, part].reshape(x.shape[0], -1, cols, x.shape[-1])
            moved = np.moveaxis(grid, 1 + axis, 1)
            flat = np.stack([REDUCTIONS[op](moved[:, :, k]) for k in range(moved.shape[2])], axis=1)
            out[:, part] = np.broadcast_to(np.expand_dims(flat, 1 + axis), grid.shape).reshape(out[:, part].shape)
        return out


def constants(node: Node) -> tuple[float, ...]:
    """Numbers in a node, each shared subexpression counted once, in a fixed order."""
    return tuple(value for _, _, value in _sites(node))


def _sites(node: Node) -> list[tuple[Node, int, float]]:
    found: list[tuple[Node, int, float]] = []
    seen: set[Node] = set()

    def visit(item: Node) -> None:
        if item in seen:
            return
        seen.add(item)
        for place, arg in enumerate(item[1:], 1):
            if isinstance(arg, tuple):
                visit(arg)
            elif isinstance(arg, float):
                found.append((item, place, arg))

    visit(node)
    return found


def constant_sites(node: Node) -> list[tuple[str, float]]:
    """(kind, value) of each number in a node, in the order of `constants`; kinds are `unit`, `scale` and `number`."""
    return [
        ("unit" if site[0] in SLOTS and place == 2 else "number" if site[0] == "pow" else "scale", value)
        for site, place, value in _sites(node)
    ]


def with_constants(node: Node, values: tuple[float, ...]) -> Node:
    """The node with other numbers, in the order of `constants`."""
    new = {(site[0], site[1]): float(value) for site, value in zip(_sites(node), values, strict=True)}

    def build(item: Node) -> Node:
        parts: list[Any] = [item[0]]
        for place, arg in enumerate(item[1:], 1):
            parts.append(build(arg) if isinstance(arg, tuple) else new.get((item, place), arg))
        return tuple(parts)

    return build(node)


def shape_of(node: Node) -> Node:
    """The node without its numbers: what makes two candidates the same structure."""
    return tuple(shape_of(arg) if isinstance(arg, tuple) else ("#" if isinstance(arg, float) else arg) for arg in node)
