"""The oracle: runs a rule statement by statement in NumPy, as docs/language.md says and nothing more.

It walks the text's own expressions, without dead-code removal or rewriting, so that the other executors are tested against meaning, not
against themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from search_space.ops import OPS, Op
from search_space.parse import parse_expression
from search_space.program import Const, Expr, Program, Slot, Var
from search_space.tensors import hyper_values, kind_shape, tensor_constants, view_shape

_TINY = np.finfo(np.float32).tiny
Value = list[np.ndarray]
"""One array for each parameter tensor, in the matrix view; a global value repeats the same number."""


class ReferenceState(NamedTuple):
    """`step` is the number of updates made; `slots` maps a slot's name to one array for each tensor (matrix view)."""

    step: int
    slots: dict[str, Value]


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
        return ReferenceState(0, {s.name: [self._start(s, shape) for shape in self.shapes] for s in self.program.slots})

    def _start(self, slot: Slot, shape: tuple[int, ...]) -> np.ndarray:
        return np.full(kind_shape(slot.kind, shape), 1.0 if slot.init == "ones" else 0.0, np.float32)

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
            env = self._inputs(grads, weights, learning_rate, state.step + 1, queries or {})
            slots = {s.name: self._current(s, state, env) for s in self.program.slots}
            env.update(slots)
            for statement in self._statements:
                env[statement.target] = self._expr(statement.value, env)
            result = self._expr(self.program.result, env)
            updates = [-self._fill(x, s).reshape(s) for x, s in zip(result, self.shapes, strict=True)]
            slots = {
                s.name: [self._to_kind(x, s, shape) for x, shape in zip(env[s.name], self.shapes, strict=True)] for s in self.program.slots
            }
        return updates, ReferenceState(state.step + 1, slots)

    def _inputs(self, grads: Sequence[Any], weights: Sequence[Any], lr: float, step: int, queries: Mapping[str, Any]) -> dict[str, Value]:
        env = {"w": self._views(weights), "g": self._views(grads), "lr": self._number(lr), "t": self._number(step)}
        for name, value in queries.items():
            env[name] = self._number(value) if np.ndim(value) == 0 and not isinstance(value, list) else self._views(value)
        constants = [tensor_constants(s) for s in self.shapes]
        env |= {name: [_flush(np.full((1, 1), c[name], np.float32)) for c in constants] for name in ("numel", "fan_in", "fan_out", "ndim")}
        return env | {name: self._number(value) for name, value in self.hypers.items()}

    def _current(self, slot: Slot, state: ReferenceState, env: dict[str, Value]) -> Value:
        if isinstance(slot.init, str) or state.step > 0:
            return state.slots[slot.name]
        value = self._expr(slot.init, env)
        return [self._to_kind(x, slot, shape) for x, shape in zip(value, self.shapes, strict=True)]

    def _views(self, arrays: Sequence[Any]) -> Value:
        return [_flush(np.asarray(a, np.float32).reshape(view_shape(s))) for a, s in zip(arrays, self.shapes, strict=True)]

    def _number(self, value: float) -> Value:
        return [_flush(np.full((1, 1), value, np.float32)) for _ in self.shapes]

    def _fill(self, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return np.broadcast_to(x, view_shape(shape))

    def _to_kind(self, x: np.ndarray, slot: Slot, shape: tuple[int, ...]) -> np.ndarray:
        return np.broadcast_to(x, kind_shape(slot.kind, shape))

    def _expr(self, expr: Expr, env: dict[str, Value]) -> Value:
        if isinstance(expr, Var):
            return env[expr.name]
        if isinstance(expr, Const):
            return self._number(expr.value)
        return self._call(OPS[expr.op], [self._expr(a, env) for a in expr.args])

    def _call(self, op: Op, args: list[Value]) -> Value:
        if op.macro is not None:
            return self._expr(parse_expression(op.macro, ("x", "y", "z")), dict(zip(("x", "y", "z"), args, strict=False)) | self._pad(args))
        assert op.fn is not None
        if op.arity == 0 or not args:
            return self._number(op.fn(np))
        parts = [_flush(np.asarray(op.fn(np, *xs), np.float32)) for xs in zip(*args, strict=True)]
        return parts if op.rule != "global" else self._combine(op, parts, args)

    def _pad(self, args: list[Value]) -> dict[str, Value]:
        return {} if args else {"x": self._number(0.0)}

    def _combine(self, op: Op, parts: Value, args: list[Value]) -> Value:
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
