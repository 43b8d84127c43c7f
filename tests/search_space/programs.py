"""Random programs for tests of the language: most statements are live, every primitive and kind occurs."""

from __future__ import annotations

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


def _draw(rng: Random, env: dict[str, Kind], unused: list[str]) -> tuple[Call, Kind]:
    while True:
        op = OPS[rng.choice(CORE_OPS)]
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
