"""Dataflow → machine nodes of the interpreter: one of three register classes each, numbers folded into full instructions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from search_space.dataflow import Dataflow
from search_space.ops import BASE_OPS, OPS
from search_space.program import KINDS, TENSOR_CONSTANTS, Kind, RuleError

Bank = Literal["number", "small", "full"]
_BANK: dict[str, Bank] = {"global": "number", "tensor": "small", "row": "small", "col": "small", "full": "full"}
ONE, ZERO = 0, 1
"""Machine nodes that always exist: the numbers 1 and 0."""


@dataclass(slots=True)
class MachineNode:
    """One instruction or preset register. Operands are machine-node numbers of the right bank; pre, alpha, beta, s are `number` nodes."""

    bank: Bank
    op: str
    args: list[int] = field(default_factory=list)
    pre: int = ONE
    alpha: int = ONE
    beta: int = ZERO
    s: int = ZERO
    preset: float | str | None = None

    def operands(self) -> list[int]:
        """Everything that must be computed before."""
        return [*self.args, self.pre, self.alpha, self.beta, self.s] if self.bank == "full" else self.args


@dataclass(slots=True)
class MachineCode:
    """All nodes, the `result` (full), and slots as (kind, starts as ones, read, next) with `next` in the bank of the kind."""

    nodes: list[MachineNode]
    result: int
    slots: list[tuple[Kind, bool, int, int]]


def lower(flow: Dataflow) -> MachineCode:
    """Choose instructions. Raises `RuleError` for inputs, primitives and slots that the interpreter does not offer."""
    for node in flow.nodes:
        if node.op in OPS and node.op not in BASE_OPS:
            raise RuleError(f"the interpreter has no primitive '{node.op}'; compile the rule instead")
    for slot in flow.slots:
        if slot.kind not in KINDS:
            raise RuleError(f"the interpreter has no slots of kind {slot.kind}; compile the rule instead")
    maker = _Maker(flow)
    return _fold_affine(maker.code())


class _Maker:
    def __init__(self, flow: Dataflow) -> None:
        self.flow = flow
        self.nodes = [MachineNode("number", "preset", preset=1.0), MachineNode("number", "preset", preset=0.0)]
        self.memo: dict[tuple, int] = {}
        self.number: list[int] = []

    def code(self) -> MachineCode:
        for index, node in enumerate(self.flow.nodes):
            self.number.append(self._leaf(index) if node.op not in OPS else self._primitive(index))
        flow = self.flow
        result = self._as_full(flow.result)
        slots: list[tuple[Kind, bool, int, int]] = [
            (s.kind, s.ones, self.number[s.read], self._as_kind(s.next, s.kind)) for s in flow.slots
        ]
        return MachineCode(self.nodes, result, slots)

    def add(self, bank: Bank, op: str, *args: int, **scalars: int) -> int:
        """A node, shared with an earlier equal one."""
        key = (bank, op, args, tuple(sorted(scalars.items())))
        if key not in self.memo:
            self.memo[key] = len(self.nodes)
            self.nodes.append(MachineNode(bank, op, list(args), **scalars))  # type: ignore[arg-type]
        return self.memo[key]

    def _leaf(self, index: int) -> int:
        node, kind = self.flow.nodes[index], self.flow.kinds[index]
        if node.op == "const" and node.ref in (0.0, 1.0):
            return ONE if node.ref else ZERO
        name = str(node.ref)
        if node.op == "input" and name not in ("w", "g", "lr", "t", *TENSOR_CONSTANTS):
            raise RuleError(f"the interpreter has no query input '{name}'; compile the rule instead")
        tag = {"const": node.ref, "hyper": f"hyper:{name}", "input": f"input:{name}", "slot": f"slot:{name}"}[node.op]
        self.nodes.append(MachineNode(_BANK[kind], "preset", preset=tag))
        return len(self.nodes) - 1

    def _primitive(self, index: int) -> int:
        node, kind = self.flow.nodes[index], self.flow.kinds[index]
        op = OPS[node.op]
        if op.rule != "elementwise":
            source = self.flow.kinds[node.args[0]]
            return self.add(_BANK[kind], f"{node.op}:{source}", self.number[node.args[0]])
        if kind == "global":
            return self.add("number", node.op, *(self.number[a] for a in node.args))
        if kind == "full":
            return self._full(node.op, list(node.args))
        return self.add("small", node.op, *(self._as_small(a) for a in node.args))

    def _as_small(self, index: int) -> int:
        return self.add("small", "spread", self.number[index]) if self.flow.kinds[index] == "global" else self.number[index]

    def _as_full(self, index: int) -> int:
        kind = self.flow.kinds[index]
        if kind == "full":
            return self.number[index]
        if kind == "global":
            return self.add("full", "fill", s=self.number[index])
        return self.add("full", f"from_{kind}", self.number[index])

    def _as_kind(self, index: int, kind: str) -> int:
        if kind == "full":
            return self._as_full(index)
        return self.number[index] if kind == "global" else self._as_small(index)

    def _is_number(self, index: int) -> bool:
        return self.flow.kinds[index] == "global"

    def _full(self, op: str, args: list[int]) -> int:
        numbers = [self._is_number(a) for a in args]
        if op == "neg":
            return self.add("full", "id", self._as_full(args[0]), alpha=self._minus_one())
        if len(args) == 2 and any(numbers):
            special = self._with_number(op, args, number_first=numbers[0])
            if special is not None:
                return special
        if op == "lerp" and numbers[2]:
            return self._lerp(args)
        if op == "debias" and numbers[1] and numbers[2]:
            factor = self.add("number", "debias", ONE, self.number[args[1]], self.number[args[2]])
            return self.add("full", "id", self._as_full(args[0]), alpha=factor)
        if op == "where" and numbers[0]:
            return self.add("full", "where_s", self._as_full(args[1]), self._as_full(args[2]), s=self.number[args[0]])
        return self.add("full", op, *map(self._as_full, args))

    def _lerp(self, args: list[int]) -> int:
        s = self.number[args[2]]
        inner = self.flow.nodes[args[0]]
        if inner.op == "square" and self.flow.kinds[args[0]] == "full":
            return self.add("full", "lerp_square_s", self.number[inner.args[0]], self._as_full(args[1]), s=s)
        return self.add("full", "lerp_s", self._as_full(args[0]), self._as_full(args[1]), s=s)

    def _minus_one(self) -> int:
        return self.add("number", "neg", ONE)

    def _with_number(self, op: str, args: list[int], number_first: bool) -> int | None:
        """A primitive of a full value x and a number s."""
        x = self._as_full(args[1] if number_first else args[0])
        s = self.number[args[0] if number_first else args[1]]
        if op == "add":
            return self.add("full", "id", x, beta=s)
        if op == "sub":
            return (
                self.add("full", "id", x, alpha=self._minus_one(), beta=s)
                if number_first
                else self.add("full", "id", x, beta=self.add("number", "neg", s))
            )
        if op == "mul":
            return self.add("full", "id", x, alpha=s)
        if op == "div":
            return (
                self.add("full", "reciprocal", x, alpha=s)
                if number_first
                else self.add("full", "id", x, alpha=self.add("number", "reciprocal", s))
            )
        if op == "ratio" and not number_first:
            return self.add("full", "id", x, alpha=self.add("number", "ratio", ONE, s))
        fused = {
            "max": "max_s",
            "min": "min_s",
            "pow": "s_pow" if number_first else "pow_s",
            "less": "s_less" if number_first else "less_s",
        }.get(op)
        return self.add("full", fused, x, s=s) if fused else None


def _fold_affine(code: MachineCode) -> MachineCode:
    """Merge `id` nodes (alpha · x + beta) into the instruction before, or pure scalings into the first operand of those after."""
    uses = _uses(code)
    for index, node in enumerate(code.nodes):
        if node.bank == "full" and node.op == "id" and node.pre == ONE:
            _into_producer(code, index, uses)
    for index, node in enumerate(code.nodes):
        if node.bank == "full" and node.op == "id" and node.beta == ZERO and node.pre == ONE:
            _into_consumers(code, index)
    return code


def _uses(code: MachineCode) -> dict[int, int]:
    uses: dict[int, int] = dict.fromkeys(range(len(code.nodes)), 0)
    for node in code.nodes:
        for a in node.args:
            uses[a] += 1
    for target in [code.result, *(s[3] for s in code.slots)]:
        uses[target] += 2  # an output must stay in a register of its own
    return uses


def _into_producer(code: MachineCode, index: int, uses: dict[int, int]) -> None:
    node = code.nodes[index]
    producer = code.nodes[node.args[0]]
    if producer.op == "preset" or uses[node.args[0]] != 1:
        return
    if node.alpha != ONE and (producer.beta != ZERO or producer.alpha != ONE):
        return
    if node.beta != ZERO and producer.beta != ZERO:
        return
    alpha = producer.alpha if node.alpha == ONE else node.alpha
    beta = producer.beta if node.beta == ZERO else node.beta
    code.nodes[index] = MachineNode("full", producer.op, producer.args, producer.pre, alpha, beta, producer.s)
    code.nodes[node.args[0]] = MachineNode("full", "dead")


def _into_consumers(code: MachineCode, index: int) -> None:
    node = code.nodes[index]
    users = [n for n in code.nodes if n.bank == "full" and index in n.args]
    others = any(index in n.args for n in code.nodes if n.bank != "full")
    if others or index == code.result or any(index == s[3] for s in code.slots):
        return
    for user in users:
        if user.args.count(index) != 1 or user.pre != ONE:
            return
        if user.args[0] != index and not (user.op in OPS and OPS[user.op].commutative):
            return
    for user in users:
        if user.args[0] != index:
            user.args.reverse()
        user.args[0] = node.args[0]
        user.pre = node.alpha
    code.nodes[index] = MachineNode("full", "dead")
