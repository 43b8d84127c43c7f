"""Ask/tell strategies over genomes: regularized evolution, and the controls random search and hyperparameter-only evolution.

A generation is asked whole, then told whole, both in fixed order; nothing else may influence a strategy, so that a run does not depend on
how its trainings were scheduled. State is JSON. Lower scores are better.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Protocol

from discover.errors import JobError
from discover.flow import Flow, Walk
from discover.genome import Genome, from_json, to_json
from discover.mutate import Mutator
from discover.space import Space

HYPER_ONLY = (("hyper", 1.0),)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A genome to be judged; `parent` is the subject id of what it came from, `origin` the kind of change."""

    genome: Genome
    walk: Walk
    parent: int | None
    origin: str


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a proposal: the id of its subject and its score, None where it has none."""

    proposal: Proposal
    subject: int
    score: float | None


class Strategy(Protocol):
    """Proposes genomes and learns from scores; deterministic given the generator's state."""

    mutator: Mutator

    def ask(self, rng: Random, count: int) -> list[Proposal]:
        """`count` proposals; the first generation holds the starts themselves."""
        ...

    def tell(self, results: Sequence[Told]) -> None:
        """The outcomes of the last `ask`, in its order."""
        ...

    def state(self) -> dict[str, Any]:
        """All that later proposals depend on, as JSON."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """One of the population."""

    genome: Genome
    walk: Walk
    subject: int
    score: float
    packed: str


@dataclass(frozen=True, slots=True)
class Restart:
    """Begin again after `patience` proposals without a better best score (0: never), from the starts or from the best."""

    patience: int = 0
    source: str = "best"


class Evolution:
    """Regularized evolution: the best of a random few becomes a parent, a scored child enters, the oldest member dies."""

    def __init__(self, starts: Sequence[Genome], mutator: Mutator, population: int, tournament: int, restart: Restart = Restart()) -> None:
        self.starts = tuple(starts)
        self.mutator = mutator
        self.tournament = tournament
        self.restart = restart
        self.members: deque[Member] = deque(maxlen=population)
        self.founders: list[Member] = []
        self.best: Member | None = None
        self.idle = 0

    def ask(self, rng: Random, count: int) -> list[Proposal]:
        """See `Strategy`; the first generation is the starts alone."""
        if not self.members:
            return first_proposals(self.starts, self.mutator.flow)
        return [self._child(rng) for _ in range(count)]

    def _child(self, rng: Random) -> Proposal:
        size = len(self.members)
        parent = min((self.members[int(rng.random() * size)] for _ in range(self.tournament)), key=_by_score)
        child = self.mutator.mutate(parent.genome, parent.walk, rng)
        return Proposal(child.genome, child.walk, parent.subject, child.change)

    def tell(self, results: Sequence[Told]) -> None:
        """See `Strategy`; what has no score does not enter."""
        for told in results:
            self.idle += 1
            if told.score is None:
                continue
            proposal = told.proposal
            member = Member(proposal.genome, proposal.walk, told.subject, told.score, _pack(proposal.genome))
            (self.founders if proposal.origin == "start" else self.members).append(member)
            if self.best is None or member.score < self.best.score:
                self.best, self.idle = member, 0
        if not self.members:
            self._fill(self.founders)
        elif 0 < self.restart.patience <= self.idle and self.best is not None:
            self._fill(self.founders if self.restart.source == "start" else [self.best])
            self.idle = 0

    def _fill(self, source: Sequence[Member]) -> None:
        """The whole population becomes copies of `source`, in turn; raises JobError where no start could be trained."""
        if not source:
            raise JobError("no start rule could be trained on these tasks: all failed; see `discover show` for the reasons")
        self.members.extend(source[i % len(source)] for i in range(self.members.maxlen or 1))

    def state(self) -> dict[str, Any]:
        """See `Strategy`."""
        return {
            "members": [_member_json(member) for member in self.members],
            "founders": [_member_json(member) for member in self.founders],
            "best": None if self.best is None else _member_json(self.best),
            "idle": self.idle,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """See `Strategy`."""
        self.members.clear()
        self.members.extend(self._member(data) for data in state["members"])
        self.founders = [self._member(data) for data in state["founders"]]
        self.best = None if state["best"] is None else self._member(state["best"])
        self.idle = state["idle"]

    def _member(self, data: list[Any]) -> Member:
        genome = from_json(json.loads(data[0]))
        return Member(genome, self.mutator.flow.walk(genome), data[1], data[2], data[0])


class RandomSearch:
    """Control: random walks of mutations from the starts, nothing is learned."""

    def __init__(self, starts: Sequence[Genome], mutator: Mutator, longest: int = 16) -> None:
        self.starts = tuple(starts)
        self.mutator = mutator
        self.longest = longest
        self.begun = False

    def ask(self, rng: Random, count: int) -> list[Proposal]:
        """See `Strategy`."""
        firsts = first_proposals(self.starts, self.mutator.flow)
        if not self.begun:
            return firsts
        proposals = []
        while len(proposals) < count:
            start = firsts[rng.randrange(len(firsts))]
            genome, walk = start.genome, start.walk
            for _ in range(rng.randint(1, self.longest)):
                child = self.mutator.mutate(genome, walk, rng)
                genome, walk = child.genome, child.walk
            proposals.append(Proposal(genome, walk, None, "walk"))
        return proposals

    def tell(self, results: Sequence[Told]) -> None:
        """See `Strategy`."""
        self.begun = True

    def state(self) -> dict[str, Any]:
        """See `Strategy`."""
        return {"begun": self.begun}

    def restore(self, state: dict[str, Any]) -> None:
        """See `Strategy`."""
        self.begun = state["begun"]


def hyper_only(space: Space) -> Space:
    """The space of the control that changes numbers only."""
    return replace(space, weights=HYPER_ONLY)


def _by_score(member: Member) -> float:
    return member.score


def _member_json(member: Member) -> list[Any]:
    return [member.packed, member.subject, member.score]


def _pack(genome: Genome) -> str:
    """The genome as JSON text, made once: a state holds the whole population after every generation."""
    return json.dumps(to_json(genome), separators=(",", ":"))


def first_proposals(starts: Sequence[Genome], flow: Flow) -> list[Proposal]:
    """The start rules as they are."""
    return [Proposal(genome, flow.walk(genome), None, "start") for genome in starts]
