"""A tiny closed-loop training in NumPy: says in a fraction of a millisecond whether a rule can descend at all.

Two tensors are trained on a few noisy quadratics at many learning rates, all in one array [members, tensors, rows, columns]. The verdict
is *lossy*: it is evidence about a rule, not proof, so what it rejects is audited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from search_space.dataflow import Dataflow
from search_space.ops import OPS

PROBLEMS, TENSORS, ROWS, COLS, STEPS = 2, 2, 3, 4, 12
RATES = tuple(10.0 ** (-4.5 + 0.5 * i) for i in range(11))
EXPLODES = 10.0
"""A loss that grows by this factor at every learning rate is an explosion."""

Array = np.ndarray
_LOSS_FLOOR = np.float32(1e-6)


class Probe(NamedTuple):
    """What a probe found: `reason` None or the name of a reject; `gain`, the mean log of final/initial loss at the best rate."""

    reason: str | None
    gain: float


@dataclass(frozen=True, slots=True)
class _World:
    """The problems: start w0, optimum, curvature [members, T, R, C], noise [steps, members, T, R, C], rates [members, 1, 1, 1]."""

    start: Array
    optimum: Array
    curvature: Array
    noise: Array
    rates: Array
    times: Array
    constants: dict[str, Array]


@cache
def world() -> _World:
    """The same problems in every process: seeded, drawn once."""
    random = np.random.default_rng(20240229)
    shape, members = (PROBLEMS, 1, TENSORS, ROWS, COLS), (PROBLEMS, len(RATES), TENSORS, ROWS, COLS)

    def spread(values: Array) -> Array:
        flat = np.broadcast_to(values, members).reshape(-1, TENSORS, ROWS, COLS)
        return np.ascontiguousarray(flat, np.float32)

    scale = np.array([1.0, 0.1]).reshape(1, 1, TENSORS, 1, 1)  # tensors differ, so that global_sum is not sum
    curvature = 10.0 ** random.uniform(-1.5, 0.0, shape) * scale
    noise = 0.1 * random.standard_normal((STEPS, *shape)) * scale
    rates = np.broadcast_to(np.array(RATES).reshape(1, -1, 1, 1, 1), (PROBLEMS, len(RATES), 1, 1, 1))
    numbers = {"numel": ROWS * COLS, "fan_in": ROWS, "fan_out": COLS, "ndim": 2}
    return _World(
        start=spread(0.3 * random.standard_normal(shape)),
        optimum=spread(random.standard_normal(shape)),
        curvature=spread(curvature),
        noise=np.stack([spread(step) for step in noise]),
        rates=np.ascontiguousarray(rates.reshape(-1, 1, 1, 1), np.float32),
        times=np.arange(1, STEPS + 1, dtype=np.float32).reshape(-1, 1, 1, 1, 1),
        constants={name: np.full((1, 1, 1, 1), value, np.float32) for name, value in numbers.items()},
    )


def probe(flow: Dataflow, hypers: Mapping[str, float], margin: float = 0.05) -> Probe:
    """Train and judge; `margin` is the least mean fall of log loss that counts as descent, `hypers` values by name."""
    here = world()
    with np.errstate(all="ignore"):
        initial, final, alive = _train(flow, hypers, here)
        ratios = np.where(alive & np.isfinite(final), final / initial, np.inf).reshape(PROBLEMS, -1)
    best = ratios.min(axis=1)
    gain = float(np.mean(np.log(best))) if np.all(np.isfinite(best)) else float("inf")
    return Probe(_reason(ratios, best, gain, margin), gain)


def _reason(ratios: Array, best: Array, gain: float, margin: float) -> str | None:
    if not np.all(np.isfinite(best)):
        return "nonfinite"
    if np.all(best > EXPLODES):
        return "explodes"
    if np.all(np.abs(ratios - 1.0) < 1e-6):
        return "no_motion"
    return "no_descent" if gain > -margin else None


def _train(flow: Dataflow, hypers: Mapping[str, float], here: _World) -> tuple[Array, Array, Array]:
    """Losses [members] at the start and the end; which members' slots ended finite."""
    run = _compile(flow, hypers)
    slots = [_start(slot.kind, slot.ones) for slot in flow.slots]
    w = here.start
    for step in range(STEPS):
        g = here.curvature * (w - here.optimum) + here.noise[step]
        update, slots = run(w, g, here.times[step], slots)
        w = w - update
        if step % 4 == 0 and not np.isfinite(w).any():
            break
    alive = np.ones(len(w), bool)
    for slot in slots:
        alive &= np.isfinite(slot).all(axis=(1, 2, 3))
    return _loss(here.start, here), _loss(w, here), alive


def _loss(w: Array, here: _World) -> Array:
    gap = w - here.optimum
    return 0.5 * np.einsum("mtrc,mtrc->m", here.curvature, gap * gap) + _LOSS_FLOOR


def _start(kind: str, ones: bool) -> Array:
    shape = {"global": (1, 1, 1), "tensor": (TENSORS, 1, 1), "row": (TENSORS, ROWS, 1), "col": (TENSORS, 1, COLS)}
    return np.full((1, *shape.get(kind, (TENSORS, ROWS, COLS))), float(ones), np.float32)


Run = Callable[[Array, Array, Array, list[Array]], tuple[Array, list[Array]]]


def _compile(flow: Dataflow, hypers: Mapping[str, float]) -> Run:
    """The rule as a list of NumPy calls on registers; what does not change over steps is filled in once."""
    here = world()
    start: list[Any] = [None] * len(flow.nodes)
    places: dict[str, int] = {}
    calls: list[tuple[int, Callable[..., Array], tuple[int, ...]]] = []
    for i, node in enumerate(flow.nodes):
        if node.op in ("const", "hyper"):
            number = node.ref if node.op == "const" else hypers[str(node.ref)]
            start[i] = np.full((1, 1, 1, 1), number, np.float32)
        elif node.op == "slot":
            places[f"slot {node.ref}"] = i
        elif node.op == "input" and node.ref in ("w", "g", "t"):
            places[str(node.ref)] = i
        elif node.op == "input":
            start[i] = here.rates if node.ref == "lr" else here.constants[str(node.ref)]
        else:
            calls.append((i, function(node.op), node.args))
    return _runner(flow, start, places, calls)


def _runner(
    flow: Dataflow, start: list[Any], places: dict[str, int], calls: list[tuple[int, Callable[..., Array], tuple[int, ...]]]
) -> Run:
    reads = [slot.read for slot in flow.slots]
    nexts = [slot.next for slot in flow.slots]

    def run(w: Array, g: Array, t: Array, slots: list[Array]) -> tuple[Array, list[Array]]:
        regs = start.copy()
        for name, value in (("w", w), ("g", g), ("t", t)):
            if name in places:
                regs[places[name]] = value
        for place, value in zip(reads, slots, strict=True):
            regs[place] = value
        for out, call, args in calls:
            regs[out] = call(*[regs[a] for a in args])
        return regs[flow.result], [_widen(regs[i], old) for i, old in zip(nexts, slots, strict=True)]

    return run


def _widen(value: Array, like: Array) -> Array:
    """A slot's value in the shape of its kind (a lower kind may have been assigned)."""
    return value if value.shape[1:] == like.shape[1:] else np.broadcast_to(value, (len(value), *like.shape[1:]))


@cache
def function(name: str) -> Callable[..., Array]:
    """NumPy function of a base primitive over [members, tensors, rows, columns]."""
    op = OPS[name]
    fn = op.fn
    assert fn is not None, f"{name} is a macro"
    if op.rule != "global":
        return lambda *args: fn(np, *args)
    if op.combine == "max":
        return lambda x: fn(np, x).max(axis=1, keepdims=True)
    if op.combine == "mean":
        return lambda x: fn(np, x).sum(axis=1, keepdims=True) / np.float32(x[0].size)
    return lambda x: fn(np, x).sum(axis=1, keepdims=True)
