"""The search space as data: which primitives, how many slots and statements, how often each change, and draws of random pieces."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, field, replace
from itertools import accumulate
from random import Random
from typing import cast

from discover.flow import Flow
from discover.genome import COPY, Argument, Genome
from discover.kinds import ALL_KINDS, takes
from search_space.ops import CORE_OPS, OPS
from search_space.program import READ_ONLY, Hyper, Kind

CHANGE_WEIGHTS: dict[str, float] = {
    "insert": 1.0, "delete": 1.0, "modify": 1.0, "result": 0.2, "add_slot": 0.1, "remove_slot": 0.1, "hyper": 0.0,
}  # fmt: skip
"""Relative frequency of each kind of change. Lion's three are equal; `hyper` alone is the hyperparameter-only control."""

STEP_ARGUMENT = {"is_first": 0, "every": 1, "debias": 2}
"""Where the step `t` is offered, and only there, so that rules do not hide schedules."""

LARGEST_NUMBER = 1e10
"""Mutated constants stay within this magnitude (float32 overflow needs a product, not one constant)."""

NUMBER_SHARE = 0.25
"""How often a drawn argument is a constant."""


class Illegal(Exception):
    """A random draw that cannot be completed; the text is the reason."""


@dataclass(frozen=True, slots=True)
class Space:
    """Constraints and weights of a search; `hidden` inputs are not offered as arguments (a start may still read them)."""

    ops: tuple[str, ...] = tuple(sorted(CORE_OPS))
    max_slots: int = 4
    max_statements: int = 40
    slot_kinds: tuple[Kind, ...] = ("full", "tensor")
    hidden: tuple[str, ...] = READ_ONLY
    weights: tuple[tuple[str, float], ...] = tuple(CHANGE_WEIGHTS.items())
    _drawn: tuple[tuple[str, ...], tuple[float, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = tuple(name for name, weight in self.weights if weight > 0)
        sums = tuple(accumulate(weight for _, weight in self.weights if weight > 0))
        object.__setattr__(self, "_drawn", (names, sums))

    def draw_change(self, genome: Genome, rng: Random) -> str:
        """The name of a change that this genome's size allows."""
        names, sums = self._drawn
        for _ in range(100):
            name = names[bisect(sums, rng.random() * sums[-1])]
            if name in ("insert", "add_slot") and len(genome.lines) >= self.max_statements:
                continue
            if name == "add_slot" and len(genome.slots) >= self.max_slots:
                continue
            return name
        return "modify"

    def draw_call(self, env: dict[str, int], flow: Flow, rng: Random) -> tuple[str, tuple[Argument, ...]]:
        """A primitive with arguments that it takes; `env` maps the names that may be read to nodes."""
        op = self.ops[int(rng.random() * len(self.ops))]
        args = tuple([self.draw_argument(op, i, env, flow, rng) for i in range(OPS[op].arity)])
        return op, args

    def draw_argument(self, op: str, which: int, env: dict[str, int], flow: Flow, rng: Random) -> Argument:
        """One argument for a place of a primitive, of a kind that the place takes wherever the genome holds such a value."""
        if STEP_ARGUMENT.get(op) == which:
            return "t"
        taken = takes(op, which) if op != COPY else ALL_KINDS
        if 0 in taken and rng.random() < NUMBER_SHARE:
            return rng.gauss(0.0, 1.0)
        names = [name for name in env if name not in self.hidden]
        if len(taken) < len(ALL_KINDS):
            kinds = flow.kinds
            names = [name for name in names if kinds[env[name]] in taken]
        if not names:
            raise Illegal(f"no argument for {op}")
        return names[int(rng.random() * len(names))]

    def move_number(self, value: float, rng: Random) -> float:
        """Resample from N(0, 1), or multiply by 2^N(0, 1): equally likely."""
        if rng.random() < 0.5:
            return rng.gauss(0.0, 1.0)
        return max(-LARGEST_NUMBER, min(LARGEST_NUMBER, value * 2.0 ** rng.gauss(0.0, 1.0)))

    def move_hyper(self, genome: Genome, hyper: Hyper, rng: Random) -> Genome:
        """Another default for one hyperparameter, drawn from or moved along its prior."""
        moved = replace(hyper, default=self._moved(hyper, rng))
        hypers = tuple(moved if h.name == hyper.name else h for h in genome.hypers)
        return Genome(genome.name, genome.slots, hypers, genome.lines, genome.result, genome.queries)

    def _moved(self, hyper: Hyper, rng: Random) -> float:
        if hyper.prior == "number":
            return self.move_number(hyper.default, rng)
        if hyper.prior == "unit":
            return draw_unit(rng) if rng.random() < 0.5 else _nudge_unit(hyper.default, rng)
        if hyper.default == 0.0 or rng.random() < 0.25:
            return 10.0 ** rng.uniform(-8.0, 0.0)
        return min(LARGEST_NUMBER, hyper.default * 2.0 ** rng.gauss(0.0, 1.0))


def draw_unit(rng: Random) -> float:
    """A number in (0, 1): 1 − 10^−k with k uniform in (0, 4)."""
    return 1.0 - 10.0 ** -rng.uniform(0.0, 4.0)


def _nudge_unit(value: float, rng: Random) -> float:
    """Move k of 1 − 10^−k by N(0, 0.5)."""
    rest = min(1.0, max(1e-7, 1.0 - value)) * 10.0 ** -rng.gauss(0.0, 0.5)
    return 1.0 - min(1.0, rest)


def slot_kinds_of(ops: tuple[str, ...], wanted: tuple[Kind, ...]) -> tuple[Kind, ...]:
    """The wanted kinds of slots that something in `ops` can fill with other than a constant."""
    rules = {OPS[name].rule for name in ops}
    kept = [kind for kind in wanted if kind == "full" or kind in rules]
    return cast("tuple[Kind, ...]", tuple(kept))
