"""The oracle: runs a rule statement by statement in NumPy, as docs/language.md says and nothing more.

It walks the text's own expressions, without dead-code removal or rewriting, so that the other executors are tested against meaning, not
against themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from search_space.dataflow import macro_body, macro_text, result_kind
from search_space.ops import OPS, Op
from search_space.program import INPUT_KINDS, POSITION_INPUTS, TENSOR_CONSTANTS, Const, Expr, Kind, Program, Slot, Var
from search_space.tensors import hyper_values, kind_shape, positions, start_value, tensor_constants, view_shape

_TINY = np.finfo(np.float32).tiny


class Value(list[np.ndarray]):
    """One array for each parameter tensor, in the matrix view, and their kind; a global value repeats the same number."""

    def __init__(self, parts: Iterable[np.ndarray], kind: Kind) -> None:
        super().__init__(parts)
        self.kind: Kind = kind


class ReferenceState(NamedTuple):
    """`step` is the number of updates made; `slots` maps a slot's name to one array for each tensor (matrix view)."""

    step: int
    slots: Mapping[str, Sequence[np.ndarray]]


class Reference:
    """NumPy executor of one rule for tensors of the given shapes.

    Example:
        >>> import numpy as np
        >>> from search_space.parse import parse_program
        >>> rule = Reference(parse_program("def sgd(w, g, lr):\\n    return lr * g"), [(2,)])
        >>> update, state = rule.update([np.ones(2)], rule.init(), [np.zeros(2)], 0.5)
        >>> update[0]
        array([-0.5, -0.5], dtype=float32)
    """

    def __init__(self, program: Program, shapes: Sequence[tuple[int, ...]], hypers: Mapping[str, float] | None = None) -> None:
        self.program = program
        self.shapes = [tuple(s) for s in shapes]
        self.hypers = hyper_values(program.hypers, hypers or {})
        self._statements = program.statements()

    def init(self) -> ReferenceState:
        """State before the first step."""
        return ReferenceState(0, {s.name: Value([self._start(s, shape) for shape in self.shapes], s.kind) for s in self.program.slots})

    def _start(self, slot: Slot, shape: tuple[int, ...]) -> np.ndarray:
        return start_value(np, slot.init, slot.kind, shape, slot.depth).reshape(kind_shape(slot.kind, shape, slot.depth))

    def update(
        self,
        grads: Sequence[Any],
        state: ReferenceState,
        weights: Sequence[Any],
        learning_rate: float,
        queries: Mapping[str, Any] | None = None,
    ) -> tuple[list[np.ndarray], ReferenceState]:
        """One step: (update to *add* to each weight, in its own shape; next state)."""
        with np.errstate(all="ignore"):
            env = self._given = self._inputs(grads, weights, learning_rate, state.step + 1, queries or {})
            slots = {s.name: self._current(s, state, env) for s in self.program.slots}
            env = env | slots
            for statement in self._statements:
                env[statement.target] = self._expr(statement.value, env)
            result = self._expr(self.program.result, env)
            updates = [-self._fill(x, s).reshape(s) for x, s in zip(result, self.shapes, strict=True)]
            slots = {s.name: self._to_kind(env[s.name], s) for s in self.program.slots}
        return updates, ReferenceState(state.step + 1, slots)

    def _inputs(self, grads: Sequence[Any], weights: Sequence[Any], lr: float, step: int, queries: Mapping[str, Any]) -> dict[str, Value]:
        env = {"w": self._views(weights), "g": self._views(grads), "lr": self._number(lr), "t": self._number(step)}
        for name, value in queries.items():
            env[name] = self._views(value) if isinstance(value, list) else self._number(value)
        constants = [tensor_constants(s) | positions(s, k) for k, s in enumerate(self.shapes)]
        for name in (*TENSOR_CONSTANTS, *POSITION_INPUTS):
            parts = [_flush(np.asarray(c[name], np.float32) * np.ones((1, 1), np.float32)) for c in constants]
            env[name] = Value(parts, INPUT_KINDS[name])
        return env | {name: self._number(value) for name, value in self.hypers.items()}

    def _current(self, slot: Slot, state: ReferenceState, env: dict[str, Value]) -> Value:
        if isinstance(slot.init, str) or state.step > 0:
            return Value(state.slots[slot.name], slot.kind)
        return self._to_kind(self._expr(slot.init, env), slot)

    def _views(self, arrays: Sequence[Any]) -> Value:
        return Value([_flush(np.asarray(a, np.float32).reshape(view_shape(s))) for a, s in zip(arrays, self.shapes, strict=True)], "full")

    def _number(self, value: float) -> Value:
        return Value([_flush(np.full((1, 1), value, np.float32)) for _ in self.shapes], "global")

    def _fill(self, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return np.broadcast_to(x, view_shape(shape))

    def _to_kind(self, value: Value, slot: Slot) -> Value:
        shapes = [kind_shape(slot.kind, s, slot.depth) for s in self.shapes]
        return Value([np.broadcast_to(x, s) for x, s in zip(value, shapes, strict=True)], slot.kind)

    def _expr(self, expr: Expr, env: dict[str, Value]) -> Value:
        if isinstance(expr, Var):
            return env[expr.name]
        if isinstance(expr, Const):
            return self._number(expr.value)
        return self._call(OPS[expr.op], [self._expr(a, env) for a in expr.args])

    def _call(self, op: Op, args: list[Value]) -> Value:
        if op.macro is not None:
            return self._macro(op, args)
        assert op.fn is not None
        kind = result_kind(op, [a.kind for a in args])
        if op.combine == "gather":
            return Value([_flush(np.asarray(x, np.float32)) for x in op.fn(np, *args)], kind)
        more: list[dict[str, Any]] = [{"shape": s} if op.shaped else {} for s in self.shapes]
        parts = [_flush(np.asarray(op.fn(np, *xs, **m), np.float32)) for *xs, m in zip(*args, more, strict=True)]
        return Value(parts if op.rule != "global" else self._combine(op, parts, args), kind)

    def _macro(self, op: Op, args: list[Value]) -> Value:
        body, result = macro_body(macro_text(op, args[0].kind if args else "global"))
        env = self._given | dict(zip(("x", "y", "z"), args, strict=False))
        for statement in body:
            env[statement.target] = self._expr(statement.value, env)
        return self._expr(result, env)

    def _combine(self, op: Op, parts: list[np.ndarray], args: list[Value]) -> list[np.ndarray]:
        if op.combine == "max":
            total = np.max(np.stack(parts), axis=0)
        else:
            total = np.sum(np.stack(parts), axis=0, dtype=np.float32)
            if op.combine == "mean":
                total = total / np.float32(sum(x.size for x in args[0]))
        return [_flush(np.asarray(total, np.float32)) for _ in self.shapes]


def _flush(x: np.ndarray) -> np.ndarray:
    """Denormal numbers become zero, with their sign."""
    return np.where(np.abs(x) < _TINY, np.copysign(np.float32(0), x), x)
