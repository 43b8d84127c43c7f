"""Random programs for tests of the language: most statements are live, every primitive and kind occurs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from random import Random

from search_space.dataflow import result_kind
from search_space.ops import CORE_OPS, OPS
from search_space.program import KINDS, Assign, Call, Const, Expr, Hyper, Kind, Program, RuleError, Slot, Var

_LEAVES: tuple[tuple[str, Kind], ...] = (
    ("g", "full"),
    ("w", "full"),
    ("lr", "global"),
    ("t", "global"),
    ("fan_in", "tensor"),
    ("numel", "tensor"),
)
_LIFT: dict[Kind, tuple[Kind, ...]] = {
    "full": KINDS,
    "row": ("global", "tensor", "row"),
    "col": ("global", "tensor", "col"),
    "tensor": ("global", "tensor"),
    "global": ("global",),
}


def live_program(rng: Random, statements: int = 14, slots: int = 3) -> Program:
    """A kind-correct program; each statement tries to use a value that nothing has used yet, and the update uses the rest."""
    declared = tuple(Slot(f"s{i}", rng.choice(KINDS), _init(rng)) for i in range(rng.randint(0, slots)))
    hypers = (Hyper("b", "unit", round(1 - 10 ** -rng.uniform(0.2, 3), 6)), Hyper("c", "number", round(rng.gauss(0, 1), 4)))
    env: dict[str, Kind] = dict(_LEAVES) | {s.name: s.kind for s in declared} | {h.name: "global" for h in hypers}
    unused = [s.name for s in declared]
    body: list[Assign] = []
    for index in range(statements):
        call, kind = _draw(rng, env, unused)
        name = f"x{index}"
        body.append(Assign(name, call))
        env[name] = kind
        unused = [u for u in unused if Var(u) not in call.args] + [name]
    for slot in declared:
        fitting = [n for n, k in env.items() if k in _LIFT[slot.kind] and n.startswith("x")] or ["lr"]
        body.append(
            Assign(
                slot.name,
                Call("lerp", (Var(rng.choice(fitting)), Var(slot.name), Var("b"))) if rng.random() < 0.7 else Var(rng.choice(fitting)),
            )
        )
    result: Expr = Var(unused[-1] if unused else "g")
    for name in unused[:-1]:
        result = Call(rng.choice(("add", "sub", "mul", "max", "ratio")), (result, Var(name)))
    return Program("random", declared, hypers, tuple(body), result)


def _init(rng: Random) -> str | Expr:
    return rng.choice(("zeros", "zeros", "ones", Call("square", (Var("lr"),))))  # type: ignore[return-value]


def _draw(rng: Random, env: dict[str, Kind], unused: list[str], ops: Sequence[str] = CORE_OPS) -> tuple[Call, Kind]:
    while True:
        op = OPS[rng.choice(ops)]
        args: list[Expr] = [
            Var(rng.choice(list(env))) if rng.random() < 0.85 else Const(round(rng.gauss(0, 2), 3)) for _ in range(op.arity)
        ]
        if unused and args and rng.random() < 0.9:
            args[rng.randrange(len(args))] = Var(rng.choice(unused[-3:]))
        kinds: list[Kind] = [env[a.name] if isinstance(a, Var) else "global" for a in args]
        try:
            return Call(op.name, tuple(args)), result_kind(op, kinds)
        except RuleError:
            continue


_SLOTS = (Slot("l", "left", "identity"), Slot("r", "right", "zeros"), Slot("h", "history", "zeros", 3), Slot("v", "full", "zeros"))
_KNOWN_OPS = tuple(name for name in OPS if name not in CORE_OPS)
_TO_FULL: dict[Kind, Callable[[Expr], Expr]] = {
    "left": lambda x: Call("matmul", (x, Var("g"))),
    "right": lambda x: Call("matmul", (Var("g"), x)),
    "history": lambda x: Call("history_sum", (x,)),
}


def known_programs(rng: Random, count: int, statements: int = 6) -> list[Program]:
    """Kind-correct programs of all tiers, with square and history slots; together they use every primitive outside of the core in turn."""
    turn = cycle(sorted(_KNOWN_OPS, key=lambda _: rng.random()))
    return [_known_program(rng, turn, statements) for _ in range(count)]


def _known_program(rng: Random, turn: Iterator[str], statements: int) -> Program:
    env: dict[str, Kind] = dict(
        (*_LEAVES, ("b", "global"), ("row_index", "row"), ("col_index", "col"), *((s.name, s.kind) for s in _SLOTS))
    )
    body: list[Assign] = []
    unused = [s.name for s in _SLOTS]
    for index in range(statements):
        call, kind = _draw(rng, env, unused) if index % 3 == 2 else _known(rng, env, unused, next(turn))
        env[f"x{index}"] = kind
        body.append(Assign(f"x{index}", call))
        unused = [u for u in unused if Var(u) not in call.args] + [f"x{index}"]
    result: Expr = Var("g")
    for name in unused:
        term = _TO_FULL.get(env[name], lambda x: x)(Var(name))
        result = Call("add", (result, Call("tanh", (term,))))
    body += [Assign(slot.name, _next(rng, slot, env)) for slot in _SLOTS]
    return Program("known", _SLOTS, (Hyper("b", "unit", 0.9),), tuple(body), result)


def _known(rng: Random, env: dict[str, Kind], unused: list[str], name: str) -> tuple[Call, Kind]:
    """A primitive outside of the core; one that goes by signature gets arguments of one of its signatures."""
    op = OPS[name]
    if not op.signatures:
        return _draw(rng, env, unused, [name])
    signature = rng.choice([s for s in op.signatures if set(s) <= set(env.values())])
    args: list[Expr] = [Var(rng.choice([n for n, k in env.items() if k == kind])) for kind in signature]
    if name == "gram_solve":
        args[2:] = [Const(1.0), Const(1.0)]  # others need not be well conditioned
    return Call(name, tuple(args)), op.signatures[signature]


def _next(rng: Random, slot: Slot, env: dict[str, Kind]) -> Expr:
    """An average of something of the slot's kind, or the history with something in front."""
    wanted = "full" if slot.kind == "history" else slot.kind
    value = Var(rng.choice([n for n, k in env.items() if k == wanted]))
    if slot.kind == "history":
        return Call("push", (Var(slot.name), value))
    return Call("lerp", (Call("tanh", (value,)), Var(slot.name), Var("b")))
