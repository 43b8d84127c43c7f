"""Rules as the pipeline knows them: one `Subject` for each distinct exact behaviour, with what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from discover.flow import Flow, Walk
from discover.genome import Genome, to_program
from discover.schema import TRAINED, Candidate
from search_space.cost import flops_per_param, state_bytes_per_param
from search_space.dataflow import Dataflow
from search_space.parse import parse_program
from search_space.printer import to_text
from search_space.program import Program

WAITING, REJECTED, TWIN = "waiting", "rejected", "twin"
"""Statuses before and beside "trained": not trained yet, lost to a filter, the same as another subject (`twin`)."""


@dataclass(slots=True)
class Subject:
    """A distinct rule in its executed form. `score` is lower-better and set by full training only; `rungs` maps steps to scores."""

    id: int
    program: Program
    generation: int
    parent: int | None
    origin: str
    exact: bytes
    status: str = WAITING
    reason: str = ""
    real: bytes | None = None
    print: bytes | None = None
    twin: Subject | None = None
    score: float | None = None
    audit_score: float | None = None
    state_bytes: float | None = None
    cost: float | None = None
    rungs: dict[int, float | None] = field(default_factory=dict)
    rates: tuple[float, ...] = ()
    gain: float | None = None
    profile: tuple[float, ...] = ()
    """Mean log losses at all rates of the coarse rungs passed, one after the other."""

    def known_score(self) -> float | None:
        """The score that a proposal of this behaviour gets: its own, or its twin's."""
        return self.twin.known_score() if self.twin is not None else self.score

    def waiting(self) -> bool:
        """Whether the outcome is still open."""
        return self.twin.waiting() if self.twin is not None else self.status == WAITING

    def measure(self, flow: Dataflow) -> None:
        """Fill in memory and arithmetic."""
        self.state_bytes = float(state_bytes_per_param(flow))
        self.cost = float(flops_per_param(flow))


def executed(genome: Genome, walk: Walk, flow: Flow) -> Program:
    """The genome without lines, slots and hyperparameters that no update ever depends on."""
    live = flow.live_slots(genome, walk)
    needed = {genome.result, *live} if isinstance(genome.result, str) else set(live)
    kept = []
    for line in reversed(genome.lines):
        if line[0] in needed:
            kept.append(line)
            needed.discard(line[0])
            needed.update(arg for arg in line[2] if isinstance(arg, str))
    slots = tuple(slot for slot in genome.slots if slot.name in live)
    used = needed | {arg for line in kept for arg in line[2]} | {genome.result}
    reserved = any(not isinstance(slot.init, str) for slot in slots)  # first(...) may read any hyperparameter
    hypers = genome.hypers if reserved else tuple(h for h in genome.hypers if h.name in used)
    return to_program(Genome(genome.name, slots, hypers, tuple(reversed(kept)), genome.result, genome.queries))


def to_row(subject: Subject) -> Candidate:
    """The subject as a row of the run store."""
    detail: dict[str, Any] = {
        "twin": subject.twin.id if subject.twin else None,
        "print": subject.print.hex() if subject.print else None,
        "audit_score": subject.audit_score,
        "rungs": [[steps, score] for steps, score in subject.rungs.items()],
        "rates": list(subject.rates),
        "gain": subject.gain,
        "profile": list(subject.profile) if subject.status == TRAINED else [],
    }
    return Candidate(
        id=subject.id, text=to_text(subject.program), generation=subject.generation, parent_id=subject.parent,
        origin=subject.origin, exact_key=subject.exact.hex(), real_key=subject.real.hex() if subject.real else "",
        status=subject.status, reason=subject.reason, score=subject.score,
        state_bytes=subject.state_bytes, cost=subject.cost, detail=detail,
    )  # fmt: skip


def from_row(row: Candidate, known: dict[int, Subject]) -> Subject:
    """The inverse of `to_row`; `known` holds the subjects of smaller id."""
    detail = row.detail
    return Subject(
        id=row.id, program=parse_program(row.text), generation=row.generation, parent=row.parent_id, origin=row.origin,
        exact=bytes.fromhex(row.exact_key), status=row.status, reason=row.reason,
        real=bytes.fromhex(row.real_key) or None, print=bytes.fromhex(detail["print"]) if detail["print"] else None,
        twin=known[detail["twin"]] if detail["twin"] is not None else None, score=row.score,
        audit_score=detail["audit_score"], state_bytes=row.state_bytes, cost=row.cost,
        rungs=dict(detail["rungs"]), rates=tuple(detail["rates"]), gain=detail["gain"], profile=tuple(detail["profile"]),
    )  # fmt: skip
