"""Runs a program on all runs of a recording at once, for the thousands of candidates of evolution; the verdict uses the reference.

Letters: R runs, E elements, T steps. Arrays of one tensor are (R, rows, cols); elementwise programs see all elements as one row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from discover.genome import COPY, Argument, Genome, Line, from_program
from discover.imitate.streams import Array, Streams
from search_space.dataflow import macro_body
from search_space.ops import OPS
from search_space.program import Const, Expr, Program, Var
from search_space.tensors import kind_shape, tensor_constants, view_shape

Group = list[Array]
"""One array for each tensor."""

_POINTWISE = ("elementwise", "nullary")


class Batch:
    """Updates of programs on the first `steps` steps of some runs."""

    def __init__(self, streams: Streams, runs: Sequence[int], steps: int) -> None:
        self.steps = steps
        self.count = len(runs)
        self._layout = streams.layout
        self._g = streams.g[list(runs), :, :steps]
        self._w = streams.w[list(runs), :, :steps]

    def updates(self, program: Program | Genome) -> Array | None:
        """What the program subtracts at learning rate 1, `[R, E, T]`; None where it is not finite."""
        genome = from_program(program) if isinstance(program, Program) else program
        lines = live_lines(genome)
        pointwise = all(op == COPY or OPS[op].rule in _POINTWISE for _, op, _ in lines)
        pointwise = pointwise and all(slot.kind == "full" and isinstance(slot.init, str) for slot in genome.slots)
        shapes = ((self._layout.elements,),) if pointwise else self._layout.shapes
        with np.errstate(all="ignore"):
            return self._run(genome, lines, shapes)

    def _run(self, genome: Genome, lines: Sequence[Line], shapes: Sequence[tuple[int, ...]]) -> Array | None:
        views = [(self.count, *view_shape(shape)) for shape in shapes]
        ends = np.cumsum([int(np.prod(view[1:])) for view in views])[:-1]
        env: dict[Argument, Group] = {h.name: _number(h.default, shapes) for h in genome.hypers}
        constants = [tensor_constants(shape) for shape in shapes]
        env |= {name: [np.float32(c[name]) for c in constants] for name in constants[0]}  # type: ignore[dict-item]
        env["lr"] = _number(1.0, shapes)
        out = np.empty_like(self._g)
        for slot in genome.slots:
            fill = 1.0 if slot.init == "ones" else 0.0
            env[slot.name] = [np.full((self.count, *kind_shape(slot.kind, shape)), fill, np.float32) for shape in shapes]
        for time in range(self.steps):
            for name, values in (("g", self._g), ("w", self._w)):
                env[name] = [x.reshape(view) for x, view in zip(np.split(values[:, :, time], ends, axis=1), views, strict=True)]
            env["t"] = _number(time + 1.0, shapes)
            if time == 0:
                env |= {s.name: _evaluate(s.init, env) for s in genome.slots if not isinstance(s.init, str)}
            for target, op, args in lines:
                env[target] = _call(op, [_argument(env, a, shapes) for a in args], shapes)
            parts = _argument(env, genome.result, shapes)
            full = [np.broadcast_to(x, view).reshape(self.count, -1) for x, view in zip(parts, views, strict=True)]
            now = np.concatenate(full, axis=1)
            if not np.isfinite(now).all():
                return None
            out[:, :, time] = now
        return out


def live_lines(genome: Genome) -> list[Line]:
    """The lines that the result or a slot that reaches it depends on."""
    carried: set[Argument] = set()
    slots = {s.name for s in genome.slots}
    while True:
        needed: set[Argument] = {genome.result, *carried}
        kept: list[Line] = []
        for line in reversed(genome.lines):
            if line[0] in needed:
                needed.discard(line[0])
                needed.update(line[2])
                kept.append(line)
        read = (needed & slots) | carried
        if read == carried:
            return kept[::-1]
        carried = read


def _number(value: float, shapes: Sequence[Any]) -> Group:
    return [np.full((1, 1, 1), value, np.float32)] * len(shapes)


def _argument(env: dict[Argument, Group], argument: Argument, shapes: Sequence[Any]) -> Group:
    return env[argument] if isinstance(argument, str) else _number(argument, shapes)


def _call(op: str, args: list[Group], shapes: Sequence[Any]) -> Group:
    if op == COPY:
        return args[0]
    row = OPS[op]
    if row.macro is not None:
        assert isinstance(row.macro, str)  # macros of the core tiers are single expressions
        return _evaluate(macro_body(row.macro)[1], dict(zip(("x", "y", "z"), args, strict=False)), shapes)
    fn: Callable[..., Any] = row.fn  # type: ignore[assignment]
    if not args:
        return _number(float(fn(np)), shapes)
    parts = [np.asarray(fn(np, *xs), np.float32) for xs in zip(*args, strict=True)]
    if row.rule != "global":
        return parts
    total = np.max(np.stack(parts), axis=0) if row.combine == "max" else np.sum(np.stack(parts), axis=0)
    if row.combine == "mean":
        total = total / sum(x.shape[-1] * x.shape[-2] for x in args[0])
    return [total] * len(parts)


def _evaluate(expr: Expr, env: Any, shapes: Sequence[Any] = ()) -> Group:
    if isinstance(expr, Var):
        return env[expr.name]
    shapes = shapes or [()] * len(next(iter(env.values())))
    if isinstance(expr, Const):
        return _number(expr.value, shapes)
    return _call(expr.op, [_evaluate(a, env, shapes) for a in expr.args], shapes)
