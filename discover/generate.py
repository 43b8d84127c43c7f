"""Random programs: valid ones that reach every primitive and kind, and hostile ones that try to break what runs them."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from discover.flow import ILLEGAL, Flow
from discover.genome import Genome, Line, to_program
from discover.kinds import KIND_BITS
from discover.space import Illegal, Space, draw_unit
from search_space.ops import CORE_OPS, OPS
from search_space.program import POSITION_INPUTS, Hyper, Kind, Program, Slot

ALL_OPS = tuple(OPS)
HOSTILE_NUMBERS = (0.0, 1.0, -1.0, 1e-38, -1e-30, 3e38, -3e38, 1e30, 1e10, 88.8, -104.0, 0.5, 1e-8)
"""Zero, the edges of float32, and arguments where exp overflows or underflows."""

SLOT_KINDS: tuple[Kind, ...] = ("full", "full", "tensor", "row", "col", "global")


def random_program(
    rng: Random,
    ops: tuple[str, ...] = ALL_OPS,
    statements: int = 12,
    slots: int = 2,
    *,
    flow: Flow | None = None,
) -> Program:
    """A kind-correct flat program of that many statements over `ops`, with up to `slots` slots of any kind."""
    return to_program(random_genome(rng, Space(ops=ops, hidden=("t",)), statements, slots, flow))


def random_genome(
    rng: Random, space: Space, statements: int = 12, slots: int = 2, flow: Flow | None = None, name: str = "random"
) -> Genome:
    """Like `random_program`, with the argument choices of a search space; the update reads the gradient."""
    flow = Flow() if flow is None else flow
    declared = tuple(_slot(f"s{i}", rng) for i in range(rng.randint(0, slots)))
    hypers = (Hyper("b", "unit", draw_unit(rng)), Hyper("c", "number", rng.gauss(0.0, 1.0)))
    empty = Genome(name, declared, hypers[: rng.randint(0, 2)], (), "g")
    while True:
        genome = _body(empty, rng, space, statements, flow)
        walk = flow.walk(genome)
        if walk.form is not None:
            return genome


def hostile_program(rng: Random, flow: Flow | None = None) -> Program:
    """Legal in a search and dreadful: constants at the edges of float32, towers of exp and division, up to 200 statements."""
    flow = Flow() if flow is None else flow
    statements = rng.choice((3, 10, 40, 200))
    space = Space(ops=CORE_OPS if rng.random() < 0.5 else _EXPLOSIVE, hidden=tuple(POSITION_INPUTS), max_statements=200)
    genome = random_genome(rng, space, statements, 4, flow, "hostile")
    lines: list[Line] = []
    for target, op, args in genome.lines:
        wild = tuple(rng.choice(HOSTILE_NUMBERS) if isinstance(a, float) and rng.random() < 0.7 else a for a in args)
        lines.append((target, op, wild))
    return to_program(genome.with_lines(tuple(lines)))


_EXPLOSIVE = ("exp", "exp10", "cube", "square", "div", "reciprocal", "mul", "pow", "sinh", "tan", "log", "arctanh", "add", "global_norm")


def _slot(name: str, rng: Random) -> Slot:
    return Slot(name, rng.choice(SLOT_KINDS), rng.choice(("zeros", "zeros", "ones")))


def _body(genome: Genome, rng: Random, space: Space, statements: int, flow: Flow) -> Genome:
    """Lines drawn one after the other; the last ones fill the slots, the result is drawn among what varies over elements."""
    env = flow.base(genome)
    lines: list[Line] = []
    pending = list(genome.slots)
    while len(lines) < statements:
        fill = pending and statements - len(lines) <= len(pending)
        limit = KIND_BITS[pending[0].kind] if fill else KIND_BITS["full"]
        line = _line(env, rng, space, flow, f"v{len(lines)}", limit)
        if fill:
            line = (pending.pop(0).name, *line[1:])
        lines.append(line)
        env[line[0]] = flow.calls[_key(line, env, flow)]
    wide = [name for name, node in env.items() if flow.kinds[node] == KIND_BITS["full"] and name not in ("w", "g")]
    recent = wide[-3:] or ["g"]
    return replace(genome, lines=tuple(lines), result=recent[rng.randrange(len(recent))])


def _line(env: dict[str, int], rng: Random, space: Space, flow: Flow, target: str, limit: int) -> Line:
    """A line whose value fits `limit` (kind bits); a number where no draw fits."""
    for _ in range(50):
        try:
            op, args = space.draw_call(env, flow, rng)
        except Illegal:
            continue
        node = flow.calls[_key((target, op, args), env, flow)]
        if node != ILLEGAL and flow.kinds[node] | limit == limit:
            return target, op, args
    return target, "", (rng.gauss(0.0, 1.0),)


def _key(line: Line, env: dict[str, int], flow: Flow) -> tuple[str | int, ...]:
    return (line[1], *[env[arg] if isinstance(arg, str) else flow.numbers[arg] for arg in line[2]])
