"""Kinds, common subexpressions and loop-carried liveness of genomes, in one forward walk of integer look-ups.

Every distinct value (an input, a number, a primitive of other values) gets one integer, its node, for the life of a `Flow`; the kind
and the slots it reads are computed once, when the node is made. Search meets the same values again and again, so a walk costs a
dictionary look-up for each line. It is a filter in front of `search_space.dataflow`, which stays the authority: two genomes of equal
`live_form` run the same arithmetic, the converse does not hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from discover.genome import COPY, Argument, Genome, inputs
from discover.kinds import KIND_BITS, result_kind
from search_space.ops import OPS
from search_space.program import INPUT_KINDS, Call, Const, Expr, Slot, Var

ILLEGAL = -1
"""Node of a value that breaks a kind rule."""

BASES = 10_000
"""Declarations whose values are kept at hand."""

LiveForm = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """Nodes of a genome: one for each line, the value of each name at the end, and the live form (None: `problem` says why)."""

    nodes: tuple[int, ...]
    form: LiveForm | None
    problem: str | None = None


class _Calls(dict[tuple[str | int, ...], int]):
    """(primitive, node, node, …) → node; misses make the node."""

    def __init__(self, flow: Flow):
        super().__init__()
        self.flow = flow

    def __missing__(self, key: tuple[str | int, ...]) -> int:
        node = self.flow.make_call(key)
        self[key] = node
        return node


class _Numbers(dict[Argument, int]):
    """number → node; a missing *name* is a KeyError, which is how undefined names show."""

    def __init__(self, flow: Flow):
        super().__init__()
        self.flow = flow

    def __missing__(self, key: Argument) -> int:
        if isinstance(key, str):
            raise KeyError(key)
        node = self[key] = self.flow.new_node(KIND_BITS["global"], 0)
        return node


class Flow:
    """A table of nodes. Memory grows with the number of distinct values, about 0.3 kB each; `clear` forgets all."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget every node; walks made before mean nothing afterwards."""
        self.kinds: list[int] = []
        self.reads: list[int] = []
        self.calls = _Calls(self)
        self.numbers = _Numbers(self)
        self.names: dict[tuple[object, ...], int] = {}
        self.slot_count = 0
        self.bases: dict[tuple[int, int], tuple[Genome, dict[str, int]]] = {}

    def new_node(self, kind: int, reads: int) -> int:
        """A node of this kind; `reads` has a bit for each slot it depends on."""
        self.kinds.append(kind)
        self.reads.append(reads)
        return len(self.kinds) - 1

    def make_call(self, key: tuple[str | int, ...]) -> int:
        """Node of a primitive applied to nodes, ILLEGAL where the kind rule is broken."""
        op, args = str(key[0]), [int(a) for a in key[1:]]
        if ILLEGAL in args:
            return ILLEGAL
        if op == COPY:
            return args[0]
        if OPS[op].commutative and args[0] > args[1]:
            return self.calls[op, args[1], args[0]]
        kind = result_kind(op, tuple([self.kinds[arg] for arg in args]))
        if kind is None:
            return ILLEGAL
        reads = 0
        for arg in args:
            reads |= self.reads[arg]
        return self.new_node(kind, reads)

    def base(self, genome: Genome) -> dict[str, int]:
        """Values of names before the first line, as a dictionary of the caller's own."""
        key = (id(genome.slots), id(genome.hypers))  # most children share their parent's declarations, as objects
        known = self.bases.get(key)
        if known is not None and known[0].slots is genome.slots and known[0].hypers is genome.hypers and known[0].queries == genome.queries:
            return known[1].copy()
        if len(self.bases) > BASES:
            self.bases.clear()
        env = self._base(genome)
        self.bases[key] = (genome, env)
        return env.copy()

    def _base(self, genome: Genome) -> dict[str, int]:
        env: dict[str, int] = {}
        for name in inputs(genome):
            env[name] = self.named(("input", name), KIND_BITS[INPUT_KINDS[name]])
        for hyper in genome.hypers:
            env[hyper.name] = self.numbers[hyper.default + 0.0]
        for slot in genome.slots:
            init = slot.init if isinstance(slot.init, str) else self.expression(slot.init, env)
            env[slot.name] = self.named(("slot", slot.name, slot.kind, init), KIND_BITS[slot.kind])
        return env

    def before(self, genome: Genome, nodes: tuple[int, ...], line: int) -> dict[str, int]:
        """Values of names before `line`, given the nodes of (at least) the lines above it."""
        env = self.base(genome)
        env.update(zip([target for target, _, _ in genome.lines[:line]], nodes, strict=False))
        return env

    def walk(self, genome: Genome, start: int = 0, known: tuple[int, ...] = ()) -> Walk:
        """Check kinds and find the live form; lines above `start` are known to have the nodes `known`."""
        env = self.before(genome, known, start)
        nodes = list(known[:start])
        calls, numbers, kinds = self.calls, self.numbers, self.kinds
        try:
            for target, op, args in genome.lines[start:]:
                node = calls[(op, *[env[arg] if arg.__class__ is str else numbers[arg] for arg in args])]  # type: ignore[index]
                if node < 0:
                    return Walk(tuple(nodes), None, f"kind of {op}")
                env[target] = node
                nodes.append(node)
            result = genome.result
            root = env[result] if isinstance(result, str) else numbers[result]
        except KeyError:
            return Walk(tuple(nodes), None, "undefined name")
        for slot in genome.slots:
            limit = KIND_BITS[slot.kind]
            if kinds[env[slot.name]] | limit != limit:
                return Walk(tuple(nodes), None, "kind of slot")
        return Walk(tuple(nodes), self.live_form(genome, env, root))

    def live_form(self, genome: Genome, env: dict[str, int], root: int) -> LiveForm:
        """The result's node, then (start node, final node) of each slot that the result depends on, over any number of steps."""
        if not genome.slots:
            return (root,)
        starts = [(self.slot_node(genome, slot), env[slot.name]) for slot in genome.slots]
        reads, live, waiting = self.reads, self.reads[root], starts
        form: list[int] = [root]
        while waiting:
            reached = [pair for pair in waiting if reads[pair[0]] & live]
            if not reached:
                break
            waiting = [pair for pair in waiting if not reads[pair[0]] & live]
            for _, final in reached:
                live |= reads[final]
        for pair in starts:
            if pair not in waiting:
                form.extend(pair)
        return tuple(form)

    def live_slots(self, genome: Genome, walk: Walk) -> set[str]:
        """Names of the slots that the update depends on, over any number of steps."""
        assert walk.form is not None
        reached = set(walk.form[1::2])
        return {slot.name for slot in genome.slots if self.slot_node(genome, slot) in reached}

    def slot_node(self, genome: Genome, slot: Slot) -> int:
        """Node of a slot's value at the start of a step."""
        init = slot.init if isinstance(slot.init, str) else self.expression(slot.init, self.base(genome))
        return self.names["slot", slot.name, slot.kind, init]

    def named(self, key: tuple[object, ...], kind: int) -> int:
        """Node of an input or a slot."""
        node = self.names.get(key)
        if node is None:
            reads = 0
            if key[0] == "slot":
                reads = 1 << self.slot_count
                self.slot_count += 1
            node = self.names[key] = self.new_node(kind, reads)
        return node

    def expression(self, expr: Expr, env: Mapping[str, int]) -> int:
        """Node of an expression tree."""
        if isinstance(expr, Const):
            return self.numbers[expr.value + 0.0]
        if isinstance(expr, Var):
            return env[expr.name]
        assert isinstance(expr, Call)
        return self.calls[(expr.op, *[self.expression(arg, env) for arg in expr.args])]
