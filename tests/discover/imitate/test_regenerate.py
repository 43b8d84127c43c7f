"""Known and invented rules are found again from recorded arrays alone."""

from __future__ import annotations

from functools import cache

import pytest

from discover.errors import UserError
from discover.imitate.engine import Outcome, regenerate
from discover.imitate.start import nodes_of
from discover.imitate.target import Recording, default_streams, record, record_program
from search_space import Program, load, zoo
from search_space.parse import parse_program
from search_space.printer import to_text

SGD = "def sgd(w, g, lr):\n    return lr * g"

INVENTED = {
    "two clocks": """def two_clocks(w, g, lr, *, a: full = zeros, b: full = zeros, p: unit = 0.71, q: unit = 0.963, k: number = 0.37):
    a = lerp(g, a, p)
    b = lerp(g, b, q)
    return lr * sign(a + k * b)""",
    "mean size": """def mean_size(w, g, lr, *, a: full = zeros, m: full = zeros, p: unit = 0.93, q: unit = 0.8, decay: scale = 0.03):
    a = lerp(abs(g), a, p)
    m = lerp(g, m, q)
    return lr * (ratio(m, a) + decay * w)""",
    "bold where signs agree": """def bold(w, g, lr, *, m: full = zeros, b: unit = 0.85):
    m = lerp(g, m, b)
    return lr * exp(sign(g) * sign(m)) * g""",
    "trusted": """def trusted(w, g, lr, *, m: full = zeros, b: unit = 0.9, decay: scale = 0.02):
    m = lerp(g + decay * w, m, b)
    r = ratio(norm(w), norm(m))
    return lr * where(r, r, 1.0) * m""",
    "number before the correction": """def older(w, g, lr, *, m: full = zeros, v: full = zeros, b: unit = 0.9, c: unit = 0.99):
    m = lerp(g, m, b)
    v = lerp(square(g), v, c)
    return lr * debias(m, b, t) / (sqrt(debias(1.0, c, t)) * (sqrt(v) + 1e-5))""",
    "warm": """def warm(w, g, lr, *, m: full = first(g), b: unit = 0.95):
    m = lerp(g, m, b)
    return lr * (g + 3.0 * m)""",
    "rows": """def rows(w, g, lr, *, v: row = zeros, b: unit = 0.97, eps: scale = 1e-06):
    v = lerp(row_mean(square(g)), v, b)
    return lr * g / (sqrt(v) + eps)""",
    "falling": """def falling(w, g, lr, *, m: full = zeros, b: unit = 0.8):
    m = lerp(g, m, b)
    return lr * m / sqrt(t)""",
    "function of the gradient": """def bell(w, g, lr):
    return lr * g * exp(neg(abs(g)))""",
    "function of gradient and weight": """def slope(w, g, lr):
    return lr * max(g, 0.5 * g) * w""",
    "rooted momentum": """def rooted(w, g, lr, *, m: full = zeros, b: unit = 0.87):
    m = b * m + g
    return lr * sign(m) * sqrt(m)""",
}


def start() -> Program:
    return parse_program(SGD)


@cache
def recorded(target: str, seed: int) -> Recording:
    return record(target, default_streams(seed))


def find(target: str, seed: int = 0) -> Outcome:
    return regenerate(recorded(target, seed), start(), seed=seed, budget_seconds=60)


@pytest.mark.parametrize("target", ["momentum", "rmsprop", "lion", "adam", "adadelta"])
def test_known_rules(target: str) -> None:
    outcome = find(target)
    assert outcome.equivalent, to_text(outcome.program)
    assert parse_program(to_text(outcome.program)) == outcome.program


@pytest.mark.long
@pytest.mark.parametrize("target", ["yogi", "grams", "cautious_adamw", "cautious_lion", "adan", "ademamix", "lamb", "novograd"])
def test_richer_known_rules(target: str) -> None:
    outcome = regenerate(recorded(target, 0), start(), seed=0, budget_seconds=200)
    assert outcome.equivalent, to_text(outcome.program)


@pytest.mark.parametrize("name", INVENTED)
def test_invented_rules(name: str) -> None:
    recording = record_program(parse_program(INVENTED[name]), default_streams(1))
    outcome = regenerate(recording, start(), seed=1, budget_seconds=60)
    assert outcome.equivalent, to_text(outcome.program)


def test_optax_target_with_arguments() -> None:
    assert find("optax:sgd?momentum=0.85,nesterov=True").equivalent


def test_constants_are_short() -> None:
    text = to_text(find("adam").program)
    assert "= 0.9," in text and "= 0.999," in text and "1e-08" in text


def test_search_reads_recorded_arrays_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the zoo is read once the target is recorded."""
    expected = find("momentum")
    recording = recorded("momentum", 0)

    def gone(*_: object) -> None:
        raise AssertionError("the zoo was read during the search")

    for name in ("load", "names"):
        monkeypatch.setattr(zoo, name, gone)
    outcome = regenerate(recording, start(), seed=0, budget_seconds=60)
    assert outcome.program == expected.program


def test_same_seed_same_result() -> None:
    first, second = find("lion"), find("lion")
    assert (first.program, first.error, first.log) == (second.program, second.error, second.log)


def test_workers_change_nothing() -> None:
    recording = recorded("momentum", 0)
    outcomes = [regenerate(recording, start(), seed=0, budget_seconds=60, workers=n) for n in (1, 4)]
    assert outcomes[0].program == outcomes[1].program


def test_a_start_that_is_the_target_is_kept() -> None:
    rule = parse_program(INVENTED["rooted momentum"])
    outcome = regenerate(record_program(rule, default_streams(0)), rule, seed=0, budget_seconds=10)
    assert outcome.equivalent and outcome.program == rule


def test_a_miss_is_an_outcome() -> None:
    wild = parse_program("def wild(w, g, lr, *, s: full = zeros):\n    s = sin(s + g)\n    return lr * exp(s) * cos(w * s)")
    outcome = regenerate(record_program(wild, default_streams(0)), start(), seed=0, budget_seconds=4)
    assert not outcome.equivalent and outcome.seconds < 40


@pytest.mark.parametrize("engine", ["evolution", "enumeration", "random", "hyper"])
def test_ablations_and_controls_run(engine: str) -> None:
    outcome = regenerate(recorded("momentum", 0), start(), seed=0, budget_seconds=2, engine=engine)
    assert outcome.equivalent == (engine == "enumeration") or engine == "evolution"
    assert outcome.proposals > 0


def test_evolution_refines_constants() -> None:
    """Only the numbers of the start are wrong: generations and refinement bring them near."""
    near = parse_program("def near(w, g, lr, *, m: full = zeros, b: unit = 0.6):\n    m = b * m + g\n    return lr * m")
    outcome = regenerate(recorded("momentum", 0), near, seed=0, budget_seconds=5, engine="hyper")
    assert outcome.error < 0.3


def test_evolution_keeps_the_number_that_a_slot_starts_from() -> None:
    """Once a crash: the number is named by no line, only by the slot."""
    rule = "def near(w, g, lr, *, m: full = first(init), b: unit = 0.6, init: scale = 0.1):\n    m = lerp(g, m, b)\n    return lr * m"
    outcome = regenerate(recorded("momentum", 0), parse_program(rule), seed=0, budget_seconds=2, engine="evolution")
    assert parse_program(to_text(outcome.program)) == outcome.program


def test_the_start_rule_lends_its_slots() -> None:
    nodes = nodes_of(parse_program(to_text(load("adam"))))
    assert ("ema", ("g",), 0.9) in nodes and ("ema", ("square", ("g",)), 0.999) in nodes


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(UserError, match="combined"):
        regenerate(recorded("momentum", 0), start(), seed=0, budget_seconds=1, engine="magic")
