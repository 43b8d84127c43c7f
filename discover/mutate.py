"""Small random changes of genomes, legal by construction where that is cheap and checked everywhere else.

A mutation is conditioned on legality: an illegal child is redrawn, a bounded number of times, and every failed draw is counted by its
reason. Randomness comes from a `random.Random`, whose state is plain numbers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from discover.flow import Flow, Walk
from discover.genome import Genome, fresh_name, names_of
from discover.space import Illegal, Space
from search_space.program import Slot

ATTEMPTS = 50
"""Draws before a mutation gives up; the parent is then returned unchanged."""


@dataclass(slots=True)
class Child:
    """A mutated genome with its walk and the kind of change; `change` "none" means that no legal change was found."""

    genome: Genome
    walk: Walk
    change: str


@dataclass(slots=True)
class Mutator:
    """Mutates genomes inside a search space; `failures` counts illegal draws by reason."""

    space: Space
    flow: Flow
    failures: Counter[str] = field(default_factory=Counter)

    def mutate(self, parent: Genome, walk: Walk, rng: Random) -> Child:
        """One legal child of a legal parent; at most `ATTEMPTS` draws."""
        for _ in range(ATTEMPTS):
            change = _CHANGES[self.space.draw_change(parent, rng)]
            try:
                genome, first = change(self, parent, walk, rng)
            except Illegal as reason:
                self.failures[str(reason)] += 1
                continue
            child = self.flow.walk(genome, first, walk.nodes)
            if child.form is None:
                self.failures[str(child.problem)] += 1
                continue
            return Child(genome, child, change.__name__)
        return Child(parent, walk, "none")


def insert(mutator: Mutator, parent: Genome, walk: Walk, rng: Random, slot: str | None = None) -> tuple[Genome, int]:
    """A random line at a random place; a new temporary replaces one later reading half of the time."""
    place = rng.randrange(len(parent.lines) + 1)
    env = mutator.flow.before(parent, walk.nodes, place)
    op, args = mutator.space.draw_call(env, mutator.flow, rng)
    target, new = (slot, False) if slot else _draw_target(parent, rng)
    lines = (*parent.lines[:place], (target, op, args), *parent.lines[place:])
    child = parent.with_lines(lines)
    if new and rng.random() < 0.5:
        child = _redirect(child, place + 1, target, rng)
    return child, place


def delete(mutator: Mutator, parent: Genome, walk: Walk, rng: Random) -> tuple[Genome, int]:
    """Drop a random line; readings that lose their only definition go to one of the line's arguments."""
    if not parent.lines:
        raise Illegal("nothing to delete")
    place = rng.randrange(len(parent.lines))
    target, _, args = parent.lines[place]
    child = parent.with_lines((*parent.lines[:place], *parent.lines[place + 1 :]))
    if target in mutator.flow.before(parent, walk.nodes, place):
        return child, place
    if not args:
        raise Illegal("only definition")
    return _rename(child, place, target, args[rng.randrange(len(args))]), place


def modify(mutator: Mutator, parent: Genome, walk: Walk, rng: Random) -> tuple[Genome, int]:
    """Change one argument of a random line: another name, another number, or the number of a hyperparameter."""
    if not parent.lines:
        raise Illegal("nothing to modify")
    place = rng.randrange(len(parent.lines))
    target, op, args = parent.lines[place]
    if not args:
        raise Illegal("no argument")
    which = rng.randrange(len(args))
    old = args[which]
    named = next((h for h in parent.hypers if h.name == old), None)
    if named is not None and rng.random() < 0.5:
        return mutator.space.move_hyper(parent, named, rng), 0
    if isinstance(old, float) and rng.random() < 0.5:
        new = mutator.space.move_number(old, rng)
    else:
        env = mutator.flow.before(parent, walk.nodes, place)
        new = mutator.space.draw_argument(op, which, env, mutator.flow, rng)
    if new == old:
        raise Illegal("no change")
    line = (target, op, (*args[:which], new, *args[which + 1 :]))
    return parent.with_lines((*parent.lines[:place], line, *parent.lines[place + 1 :])), place


def hyper(mutator: Mutator, parent: Genome, walk: Walk, rng: Random) -> tuple[Genome, int]:
    """Change one number only: of a hyperparameter or a constant, all equally likely."""
    spots = [(i, j) for i, (_, _, args) in enumerate(parent.lines) for j, arg in enumerate(args) if isinstance(arg, float)]
    pick = rng.randrange(len(spots) + len(parent.hypers)) if spots or parent.hypers else -1
    if pick < 0:
        raise Illegal("no number")
    if pick >= len(spots):
        return mutator.space.move_hyper(parent, parent.hypers[pick - len(spots)], rng), 0
    place, which = spots[pick]
    target, op, args = parent.lines[place]
    number = mutator.space.move_number(float(args[which]), rng)
    line = (target, op, (*args[:which], number, *args[which + 1 :]))
    return parent.with_lines((*parent.lines[:place], line, *parent.lines[place + 1 :])), place


def result(mutator: Mutator, parent: Genome, walk: Walk, rng: Random) -> tuple[Genome, int]:
    """Return another name."""
    choices = sorted(({line[0] for line in parent.lines} | {slot.name for slot in parent.slots}) - {parent.result})
    if not choices:
        raise Illegal("no other name")
    return parent.with_lines(parent.lines, rng.choice(choices)), len(parent.lines)


def add_slot(mutator: Mutator, parent: Genome, walk: Walk, rng: Random) -> tuple[Genome, int]:
    """Declare a slot and insert a line that writes it."""
    taken = names_of(parent)
    name = next(f"s{i}" for i in range(len(taken) + 1) if f"s{i}" not in taken)
    kind = rng.choice(mutator.space.slot_kinds)
    wider = Genome(parent.name, (*parent.slots, Slot(name, kind)), parent.hypers, parent.lines, parent.result, parent.queries)
    return insert(mutator, wider, walk, rng, slot=name)


def remove_slot(mutator: Mutator, parent: Genome, walk: Walk, rng: Random) -> tuple[Genome, int]:
    """Drop a slot; readings of the value from the step before become its initial number."""
    if not parent.slots:
        raise Illegal("no slot")
    gone = parent.slots[rng.randrange(len(parent.slots))]
    if not isinstance(gone.init, str):
        raise Illegal("slot starts as first(...)")
    slots = tuple(slot for slot in parent.slots if slot is not gone)
    child = Genome(parent.name, slots, parent.hypers, parent.lines, parent.result, parent.queries)
    return _rename(child, 0, gone.name, 1.0 if gone.init == "ones" else 0.0), 0


_CHANGES = {change.__name__: change for change in (insert, delete, modify, hyper, result, add_slot, remove_slot)}


def _draw_target(parent: Genome, rng: Random) -> tuple[str, bool]:
    """A new temporary, one that exists, or a slot: equally likely kinds of place; True for a new name."""
    pick = rng.random() * 3.0
    if pick < 1.0 and parent.slots:
        return parent.slots[rng.randrange(len(parent.slots))].name, False
    if pick < 2.0 and parent.lines:
        return parent.lines[rng.randrange(len(parent.lines))][0], False
    return fresh_name(names_of(parent)), True


def _redirect(genome: Genome, start: int, name: str, rng: Random) -> Genome:
    """Let one random reading at or after line `start` (the returned name counts) read `name` instead."""
    spots = [(i, j) for i in range(start, len(genome.lines)) for j, arg in enumerate(genome.lines[i][2]) if arg != "t"]
    pick = rng.randrange(len(spots) + 1)
    if pick == len(spots):
        return genome.with_lines(genome.lines, name)
    place, which = spots[pick]
    target, op, args = genome.lines[place]
    line = (target, op, (*args[:which], name, *args[which + 1 :]))
    return genome.with_lines((*genome.lines[:place], line, *genome.lines[place + 1 :]))


def _rename(genome: Genome, start: int, old: str, new: str | float) -> Genome:
    """Readings of `old` from line `start` on, up to its next assignment, become `new`."""
    lines = list(genome.lines)
    for i in range(start, len(lines)):
        target, op, args = lines[i]
        if old in args:
            lines[i] = (target, op, tuple([new if arg == old else arg for arg in args]))
        if target == old:
            return genome.with_lines(tuple(lines))
    return genome.with_lines(tuple(lines), new if genome.result == old else genome.result)
