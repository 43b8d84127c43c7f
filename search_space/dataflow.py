"""Program → the values that matter: kinds inferred, macros expanded, common values shared, dead code dropped.

Dead means: neither the update nor any *later* update depends on it, so a slot that is written but never read on a later step is dead too.
Only rewritings that leave every float32 bit unchanged are applied here (up to the sign of zero and NaN payloads).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from search_space.ops import OPS, Op
from search_space.parse import parse_macro
from search_space.program import EVALUATIONS, INPUT_KINDS, Assign, Const, Evaluation, Expr, Kind, Program, RuleError, Var

_RANK: dict[str, int] = {"global": 0, "tensor": 1, "row": 2, "col": 3, "full": 4}
_JOIN: dict[tuple[str, str], Kind] = {
    (a, b): ("full" if {a, b} == {"row", "col"} else max(a, b, key=_RANK.__getitem__))  # type: ignore[misc]
    for a in _RANK
    for b in _RANK
}
for _square, _axis in (("left", "row"), ("right", "col")):
    for _low in ("global", "tensor", _axis, _square):
        _JOIN[_square, _low] = _JOIN[_low, _square] = _square  # type: ignore[assignment]
_JOIN["history", "history"] = "history"


def fits(kind: Kind, into: Kind) -> bool:
    """Whether a value of one kind can be broadcast to another."""
    return _JOIN.get((kind, into)) == into


def join(name: str, kinds: Sequence[Kind]) -> Kind:
    """The smallest kind that holds all. Raises `RuleError` where there is none."""
    joined: Kind = "global"
    for kind in kinds:
        found = _JOIN.get((joined, kind))
        if found is None:
            raise RuleError(f"{name} cannot combine a {joined} with a {kind} value")
        joined = found
    return joined


class Node(NamedTuple):
    """One value. `op` is a base primitive, or "const", "input", "hyper", "slot" with `ref` telling which."""

    op: str
    args: tuple[int, ...]
    ref: float | str | None = None


class SlotFlow(NamedTuple):
    """A live slot: where it is read, the value it takes at the end of the step."""

    name: str
    kind: Kind
    ones: bool
    read: int
    next: int
    init: str = "zeros"
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Dataflow:
    """Live values in executable order. `kinds[i]` belongs to `nodes[i]`; `result` and slots point into `nodes`."""

    nodes: tuple[Node, ...]
    kinds: tuple[Kind, ...]
    slots: tuple[SlotFlow, ...]
    result: int

    @property
    def statements(self) -> int:
        """Number of executed primitives."""
        return sum(1 for n in self.nodes if n.op in OPS)


def dataflow(program: Program) -> Dataflow:
    """Analyse a program. Raises `RuleError` on a kind error, an undefined name or a wrong arity."""
    builder = _Builder()
    env: dict[str, int] = {h.name: builder.leaf("hyper", h.name, "global") for h in program.hypers}
    env |= {e.name: builder.leaf("input", e.name, EVALUATIONS[e.what][1]) for e in program.plan}
    reads = [builder.leaf("slot", s.name, s.kind) for s in program.slots]
    for slot, read in zip(program.slots, reads, strict=True):
        env[slot.name] = read if isinstance(slot.init, str) else _latched(builder, slot.init, slot.kind, read, env)
    for statement in program.statements():
        env[statement.target] = builder.expr(statement.value, env)
    result = builder.expr(program.result, env)
    slots = []
    for slot, read in zip(program.slots, reads, strict=True):
        new = env[slot.name]
        if not fits(builder.kinds[new], slot.kind):
            raise RuleError(f"slot '{slot.name}' is {slot.kind} and cannot take a {builder.kinds[new]} value")
        init = slot.init if isinstance(slot.init, str) else "zeros"
        slots.append(SlotFlow(slot.name, slot.kind, init == "ones", read, new, init, slot.depth))
    if not fits(builder.kinds[result], "full"):
        raise RuleError(f"the returned value is {builder.kinds[result]}; it must have the shape of the parameter or less")
    return _live(builder, slots, result, _read_between_steps(program))


def point_program(program: Program, point: Expr, earlier: Sequence[Evaluation] = ()) -> Program:
    """A program whose result is an expression over the state between steps (a query's point, or the view)."""
    return Program(program.name, program.slots, program.hypers, (), point, program.queries, tuple(earlier))


def _read_between_steps(program: Program) -> frozenset[str]:
    """Names that query points and the view read: such slots are alive even where no later update depends on them."""
    found: set[str] = set()
    stack: list[Expr] = [e.point for e in program.plan if e.point is not None]
    stack += [program.view] if program.view is not None else []
    while stack:
        expr = stack.pop()
        if isinstance(expr, Var):
            found.add(expr.name)
        elif not isinstance(expr, Const):
            stack.extend(expr.args)
    return frozenset(found)


def _latched(builder: _Builder, init: Expr, kind: Kind, read: int, env: dict[str, int]) -> int:
    """A slot that starts as first(init): zeros in storage, replaced at step 1."""
    inputs = {name: i for name, i in env.items() if builder.nodes[i].op == "hyper"}
    value = builder.expr(init, inputs)
    if not fits(builder.kinds[value], kind):
        raise RuleError(f"first(...) gives a {builder.kinds[value]} value, the slot is {kind}")
    t = builder.leaf("input", "t", "global")
    return builder.call("where", (builder.call("is_first", (t,)), value, read))


class _Builder:
    """Hash-consing: equal values get equal numbers."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.kinds: list[Kind] = []
        self.seen: dict[Node, int] = {}

    def leaf(self, op: str, ref: float | str, kind: Kind) -> int:
        return self._add(Node(op, (), ref), kind)

    def const(self, value: float) -> int:
        return self.leaf("const", float(np.float32(value)), "global")

    def _add(self, node: Node, kind: Kind) -> int:
        index = self.seen.get(node)
        if index is None:
            index = self.seen[node] = len(self.nodes)
            self.nodes.append(node)
            self.kinds.append(kind)
        return index

    def expr(self, expr: Expr, env: dict[str, int]) -> int:
        if isinstance(expr, Var):
            index = env.get(expr.name)
            return index if index is not None else self._input(expr.name)
        if isinstance(expr, Const):
            return self.const(expr.value)
        return self.call(expr.op, tuple([self.expr(a, env) for a in expr.args]))

    def _input(self, name: str) -> int:
        if name not in INPUT_KINDS:
            raise RuleError(f"'{name}' is not defined")
        return self.leaf("input", name, INPUT_KINDS[name])

    def call(self, name: str, args: tuple[int, ...]) -> int:
        op = OPS.get(name)
        if op is None:
            raise RuleError(f"unknown primitive '{name}'")
        if len(args) != op.arity:
            raise RuleError(f"{name} takes {op.arity} arguments, got {len(args)}")
        kind = result_kind(op, [self.kinds[a] for a in args])
        if op.macro is not None:
            return self.macro(macro_text(op, self.kinds[args[0]] if args else "global"), args)
        return self._simplified(name, args, kind)

    def macro(self, text: str, args: tuple[int, ...]) -> int:
        """Expand a definition in the language."""
        body, result = macro_body(text)
        env: dict[str, int] = dict(zip(("x", "y", "z"), args, strict=False))
        for statement in body:
            env[statement.target] = self.expr(statement.value, env)
        return self.expr(result, env)

    def _simplified(self, name: str, args: tuple[int, ...], kind: Kind) -> int:
        """Rewritings that keep every bit; `args` are numbers of earlier values."""
        nodes = self.nodes
        if name in _UNARY_RULES:
            inner = nodes[args[0]]
            action = _UNARY_RULES[name].get(inner.op)
            if action == "drop inner":
                return self.call(name, inner.args)
            if action == "drop outer":
                return args[0]
            if action == "cancel":
                return inner.args[0]
        elif name in ("mul", "div", "pow") and nodes[args[1]] == _ONE:
            return args[0]
        elif name == "mul":
            if nodes[args[0]] == _ONE:
                return args[1]
            if args[0] == args[1]:
                return self.call("square", (args[0],))
        elif name == "add":
            if args[0] == args[1]:
                return self.call("mul", (self.const(2.0), args[0]))
            if nodes[args[1]].op == "neg":
                return self.call("sub", (args[0], nodes[args[1]].args[0]))
            if nodes[args[0]].op == "neg":
                return self.call("sub", (args[1], nodes[args[0]].args[0]))
        elif name == "where" and nodes[args[0]].op == "const":
            chosen = args[1] if nodes[args[0]].ref else args[2]
            if self.kinds[chosen] == kind:
                return chosen
        elif name == "sub" and nodes[args[1]].op == "neg":
            return self.call("add", (args[0], nodes[args[1]].args[0]))
        if name in _FOLDABLE and all(nodes[a].op == "const" for a in args):
            folded = _fold(OPS[name], [nodes[a].ref for a in args])  # type: ignore[misc]
            if folded is not None:
                return self.const(folded)
        if OPS[name].commutative and args[0] > args[1]:
            args = (args[1], args[0])
        return self._add(Node(name, args), kind)


_ONE = Node("const", (), 1.0)
_FOLDABLE = frozenset({"add", "sub", "mul", "div", "neg", "square", "abs", "max", "min"})
_UNARY_RULES: dict[str, dict[str, str]] = {
    "neg": {"neg": "cancel"},
    "abs": {"abs": "drop outer", "square": "drop outer", "neg": "drop inner"},
    "square": {"abs": "drop inner", "neg": "drop inner"},
    "sqrt": {"abs": "drop inner", "neg": "drop inner"},
    "log": {"abs": "drop inner", "neg": "drop inner"},
    "sign": {"sign": "drop outer"},
    "invert": {"neg": "drop inner", "abs": "drop inner"},
}


def _fold(op: Op, values: list[float]) -> float | None:
    """The value of a primitive on constants where float32 makes it a plain number, else None."""
    with np.errstate(all="ignore"):
        value = float(op.fn(np, *map(np.float32, values)))  # type: ignore[misc]
    return value if math.isfinite(value) and (value == 0 or abs(value) >= 1.1754944e-38) else None


def result_kind(op: Op, kinds: Sequence[Kind]) -> Kind:
    """The kind of a primitive's result. Raises `RuleError` where the primitive does not take these kinds."""
    if op.macro is not None:
        return _macro_kind(op.name, tuple(kinds))
    if op.rule == "signature":
        found = op.signatures.get(tuple(kinds))
        if found is None:
            allowed = " or ".join(f"({', '.join(s)})" for s in op.signatures)
            raise RuleError(f"{op.name} takes values of kinds {allowed}, not ({', '.join(kinds)})")
        return found
    joined = join(op.name, kinds)
    if op.rule == "elementwise":
        return joined
    allowed = _REDUCIBLE[op.rule]
    if joined not in allowed:
        raise RuleError(f"{op.name} takes a value of kind {' or '.join(allowed)}, not {joined}")
    return op.rule  # type: ignore[return-value]


def macro_text(op: Op, first: Kind) -> str:
    """The definition of a macro for the kind of its first argument."""
    assert op.macro is not None
    if isinstance(op.macro, str):
        return op.macro
    if first not in op.macro:
        raise RuleError(f"{op.name} takes a value of kind {' or '.join(op.macro)}, not {first}")
    return op.macro[first]


@cache
def _macro_kind(name: str, kinds: tuple[Kind, ...]) -> Kind:
    builder = _Builder()
    arguments = {x: builder.leaf("slot", x, kind) for x, kind in zip(("x", "y", "z"), kinds, strict=False)}
    try:
        text = macro_text(OPS[name], kinds[0] if kinds else "global")
        return builder.kinds[builder.macro(text, tuple(arguments.values()))]
    except RuleError as error:
        raise RuleError(f"{name}: {error}") from None


_REDUCIBLE: dict[str, tuple[Kind, ...]] = {
    "tensor": ("full", "row", "col", "left", "right"),
    "row": ("full", "left"),
    "col": ("full", "right"),
    "global": ("full", "row", "col", "tensor"),
}


@cache
def macro_body(text: str) -> tuple[tuple[Assign, ...], Expr]:
    """Statements (loops unrolled) and result of a macro's definition."""
    return parse_macro(text, ("x", "y", "z"))


def _live(builder: _Builder, slots: list[SlotFlow], result: int, outside: frozenset[str]) -> Dataflow:
    """Keep what the result depends on, now or through slots on later steps, and slots that are read between steps."""
    slot_of = {s.read: s for s in slots}
    live: set[int] = set()
    stack = [result, *(s.read for s in slots if s.name in outside)]
    while stack:
        index = stack.pop()
        if index in live:
            continue
        live.add(index)
        stack.extend(builder.nodes[index].args)
        if index in slot_of:
            stack.append(slot_of[index].next)
    order = sorted(live)
    number = {old: new for new, old in enumerate(order)}
    nodes = tuple(Node(n.op, tuple([number[a] for a in n.args]), n.ref) for n in (builder.nodes[i] for i in order))
    kept = tuple(s._replace(read=number[s.read], next=number[s.next]) for s in slots if s.read in live)
    return Dataflow(nodes, tuple([builder.kinds[i] for i in order]), kept, number[result])
