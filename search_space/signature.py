"""The head of a rule: `(w, g, lr, queries, *, slots and hyperparameters)`."""

from __future__ import annotations

import ast
from typing import Literal

from search_space.expressions import Expressions
from search_space.program import (
    CORE_INPUTS,
    EVALUATIONS,
    KINDS,
    PRIORS,
    QUERY_INPUTS,
    READ_ONLY,
    SQUARE_KINDS,
    Evaluation,
    Expr,
    Hyper,
    Slot,
)
from search_space.syntax import MAX_HISTORY, check_name, fail, number

_STARTS = ("zeros", "ones", "identity")


class Signature:
    """Parsed declarations: `queries`, `plan`, `slots`, `hypers`, and the names that the body may read or not assign."""

    def __init__(self, node: ast.FunctionDef) -> None:
        args = node.args
        names = [a.arg for a in args.args]
        given = len(args.args) - len(args.defaults)
        if args.posonlyargs or args.vararg or args.kwarg or tuple(names[:3]) != CORE_INPUTS or given < 3:
            fail(node, "the arguments must begin `w, g, lr`; slots and hyperparameters follow a `*`")
        self.expressions = Expressions({*CORE_INPUTS, *READ_ONLY})
        self.readable = self.expressions.readable
        self.slots: list[Slot] = []
        self.hypers: list[Hyper] = []
        self.queries = tuple([_bare_query(arg) for arg in args.args[3:given]])
        self.readable.update(self.queries)
        self._declarations(args, set(names))
        self.plan = self._plan(args.args[given:], args.defaults)
        self.read_only = {*READ_ONLY, *self.queries, *(h.name for h in self.hypers), *(e.name for e in self.plan)}

    def _declarations(self, args: ast.arguments, taken: set[str]) -> None:
        starts: list[ast.expr] = []
        for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
            check_name(arg, arg.arg)
            if arg.arg in taken | self.readable | {d.name for d in (*self.slots, *self.hypers)}:
                fail(arg, f"'{arg.arg}' is declared twice or is the name of an input")
            if default is None:
                fail(arg, f"'{arg.arg}' needs an initial value or a default")
            label, depth = _label(arg)
            if label in PRIORS:
                self.hypers.append(Hyper(arg.arg, label, _default(default, label)))  # type: ignore[arg-type]
            else:
                self.slots.append(Slot(arg.arg, label, depth=depth))  # type: ignore[arg-type]
                starts.append(default)
        # A slot's initial value may read hyperparameters declared after it, so values are parsed once all names are known.
        self.readable |= {h.name for h in self.hypers}
        self.slots = [Slot(s.name, s.kind, self._init(s, value), s.depth) for s, value in zip(self.slots, starts, strict=True)]
        self.readable |= {s.name for s in self.slots}

    def _init(self, slot: Slot, node: ast.expr) -> Expr | Literal["zeros", "ones", "identity"]:
        if isinstance(node, ast.Name) and node.id in _STARTS:
            if node.id == "identity" and slot.kind not in SQUARE_KINDS:
                fail(node, f"only slots of kind {' and '.join(SQUARE_KINDS)} start as identity")
            return node.id  # type: ignore[return-value]
        if slot.kind == "history":
            fail(node, "a history starts as zeros or ones")
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "first"
            and len(node.args) == 1
            and not node.keywords
        ):
            return self.expressions.parse(node.args[0])
        fail(node, "the initial value of a slot is zeros, ones, identity or first(expression)")

    def _plan(self, args: list[ast.arg], defaults: list[ast.expr]) -> tuple[Evaluation, ...]:
        plan: list[Evaluation] = []
        for arg, default in zip(args, defaults, strict=True):
            check_name(arg, arg.arg)
            if arg.arg in self.readable - set(QUERY_INPUTS) or arg.arg in self.queries or arg.arg in CORE_INPUTS:
                fail(arg, f"'{arg.arg}' is declared twice or is the name of an input")
            plan.append(self._evaluation(arg.arg, default))
            self.readable.add(arg.arg)
        return tuple(plan)

    def _evaluation(self, name: str, node: ast.expr) -> Evaluation:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in EVALUATIONS):
            fail(node, f"a query is one of {', '.join(EVALUATIONS)}, called")
        what = node.func.id
        count = EVALUATIONS[what][0]
        if len(node.args) != count:
            fail(node, f"{what} takes {count} argument{'s' * (count != 1)}, got {len(node.args)}")
        every = 1
        for word in node.keywords:
            period = word.value.value if isinstance(word.value, ast.Constant) else None
            if word.arg != "every" or type(period) is not int or period < 1:
                fail(node, "the only keyword of a query is every=N, with a literal N of at least 1")
            every = period
        return Evaluation(name, what, self.expressions.parse(node.args[0]) if count else None, every)


def _bare_query(arg: ast.arg) -> str:
    if arg.arg not in QUERY_INPUTS:
        fail(arg, f"unknown query input '{arg.arg}'; allowed: {', '.join(QUERY_INPUTS)}, or name=evaluation({', '.join(EVALUATIONS)})")
    return arg.arg


def _label(arg: ast.arg) -> tuple[str, int]:
    """Kind or prior of a declaration, and the depth of a history (`full[5]`)."""
    note, allowed = arg.annotation, (*KINDS, *SQUARE_KINDS, *PRIORS)
    if isinstance(note, ast.Subscript) and isinstance(note.value, ast.Name) and note.value.id == "full":
        depth = note.slice.value if isinstance(note.slice, ast.Constant) else None
        if type(depth) is not int or not 1 <= depth <= MAX_HISTORY:
            fail(arg, f"the depth of a history is a literal from 1 to {MAX_HISTORY}")
        return "history", depth
    label = note.id.replace("Global", "global") if isinstance(note, ast.Name) else ""
    if label not in allowed:
        fail(arg, f"'{arg.arg}' needs a kind or prior; allowed: {', '.join(allowed)}, full[N]")
    return label, 0


def _default(node: ast.expr, prior: str) -> float:
    value = number(node)
    if value is None:
        fail(node, "the default of a hyperparameter must be a number")
    if prior == "unit" and not 0 <= value <= 1:
        fail(node, f"a `unit` hyperparameter lies in [0, 1], not {value!r}")
    if prior == "scale" and value < 0:
        fail(node, f"a `scale` hyperparameter is not negative, got {value!r}")
    return value
