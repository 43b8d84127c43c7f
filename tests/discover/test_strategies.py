"""Ask/tell: deterministic, resumable from JSON, and doing what their names say."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from discover.errors import JobError
from discover.flow import Flow
from discover.genome import Genome, from_program
from discover.mutate import Mutator
from discover.space import Space
from discover.strategies import Evolution, Proposal, RandomSearch, Restart, Strategy, Told
from search_space.parse import parse_program

SGD = from_program(parse_program("def sgd(w, g, lr):\n    return lr * g\n"))
SIGN = from_program(parse_program("def sign_sgd(w, g, lr):\n    return lr * sign(g)\n"))


def make(kind: str, **options: Any) -> Strategy:
    mutator = Mutator(Space(), Flow())
    if kind == "random":
        return RandomSearch([SGD, SIGN], mutator)
    return Evolution([SGD, SIGN], mutator, options.pop("population", 30), options.pop("tournament", 3), Restart(**options))


def score(genome: Genome) -> float | None:
    """A made-up task: long programs with few sines are good; some fail."""
    ops = [op for _, op, _ in genome.lines]
    return None if "log" in ops else 50.0 - len(ops) + 3.0 * ops.count("sin")


def advance(strategy: Strategy, first: int, last: int, numbers: dict[Genome, int]) -> list[list[Proposal]]:
    """Generations first … last−1, each from its own generator, as the search does."""
    asked = []
    for generation in range(first, last):
        proposals = strategy.ask(Random(f"7:{generation}"), 25)
        asked.append(proposals)
        strategy.tell([Told(p, numbers.setdefault(p.genome, len(numbers)), score(p.genome)) for p in proposals])
    return asked


def genomes(asked: list[list[Proposal]]) -> list[list[tuple[Genome, int | None, str]]]:
    return [[(p.genome, p.parent, p.origin) for p in generation] for generation in asked]


@pytest.mark.parametrize("kind", ["evolution", "random"])
def test_the_same_seed_gives_the_same_proposals(kind: str) -> None:
    one, other = (genomes(advance(make(kind), 0, 12, {})) for _ in range(2))
    assert one == other
    assert len({g for generation in one for g, _, _ in generation}) > 100


@pytest.mark.parametrize("kind", ["evolution", "random"])
def test_a_json_round_trip_of_the_state_equals_continuing(kind: str) -> None:
    options = {} if kind == "random" else {"patience": 60}
    whole, numbers = make(kind, **options), {}
    advance(whole, 0, 6, numbers)
    state = json.loads(json.dumps(whole.state()))
    continued = make(kind, **options)
    continued.restore(state)
    assert continued.state() == whole.state()
    rest = genomes(advance(continued, 6, 14, dict(numbers)))
    assert rest == genomes(advance(whole, 6, 14, numbers))
    assert continued.state() == whole.state()


def test_the_first_generation_is_the_starts() -> None:
    proposals = make("evolution").ask(Random(0), 25)
    assert [(p.genome, p.origin) for p in proposals] == [(SGD, "start"), (SIGN, "start")]


def test_evolution_improves_and_what_failed_never_enters() -> None:
    strategy = make("evolution")
    advance(strategy, 0, 60, {})
    assert isinstance(strategy, Evolution) and strategy.best is not None
    assert strategy.best.score < 45.0, "49 is where it starts"
    assert all(score(member.genome) is not None for member in strategy.members)
    assert len(strategy.members) == 30


def test_the_oldest_dies() -> None:
    strategy = make("evolution", population=4, tournament=1)
    assert isinstance(strategy, Evolution)
    advance(strategy, 0, 1, {})
    mutator = strategy.mutator
    genomes = [SGD.with_lines((*SGD.lines, (f"v{9 + i}", "sign", ("g",)))) for i in range(5)]
    strategy.tell([Told(Proposal(g, mutator.flow.walk(g), 0, "insert"), 10 + i, 1.0) for i, g in enumerate(genomes)])
    assert [member.subject for member in strategy.members] == [11, 12, 13, 14]


@pytest.mark.parametrize(("source", "expected"), [("best", {1}), ("start", {0, 1})])
def test_restart_on_a_plateau(source: str, expected: set[int]) -> None:
    strategy = make("evolution", patience=40, source=source)
    assert isinstance(strategy, Evolution)
    first = strategy.ask(Random(0), 25)
    strategy.tell([Told(p, i, 1.0 - i) for i, p in enumerate(first)])  # the second start is the best and stays so
    for generation in range(1, 3):
        proposals = strategy.ask(Random(generation), 25)
        strategy.tell([Told(p, 5, 9.0) for p in proposals])
    assert {member.subject for member in strategy.members} == expected
    assert strategy.idle == 0


def test_no_trainable_start_is_an_error() -> None:
    strategy = make("evolution")
    first = strategy.ask(Random(0), 25)
    with pytest.raises(JobError, match="no start rule"):
        strategy.tell([Told(p, i, None) for i, p in enumerate(first)])
