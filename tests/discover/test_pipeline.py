"""The filters: each does its own work, has a name, and can be rebuilt from what was stored."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from discover.audit import audit_filters, upper_bound
from discover.flow import Flow
from discover.generate import hostile_program
from discover.genome import Genome, from_program
from discover.mutate import Mutator
from discover.pipeline import EXACT, LOSSY, PRINT, PROBE_REASONS, RACED, RATE, REAL, Pipeline, count_outcomes, settle
from discover.schema import TRAINED
from discover.space import Space
from discover.strategies import Proposal
from discover.subjects import Subject, from_row, to_row
from search_space import zoo
from search_space.ops import CORE_OPS
from search_space.parse import parse_program
from search_space.program import Program
from tests.search_space.known import PLAIN

SGD = "def r(w, g, lr):\n    return lr * g\n"


def proposal(pipeline: Pipeline, text: str, origin: str = "insert") -> Proposal:
    genome = from_program(parse_program(text))
    return Proposal(genome, pipeline.flow.walk(genome), None, origin)


def outcome(pipeline: Pipeline, text: str, score: float | None = 1.0) -> str:
    """Admit a rule; if it is to be trained, say how that ended."""
    ticket = pipeline.admit(proposal(pipeline, text), 0)
    if ticket.outcome == TRAINED:
        settle(ticket.subject, score, RACED)
    return ticket.outcome


def rule(result: str, *statements: str, slots: str = "") -> str:
    head = f"def r(w, g, lr{', *, ' + slots if slots else ''}):\n"
    return head + "".join(f"    {s}\n" for s in statements) + f"    return {result}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rule("lr * g", "u = sign(w)"), EXACT),  # a dead statement
        (rule("g * lr"), EXACT),
        (rule("(g - 0.5 * g) * (2.0 * lr)"), REAL),
        (rule("lr * g + 0.0000001 * (lr * w)"), PRINT),
        (rule("lr * (0.0 * g)"), "no_motion"),
        (rule("g"), "hides_rate"),
        (rule("arccos(lr) * g"), "hides_rate"),
        (rule("lr * g + g"), "hides_rate"),
        (rule("m", "m = 0.5 * m + g * lr", slots="m: full = zeros"), TRAINED),
        (rule("m + lr * g", "m = lr * g + m * lr", slots="m: full = zeros"), "hides_rate"),
        (rule("-(lr * g)"), "no_descent"),
        (rule("lr * log(g - g)"), "nonfinite"),
        (rule("-(100000.0 * lr * w)"), "explodes"),
        (rule("lr * sign(g)"), TRAINED),
    ],
)
def test_each_filter_has_its_name(text: str, expected: str) -> None:
    pipeline = Pipeline(Flow())
    assert outcome(pipeline, SGD) == TRAINED
    assert outcome(pipeline, text) == expected


def test_exact_copies_take_score_and_failure_real_copies_the_score_only() -> None:
    pipeline = Pipeline(Flow())
    assert outcome(pipeline, SGD, score=None) == TRAINED  # raced out
    copy = pipeline.admit(proposal(pipeline, rule("g * lr")), 0)
    assert (copy.outcome, copy.subject.known_score(), copy.subject.reason) == (EXACT, None, RACED)
    assert outcome(pipeline, rule("(g - 0.5 * g) * (2.0 * lr)")) == PRINT, "a failure is never copied by real_key, only by a lossy filter"

    pipeline = Pipeline(Flow())
    outcome(pipeline, SGD, score=0.25)
    same = pipeline.admit(proposal(pipeline, rule("(g - 0.5 * g) * (2.0 * lr)")), 0)
    assert (same.outcome, same.subject.known_score()) == (REAL, 0.25)


def test_a_start_is_trained_whatever_the_filters_think() -> None:
    pipeline = Pipeline(Flow())
    ticket = pipeline.admit(proposal(pipeline, rule("-(lr * g)"), "start"), 0)
    assert ticket.outcome == TRAINED


LOST = {"ademamix": PRINT, "ldog": "no_descent", "prodigy": "no_descent"}
"""Known rules that the lossy filters do lose: the first begins as adam does, the others need more steps to find their step size."""


def searchable(name: str) -> Genome | None:
    """A known rule as a search could propose it, None for one that needs more than core primitives and gradients."""
    program = zoo.load(name)
    if not isinstance(program, Program) or program.queries:
        return None
    genome = from_program(program)
    return genome if {op for _, op, _ in genome.lines if op} <= set(CORE_OPS) and Flow().walk(genome).form else None


def test_known_rules_are_lost_only_where_we_know_it() -> None:
    pipeline = Pipeline(Flow())
    outcomes = {}
    for name in PLAIN:
        genome = searchable(name)
        if genome is not None:
            ticket = pipeline.admit(Proposal(genome, pipeline.flow.walk(genome), None, "insert"), 0)
            outcomes[name] = ticket.outcome
            if ticket.outcome == TRAINED:
                settle(ticket.subject, 1.0)
    assert {name: outcome for name, outcome in outcomes.items() if outcome in LOSSY} == LOST
    assert {outcomes[name] for name in ("sgd", "momentum", "adam", "adamw", "lion", "lamb", "adafactor")} == {TRAINED}


def evolve(pipeline: Pipeline, mutator: Mutator, seed: int, count: int) -> list[str]:
    """Outcomes of a stream of mutations with made-up scores."""
    rng, outcomes = Random(seed), []
    program = zoo.load("adamw")
    assert isinstance(program, Program)
    genome: Genome = from_program(program)
    walk = mutator.flow.walk(genome)
    pool = [(genome, walk)] * 30
    for _ in range(count):
        child = mutator.mutate(*rng.choice(pool), rng)
        ticket = pipeline.admit(Proposal(child.genome, child.walk, None, child.change), 0)
        if ticket.outcome == TRAINED:
            settle(ticket.subject, rng.random() if rng.random() < 0.7 else None, RACED)
        outcomes.append(ticket.outcome)
        if ticket.subject.known_score() is not None:
            pool[rng.randrange(30)] = (child.genome, child.walk)
    return outcomes


def test_a_pipeline_rebuilt_from_stored_rows_decides_the_same() -> None:
    flow, space = Flow(), Space()
    whole = Pipeline(flow, train_share=0.1)
    evolve(whole, Mutator(space, flow), 0, 400)
    rebuilt = Pipeline(Flow(), train_share=0.1, demand=whole.demand)
    known: dict[int, Subject] = {}
    for subject in whole.subjects:
        known[subject.id] = from_row(to_row(subject), known)
        rebuilt.remember(known[subject.id])
    assert [to_row(s) for s in rebuilt.subjects] == [to_row(s) for s in whole.subjects]
    more = evolve(rebuilt, Mutator(space, rebuilt.flow), 1, 400)
    assert more == evolve(whole, Mutator(space, flow), 1, 400)
    assert len(set(more)) >= 6


def test_the_hurdle_holds_the_share_that_is_trained() -> None:
    flow = Flow()
    shares = {}
    for share in (1.0, 0.01):
        outcomes = evolve(Pipeline(flow, train_share=share), Mutator(Space(), flow), 0, 3000)
        shares[share] = outcomes.count(TRAINED) / len(outcomes)
    assert shares[1.0] > 0.025 and shares[0.01] < 0.75 * shares[1.0]


def test_audits_are_a_random_share_of_lossy_rejects_only() -> None:
    flow = Flow()
    pipeline = Pipeline(flow, audit_share=0.3)
    evolve(pipeline, Mutator(Space(), flow), 0, 1500)
    audited = [s for s in pipeline.subjects if pipeline.audited(s)]
    lossy = [s for s in pipeline.subjects if s.reason in LOSSY]
    assert {s.reason for s in audited} <= set(LOSSY)
    assert 0.2 < len(audited) / len(lossy) < 0.4
    for subject in audited:  # an audit teaches what a filter costs, and changes nothing else
        before = subject.known_score()
        subject.audit_score = -1.0
        assert subject.known_score() == before


def test_false_elimination_is_counted_per_filter() -> None:
    flow = Flow()
    pipeline = Pipeline(flow)
    evolve(pipeline, Mutator(Space(), flow), 0, 600)
    for subject in pipeline.subjects:
        if subject.reason in LOSSY:
            subject.audit_score = 2.0  # worse than every score
    assert all(row.missed == 0 and row.rate == 0.0 for row in audit_filters(pipeline.subjects))
    lost = next(s for s in pipeline.subjects if s.reason == "no_descent")
    lost.audit_score = -1.0
    rows = {row.filter: row for row in audit_filters(pipeline.subjects)}
    assert rows["no_descent"].missed == rows["all filters"].missed == 1
    assert rows["fingerprint"].missed == 0
    assert rows["no_descent"].rate == pytest.approx(1 / (1 + rows["no_descent"].found))
    assert rows["no_descent"].upper > rows["no_descent"].rate
    often = [9 if subject is lost else 1 for subject in pipeline.subjects]
    again = {row.filter: row for row in audit_filters(pipeline.subjects, often)}["no_descent"]
    assert again.missed == 9 and again.distinct_rate == rows["no_descent"].distinct_rate


def test_a_copied_score_that_is_right_is_no_miss() -> None:
    pipeline = Pipeline(Flow())
    outcome(pipeline, SGD, score=0.5)
    assert outcome(pipeline, rule("lr * g + 0.0000001 * (lr * w)")) == PRINT
    missed = []
    for truth in (0.499, 0.45):
        pipeline.subjects[1].audit_score = truth
        missed.append(next(row.missed for row in audit_filters(pipeline.subjects, top=0.5) if row.filter == PRINT))
    assert missed == [0, 1]


def test_an_audited_share_stands_for_the_whole_filter() -> None:
    flow = Flow()
    pipeline = Pipeline(flow)
    evolve(pipeline, Mutator(Space(), flow), 0, 600)
    rejects = [s for s in pipeline.subjects if s.reason == "no_descent"]
    for subject in rejects[: len(rejects) // 4]:
        subject.audit_score = -1.0
    row = {row.filter: row for row in audit_filters(pipeline.subjects, top=0.9)}["no_descent"]
    assert (row.audited, row.rejected) == (len(rejects) // 4, len(rejects))
    assert row.missed == pytest.approx(len(rejects))


def test_the_bound_is_clopper_pearson() -> None:
    assert upper_bound(0, 299) == pytest.approx(1 - 0.05 ** (1 / 299))
    assert upper_bound(5, 5) == 1.0 and upper_bound(0, 0) == 1.0


def test_ten_thousand_hostile_programs_each_get_an_outcome() -> None:
    pipeline, rng = Pipeline(Flow()), Random(0)
    outcomes: Counter[str] = Counter()
    for number in range(10_000):
        genome = from_program(hostile_program(rng, pipeline.flow))
        ticket = pipeline.admit(Proposal(genome, pipeline.flow.walk(genome), None, "hostile"), 0)
        if ticket.outcome == TRAINED:
            settle(ticket.subject, 1.0)
        outcomes.update(count_outcomes([ticket]))
        if number % 1000 == 999:
            pipeline.flow.clear()
            pipeline.by_form.clear()
    assert sum(outcomes.values()) == 10_000
    assert set(outcomes) <= {TRAINED, EXACT, REAL, RATE, *LOSSY}
    assert sum(outcomes[name] for name in (RATE, *PROBE_REASONS)) > 5_000
