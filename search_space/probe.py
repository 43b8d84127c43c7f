"""What a rule does on fixed gradient streams, in NumPy: the fast behavioural executor behind keys and fingerprints.

All probe tensors have one shape, so that every primitive is a single NumPy call: arrays are (K, R, C), K tensors of R rows and C columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from search_space.dataflow import Dataflow
from search_space.ops import OPS

_SHAPES = {"full": (1, 1, 1), "row": (1, 1, 0), "col": (1, 0, 1), "tensor": (1, 0, 0), "global": (0, 0, 0)}


@dataclass(frozen=True)
class Stream:
    """Recorded inputs: `inputs[step][name]`, gradients and weights of shape (K, R, C)."""

    shape: tuple[int, int, int]
    inputs: tuple[dict[str, np.ndarray], ...]


@cache
def real_stream() -> Stream:
    """Non-zero, well-scaled float64 inputs with another gradient scale at each step (for `real_key`)."""
    rng = np.random.default_rng(20)
    shape, scales = (2, 2, 3), (1.0, 0.01, 30.0, 0.5, 3.0, 0.1)
    steps = []
    for t, scale in enumerate(scales, start=1):
        g = scale * _away_from_zero(rng, shape)
        steps.append(_step(g, _away_from_zero(rng, shape), t, 0.37, rng))
    return Stream(shape, tuple(steps))


@cache
def behaviour_stream() -> Stream:
    """Float32 inputs as training makes them: noisy, sparse, with a jump of scale, then decaying (for fingerprints)."""
    rng = np.random.default_rng(21)
    shape = (2, 3, 4)
    drift = rng.normal(size=shape)
    steps = []
    for t, scale in enumerate((1.0, 1.0, 0.3, 3.0, 0.1, 0.03, 0.01, 0.01), start=1):
        g = scale * (drift + 0.7 * rng.normal(size=shape))
        g[rng.random(shape) < 0.15] = 0.0
        inputs = _step(g, 0.3 * rng.normal(size=shape), t, 0.01, rng)
        steps.append({k: v.astype(np.float32) for k, v in inputs.items()})
    return Stream(shape, tuple(steps))


def _away_from_zero(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.choice([-1.0, 1.0], size=shape) * (0.2 + rng.gamma(2.0, 0.5, size=shape))


def _step(g: np.ndarray, w: np.ndarray, t: int, lr: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    number, tensor = np.ones((1, 1, 1)), np.ones((g.shape[0], 1, 1))
    rows, cols = float(g.shape[1]), float(g.shape[2])
    constants = {"numel": rows * cols, "fan_in": rows, "fan_out": cols, "ndim": 2.0}
    queries = {"f": number * rng.gamma(4.0, 0.25), "h": rng.gamma(2.0, 0.5, size=g.shape), "g2": g * g + 0.1}
    return {"g": g, "w": w, "lr": number * lr, "t": number * t, **{k: tensor * v for k, v in constants.items()}, **queries}


def simulate(flow: Dataflow, stream: Stream, hypers: Mapping[str, float] | None = None) -> tuple[np.ndarray, int]:
    """Run a rule: (updates to subtract, (T, K, R, C); number of steps that ended finite, T if all did).

    `hypers` gives every hyperparameter its value. Steps after the first non-finite one are left zero.
    """
    dtype = stream.inputs[0]["g"].dtype
    plan, slots = _plan(flow, stream, dtype, hypers or {})
    values: list[Any] = [None] * len(flow.nodes)
    state = [np.full(_shape(s.kind, stream.shape), float(s.ones), dtype) for s in flow.slots]
    out = np.zeros((len(stream.inputs), *stream.shape), dtype)
    with np.errstate(all="ignore"):
        for step, inputs in enumerate(stream.inputs):
            for slot, value in zip(slots, state, strict=True):
                values[slot] = value
            for index, fn, args, combine, name in plan:
                if fn is None:
                    values[index] = inputs[name] if name else args
                elif combine is None:
                    values[index] = fn(np, *[values[a] for a in args])
                else:
                    values[index] = _combine(combine, fn(np, values[args[0]]), values[args[0]])
            out[step] = values[flow.result]
            state = [np.broadcast_to(values[s.next], _shape(s.kind, stream.shape)) for s in flow.slots]
            if not np.isfinite(out[step]).all() or not all(np.isfinite(x).all() for x in state):
                out[step] = 0
                return out, step
    return out, len(stream.inputs)


def _plan(flow: Dataflow, stream: Stream, dtype: Any, hypers: Mapping[str, float]) -> tuple[list[tuple], list[int]]:
    """Steps of the evaluation: (value number, function, argument numbers or a constant array, combine, input name)."""
    plan: list[tuple] = []
    for index, node in enumerate(flow.nodes):
        if node.op == "const" or node.op == "hyper":
            number = node.ref if node.op == "const" else hypers[str(node.ref)]
            plan.append((index, None, np.full((1, 1, 1), number, dtype), None, None))
        elif node.op == "input":
            plan.append((index, None, (), None, node.ref))
        elif node.op != "slot":
            op = OPS[node.op]
            plan.append((index, op.fn, node.args, op.combine, None))
    return plan, [s.read for s in flow.slots]


def _combine(how: str, parts: np.ndarray, argument: np.ndarray) -> np.ndarray:
    if how == "max":
        return parts.max(axis=0, keepdims=True)
    total = parts.sum(axis=0, keepdims=True)
    return total / argument.dtype.type(argument.size) if how == "mean" else total


def _shape(kind: str, shape: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(n if keep else 1 for n, keep in zip(shape, _SHAPES[kind], strict=True))
