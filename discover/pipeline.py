"""What a proposal passes before it may be trained: look-ups that are exact, then filters that may be wrong and are audited.

kinds → exact_key (copies score or failure) → proportional to the rate → closed-loop probe → fingerprint, with real_key for those that look
alike → hurdle on the probe's gain → training. Rules equal as functions of real numbers look alike, so `real_key` need only be asked then:
where it agrees, a score (never a failure) is copied as certain; where it does not, the copy is lossy.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from zlib import crc32

from discover.flow import Flow, LiveForm
from discover.probe import probe
from discover.rate import proportional
from discover.schema import TRAINED
from discover.strategies import Proposal
from discover.subjects import REJECTED, TWIN, Subject, executed
from search_space.dataflow import Dataflow, dataflow
from search_space.keys import exact_key, fingerprint, real_key

EXACT, REAL, PRINT, WEAK = "exact_key", "real_key", "fingerprint", "weak_descent"
RACED, LEVEL = "raced_out", "same_curve"
RATE = "hides_rate"
"""Not a lossy filter but a constraint: updates must be proportional to the learning rate, or the grid of rates would compare nothing."""

PROBE_REASONS = ("nonfinite", "explodes", "no_motion", "no_descent")
LOSSY = (*PROBE_REASONS, PRINT, WEAK, RACED, LEVEL)
"""Filters that may lose a good rule; their rejects are audited."""

GAINS, FEW_GAINS = 512, 32
"""Recent gains that the hurdle looks at; with fewer than a few there is no hurdle."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the pipeline decided: `outcome` is "trained" (still to be done), or the name of the filter that took the proposal."""

    proposal: Proposal
    subject: Subject
    outcome: str


@dataclass(slots=True)
class Pipeline:
    """Filters with their memory. All but `demand` can be rebuilt from the subjects (`remember`).

    `margin`: least fall of log loss in the probe; `bits`: precision of fingerprints; `train_share`: share of
    proposals that may be trained, which sets the hurdle on the probe's gain.
    """

    flow: Flow
    margin: float = 0.05
    bits: int = 6
    train_share: float = 1.0
    audit_share: float = 0.01
    subjects: list[Subject] = field(default_factory=list)
    by_form: dict[LiveForm, Subject] = field(default_factory=dict)
    by_exact: dict[bytes, Subject] = field(default_factory=dict)
    by_print: dict[bytes, Subject] = field(default_factory=dict)
    gains: deque[float] = field(default_factory=lambda: deque(maxlen=GAINS))
    demand: float = 0.0
    """Share of recent proposals that came as far as the hurdle."""

    def admit(self, proposal: Proposal, generation: int) -> Ticket:
        """Pass one legal proposal through all filters."""
        ticket = self._admit(proposal, generation)
        self.demand += ((ticket.outcome in (TRAINED, WEAK)) - self.demand) / GAINS
        return ticket

    def _admit(self, proposal: Proposal, generation: int) -> Ticket:
        form = proposal.walk.form
        assert form is not None, "only legal genomes are proposed"
        subject = self.by_form.get(form)
        if subject is not None:
            return Ticket(proposal, subject, EXACT)
        program = executed(proposal.genome, proposal.walk, self.flow)
        flow = dataflow(program)
        exact = exact_key(program, flow)
        subject = self.by_exact.get(exact)
        if subject is not None:
            self.by_form[form] = subject
            return Ticket(proposal, subject, EXACT)
        subject = Subject(len(self.subjects), program, generation, proposal.parent, proposal.origin, exact)
        outcome = self._filter(subject, flow) if proposal.origin != "start" else self._accept(subject, flow)
        self.by_form[form] = subject
        self.remember(subject)
        return Ticket(proposal, subject, outcome)

    def _accept(self, subject: Subject, flow: Dataflow) -> str:
        """Starts are trained whatever the filters think of them."""
        subject.measure(flow)
        subject.print = fingerprint(subject.program, flow, bits=self.bits)[0]
        return TRAINED

    def _filter(self, subject: Subject, flow: Dataflow) -> str:
        """Look for a reason not to train; sets the subject's status, reason and keys."""
        if not proportional(flow):
            return _reject(subject, RATE)
        hypers = {h.name: h.default for h in subject.program.hypers}
        found = probe(flow, hypers, self.margin)
        subject.gain = found.gain if found.reason is None else None
        if found.reason is not None:
            return _reject(subject, found.reason)
        subject.measure(flow)
        subject.print = fingerprint(subject.program, flow, bits=self.bits)[0]
        alike = self.by_print.get(subject.print) if subject.print else None
        if alike is None:
            return TRAINED if self._strong(found.gain) else _reject(subject, WEAK)
        if alike.real is None:
            alike.real = real_key(alike.program)
        subject.real = real_key(subject.program, flow)
        certain = subject.real is not None and subject.real == alike.real and alike.known_score() is not None
        return _twin(subject, alike, REAL if certain else PRINT)

    def _strong(self, gain: float) -> bool:
        """Whether a gain is good enough, among recent ones, to be trained; the first few always are."""
        if len(self.gains) < FEW_GAINS or self.demand <= self.train_share:
            return True
        better = sum(1 for other in self.gains if other < gain)
        return better < self.train_share / self.demand * len(self.gains)

    def remember(self, subject: Subject) -> None:
        """Enter a new subject, or one read back from the run store, into the tables."""
        assert subject.id == len(self.subjects)
        self.subjects.append(subject)
        self.by_exact[subject.exact] = subject
        if subject.twin is not None and subject.reason != LEVEL:
            return
        # It reached the hurdle or went beyond; whatever became of it in training, or a resumed run would differ.
        if subject.gain is not None:
            self.gains.append(subject.gain)
        if subject.print:
            self.by_print.setdefault(subject.print, subject)

    def audited(self, subject: Subject) -> bool:
        """Whether a lossy reject belongs to the random share that is trained anyway: a function of its key, so order does not matter."""
        lossy = subject.reason in LOSSY and subject.status in (REJECTED, TWIN)
        return lossy and crc32(subject.exact) / 2**32 < self.audit_share


def settle(subject: Subject, score: float | None, reason: str = "") -> None:
    """Record how training ended: a score, or the reason why there is none."""
    if score is None:
        _reject(subject, reason)
    else:
        subject.status, subject.score = TRAINED, score


def settle_level(subject: Subject, twin: Subject) -> None:
    """Record that a candidate ran level with one that was trained in full, and takes its score."""
    _twin(subject, twin, LEVEL)


def count_outcomes(tickets: list[Ticket]) -> Counter[str]:
    """Proposals by outcome, after training: a proposal sent to training counts as "trained" or by its reason for failing."""
    counts: Counter[str] = Counter()
    for ticket in tickets:
        failed = ticket.outcome == TRAINED and ticket.subject.status != TRAINED
        counts[ticket.subject.reason if failed else ticket.outcome] += 1
    return counts


def _reject(subject: Subject, reason: str) -> str:
    subject.status, subject.reason = REJECTED, reason
    return reason


def _twin(subject: Subject, twin: Subject, reason: str) -> str:
    subject.status, subject.reason, subject.twin = TWIN, reason, twin
    return reason
