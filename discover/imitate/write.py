"""Turns fitted forms into programs of the language: slots, hyperparameters and statements with names that people would give them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from discover.imitate.fit import Form
from discover.imitate.signals import G, Node, U, W
from search_space.program import Assign, Call, Const, Expr, Hyper, Kind, Prior, Program, Slot, Var

_TENSOR_OPS = ("mean", "sum", "norm", "rms", "norm1", "norm_inf", "std")
_ORDER: tuple[Kind, ...] = ("full", "col", "row", "tensor")
_LETTERS = "mvnsapqrxyz"


def _pull(x: Expr, s: Expr, b: Expr) -> Expr:
    return Call("mul", (Call("sub", (Const(1.0), b)), Call("sign", (Call("sub", (x, s)),))))


_UPDATES: dict[str, Callable[[Expr, Expr, Expr], Expr]] = {
    "ema": lambda x, s, b: Call("lerp", (x, s, b)),
    "warm": lambda x, s, b: Call("lerp", (x, s, b)),
    "trace": lambda x, s, b: Call("add", (Call("mul", (b, s)), x)),
    "peak": lambda x, s, b: Call("max", (Call("mul", (b, s)), x)),
    "total": lambda x, s, b: Call("add", (s, x)),
    "record": lambda x, s, b: Call("max", (s, x)),
    "pulled": lambda x, s, b: Call("add", (s, Call("mul", (_pull(x, s, b), x)))),
}
"""How each kind of slot takes its next value, from the quantity, the slot and the decay."""

_OUTER: dict[str, Callable[[Expr], Expr]] = {
    "identity": lambda x: x,
    "signed_root": lambda x: Call("mul", (Call("sign", (x,)), Call("sqrt", (x,)))),
    "signed_square": lambda x: Call("mul", (x, Call("abs", (x,)))),
    "signed_log1p": lambda x: Call("mul", (Call("sign", (x,)), Call("log1p", (x,)))),
}


def program_of(form: Form, name: str = "found") -> Program:
    """The program of a form."""
    return _Writer().program(form, name)


class _Writer:
    """Walks nodes once, in the order of the step, and collects statements."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []
        self.hypers: dict[tuple[Prior, float], Hyper] = {}
        self.before: list[Assign] = []
        self.body: list[Assign] = []
        self.after: list[Assign] = []
        self.names: dict[Node, Expr] = {}
        self.uses: dict[Node, int] = {}

    def program(self, form: Form, name: str) -> Program:
        self.names[U] = Var("u")
        terms = tuple(_spelled(term) for term in form.terms)
        for term in terms:
            self._count(term)
        inner = self._combination(terms, form.coefficients)
        needs_name = form.outer.startswith("signed") and not isinstance(inner, Var)
        if needs_name:
            name_of_inner = self._fresh("x")
            self.body.append(Assign(name_of_inner, inner))
            inner = Var(name_of_inner)
        out = _OUTER.get(form.outer, lambda x: Call(form.outer, (x,)))(inner)
        if form.outer == "clip":
            limit = self._number("scale", form.scale)
            out = Call("clip", (inner, Call("neg", (limit,)), limit))
        elif form.scale != 1.0:
            out = _scaled(self._number("number", form.scale), out)
        if form.decay != 0.0:
            out = Call("add", (out, Call("mul", (self._number("scale" if form.decay > 0 else "number", form.decay, "decay"), Var("w")))))
        if self.after:
            # What runs after the update must not change what it reads.
            self.body.append(Assign("u", out))
            out = Var("u")
        body = tuple(self.before + self.body + self.after)
        return Program(name, tuple(self.slots), tuple(self.hypers.values()), body, Call("mul", (Var("lr"), out)))

    def _combination(self, terms: tuple[Node, ...], coefficients: tuple[float, ...]) -> Expr:
        if len(terms) == 2 and abs(sum(coefficients) - 1.0) < 1e-9 and 0 < coefficients[0] < 1:
            # A weighted mean: the larger weight is the kept one, as in lerp(g, m, 0.9).
            (x, a), (y, b) = sorted(zip(terms, coefficients, strict=True), key=lambda pair: pair[1])
            del a
            return Call("lerp", (self._expr(x), self._expr(y), self._number("unit", b)))
        total: Expr | None = None
        for term, c in zip(terms, coefficients, strict=True):
            size = abs(c)
            x = self._expr(term) if size == 1.0 else _scaled(self._number("number", size), self._expr(term))
            if total is None:
                total = x if c > 0 else Call("neg", (x,))
            else:
                total = Call("add" if c > 0 else "sub", (total, x))
        assert total is not None
        return total

    def _count(self, node: Node) -> None:
        self.uses[node] = self.uses.get(node, 0) + 1
        if self.uses[node] == 1:
            for arg in node[1:]:
                if isinstance(arg, tuple):
                    self._count(arg)

    def _expr(self, node: Node | float) -> Expr:
        if not isinstance(node, tuple):
            return Const(float(node)) if isinstance(node, int) else self._number("scale" if node > 0 else "number", node)
        if node in (G, W):
            return Var(node[0])
        if node not in self.names:
            self.names[node] = self._define(node)
        return self.names[node]

    def _define(self, node: Node) -> Expr:
        op = node[0]
        if op in _UPDATES:
            return self._slot(node)
        if op in ("ones", "time"):
            return Const(1.0) if op == "ones" else Var("t")
        if op == "lag":
            return self._last(node[1])
        if op == "held":
            return self._kept(node[1], self._plain(node[1]))
        if op == "debias":
            time: Expr = Var("t") if node[3] == 0 else Call("add", (Var("t"), Const(float(node[3]))))
            return Call("debias", (self._expr(node[1]), self._number("unit", node[2]), time))
        if op == "clip":
            limit = self._expr(node[2])
            return Call("clip", (self._expr(node[1]), Call("neg", (limit,)), limit))
        if op == "pow":
            return Call("pow", (self._expr(node[1]), Const(node[2])))
        made = Call(op, tuple(self._expr(arg) for arg in node[1:]))
        if self.uses.get(node, 0) > 1:
            name = self._fresh("h")
            self.body.append(Assign(name, made))
            return Var(name)
        return made

    def _slot(self, node: Node) -> Expr:
        update = self._update(node)
        self.body.append(update)
        return Var(update.target)

    def _update(self, node: Node) -> Assign:
        op, source, *numbers = node
        x = self._expr(source)
        slot = Slot(self._fresh("m" if source == G else "v"), kind_of(source), self._start(op, source, numbers[1:]))
        self.slots.append(slot)
        decay: Expr = self._number("unit", numbers[0]) if numbers else Const(1.0)
        return Assign(slot.name, _UPDATES[op](x, Var(slot.name), decay))

    def _start(self, op: str, source: Node, start: list[float]) -> Expr | Literal["zeros"]:
        """A slot's first value: a number, or a plain function of the inputs."""
        if start:
            return self._number("scale", start[0], "init")
        return self._plain(source) if op == "warm" else "zeros"

    def _plain(self, node: Node | float) -> Expr:
        if not isinstance(node, tuple) or node in (G, W):
            return self._expr(node)
        return Call(node[0], tuple(self._plain(arg) for arg in node[1:]))

    def _last(self, x: Node) -> Expr:
        if x[0] in _UPDATES and self.uses.get(x, 0) == 1:
            # Nobody reads the new value, so the slot is updated at the end; later finds go in front, they may read this one's old value.
            update = self._update(x)
            self.after.insert(0, update)
            return Var(update.target)
        value = self._expr(x)
        if x[0] in _UPDATES:
            assert isinstance(value, Var)
            # The slot itself still holds its old value at the top of the step.
            name = self._fresh(f"last_{value.name}")
            self.before.append(Assign(name, value))
            return Var(name)
        return self._kept(x, "zeros")

    def _kept(self, x: Node, start: Expr | Literal["zeros"]) -> Expr:
        """A slot that holds a value for the next step."""
        value = self._expr(x)
        slot = Slot(self._fresh("p"), kind_of(x), start)
        self.slots.append(slot)
        self.after.insert(0, Assign(slot.name, value))
        return Var(slot.name)

    def _fresh(self, wanted: str) -> str:
        taken = {s.name for s in self.slots} | {a.target for a in (*self.before, *self.body)} | {h.name for h in self.hypers.values()}
        if wanted not in taken:
            return wanted
        if wanted in _LETTERS:
            for letter in _LETTERS:
                if letter not in taken:
                    return letter
        return next(f"{wanted}{k}" for k in range(2, 1000) if f"{wanted}{k}" not in taken)

    def _number(self, prior: Prior, value: float, name: str | None = None) -> Var:
        key = (prior, value)
        if key not in self.hypers:
            count = sum(1 for p, _ in self.hypers if p == prior) + 1
            stem = name or {"unit": f"b{count}", "scale": "eps" if value < 0.02 else f"c{count}", "number": f"k{count}"}[prior]
            self.hypers[key] = Hyper(self._fresh(stem), prior, value)
        return Var(self.hypers[key].name)


def _scaled(c: Expr, x: Expr) -> Expr:
    return Call("mul", (c, x))


def _spelled(node: Node) -> Node:
    """The node with bias-corrected averages written as a correction of an average, so that slots are shared."""
    args = tuple(_spelled(arg) if isinstance(arg, tuple) else arg for arg in node[1:])
    if node[0] == "debiased":
        return ("debias", ("ema", args[0], args[1]), args[1], 0)
    if node[0] == "debias" and len(args) == 2:
        return ("debias", *args, 0)
    return (node[0], *args)


def kind_of(node: Node | float) -> Kind:
    """The smallest kind that holds a node's value."""
    if not isinstance(node, tuple):
        return "global"
    if node in (G, W, U):
        return "full"
    if node[0] in ("ones", "time"):
        return "global"
    if node[0] in _TENSOR_OPS:
        return "tensor"
    if node[0] == "global_norm":
        return "global"
    if node[0].startswith("row_"):
        return "row"
    if node[0].startswith("col_"):
        return "col"
    kinds = {kind_of(arg) for arg in node[1:]}
    if {"row", "col"} <= kinds:
        return "full"
    held: list[Kind] = [kind for kind in _ORDER if kind in kinds]
    return held[0] if held else "global"
