"""The start rule's own slots and expressions as nodes, so that a search begins with what its start already knows."""

from __future__ import annotations

from discover.genome import COPY, Argument, from_program
from discover.imitate.products import replaced
from discover.imitate.signals import POINTWISE, REDUCTIONS, G, Node, W
from search_space.program import Program

Value = Node | float | int | None
"""A node, a number, or None for what nodes cannot say."""


def nodes_of(program: Program) -> list[Node]:
    """Slots, temporaries and the update of a program, as far as they can be said as nodes; simplest first."""
    genome = from_program(program)
    slots = {slot.name for slot in genome.slots if slot.init == "zeros"}
    env: dict[Argument, Value] = {"g": G, "w": W, "lr": 1, "t": ("t",)}
    env |= {hyper.name: float(hyper.default) for hyper in genome.hypers}
    env |= {name: ("before", name) for name in slots}
    found: list[Node] = []
    ends: dict[str, Node] = {}
    for target, op, args in genome.lines:
        value = _value(op, [env.get(a) if isinstance(a, str) else a for a in args])
        if target in slots and isinstance(value, tuple):
            value = _slot(target, value)
            if value is not None:
                ends[target] = value
        env[target] = value
        if isinstance(value, tuple):
            found.append(value)
    terms = tuple(found)
    for name, end in ends.items():
        terms = replaced(terms, ("before", name), ("lag", end))
    return list(dict.fromkeys(term for term in terms if term not in (G, W) and not _mentions(term, ("before", "t"))))


def _value(op: str, args: list[Value]) -> Value:
    if any(arg is None for arg in args):
        return None
    if op == COPY:
        return args[0]
    if op == "debias":
        x, b, time = args
        return ("debias", x, b, 0) if isinstance(x, tuple) and isinstance(b, float) and time == ("t",) else None
    if op == "mul" and 1 in args and any(isinstance(arg, int) for arg in args):
        return args[1] if args[0] == 1 else args[0]
    if op == "lerp" or op in REDUCTIONS:
        return (op, *args)
    op = {"div": "ratio", "clip_by_global_norm": ""}.get(op, op)
    return (op, *args) if op in POINTWISE and any(isinstance(arg, tuple) for arg in args) else None


def _slot(name: str, value: Node) -> Node | None:
    """The slot's node, from what is assigned to it; None where the assignment is of no known form."""
    before: Node = ("before", name)
    op, *args = value
    if op == "lerp" and args[1] == before and isinstance(args[2], float) and isinstance(args[0], tuple):
        made: Node = ("ema", args[0], args[2])
    elif op in ("add", "max") and before in args:
        made = ("total" if op == "add" else "record", args[1 - args.index(before)])
    elif op in ("add", "max"):
        kept = [arg for arg in args if isinstance(arg, tuple) and arg[0] == "mul" and before in arg]
        other = [arg for arg in args if arg not in kept]
        numbers = [part for arg in kept for part in arg[1:] if isinstance(part, float)]
        if len(kept) != 1 or not numbers or not isinstance(other[0], tuple):
            return None
        made = ("trace" if op == "add" else "peak", other[0], numbers[0])
    else:
        made = value
    return None if not isinstance(made[1], tuple) or _holds(made, before) else made


def _holds(node: Node, inner: Node) -> bool:
    return node == inner or any(_holds(arg, inner) for arg in node[1:] if isinstance(arg, tuple))


def _mentions(node: Node, ops: tuple[str, ...]) -> bool:
    return node[0] in ops or node[0] == "lerp" or any(_mentions(arg, ops) for arg in node[1:] if isinstance(arg, tuple))
