"""Scoring by training, for real: one compilation for everything, the same bits from any number of workers, sane scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from discover.config import SearchConfig, preset
from discover.executor import ProcessExecutor
from discover.generate import hostile_program
from discover.jobs import Job
from discover.scoring import Scorer
from discover.search import run
from discover.store import RunStore
from discover.trainer import Trainer
from search_space import zoo
from search_space.printer import to_text
from search_space.program import Program

CONFIG = preset(
    "micro", tasks=("noisy_quadratic?rows=3&cols=4",), start=("sgd",), max_proposals=120, budget_seconds=None, generation=40, population=40,
    steps=40, batch=4, hall=2, hall_rounds=2, checks=(), final_rounds=2, final_trials=1, held_out=(), baselines=("sgd",), audit_share=0.1,
)  # fmt: skip
"""Small enough to compile in seconds."""


def text(name: str) -> str:
    program = zoo.program(name)
    assert isinstance(program, Program)
    return to_text(program)


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessExecutor]:
    with ProcessExecutor(1, "tests.discover.compile_count:start_worker", CONFIG.to_json()) as executor:
        yield executor


def job(programs: tuple[str, ...], config: SearchConfig = CONFIG, steps: int = 40) -> Job:
    return Job(programs, config.tasks, steps, 1, config.rates, config.seed)


def score(pool: ProcessExecutor, *jobs: Job) -> list[list[dict]]:
    outcomes = pool.map("discover.scoring:score_job", [j.to_json() for j in jobs])
    assert [o.reason for o in outcomes] == ["ok"] * len(jobs), [o.message for o in outcomes]
    return [o.value for o in outcomes]


def compilations(pool: ProcessExecutor) -> int:
    return pool.map("tests.discover.compile_count:compilations", [None])[0].value


def test_racing_and_other_programs_never_recompile(pool: ProcessExecutor) -> None:
    score(pool, job((text("sgd"),)))
    before = compilations(pool)
    assert before >= 1
    score(pool, *(job((text(name), text("lion")), steps=steps) for name in ("adam", "lamb", "adafactor") for steps in (2, 10, 40)))
    score(pool, Job((text("adam"),) * 4, CONFIG.tasks, 7, 2, tuple(2 * r for r in CONFIG.rates), 99, stream=2, centres=((0.5,),) * 4))
    assert compilations(pool) == before


def test_scores_say_how_far_the_loss_fell(pool: ProcessExecutor) -> None:
    ascent = "def ascent(w, g, lr):\n    return -(lr * g)\n"
    still = "def still(w, g, lr):\n    return 0.0 * g\n"
    blows = "def blows(w, g, lr):\n    return 1e30 * g\n"
    sgd, up, none, inf = score(pool, job((text("sgd"), ascent, still, blows)))[0]
    assert 0.0 < sgd["score"] < 0.9
    assert none["score"] == pytest.approx(1.0)
    assert up["score"] > 1.0
    assert (inf["score"], inf["reason"]) == (None, "diverged")
    shorter = score(pool, job((text("sgd"),), steps=4))[0][0]
    assert sgd["score"] < shorter["score"] < 1.0


def test_weights_say_how_much_each_family_counts() -> None:
    """A weighted geometric mean; a task that the search does not train on, such as a check, has weight 1."""
    config = replace(CONFIG, tasks=("noisy_quadratic?rows=3&cols=4", "xor"), weights=(0.5, 2.0))
    scorer = Scorer(config)

    def measure(*tasks: str) -> float:
        found = scorer.score(Job((text("sgd"),), tasks, 40, 1, config.rates, 0))[0].score
        assert found is not None
        return found

    quadratic, xor = (measure(task) for task in config.tasks)
    assert measure(*config.tasks) == pytest.approx((quadratic**0.5 * xor**2.0) ** (1 / 2.5), rel=1e-5)
    assert measure("xor", "xor?width=3") == pytest.approx((xor**2.0 * measure("xor?width=3")) ** (1 / 3.0), rel=1e-5)
    assert Scorer(replace(config, weights=())).config.weight("xor") == 1.0


def test_a_constant_factor_does_not_change_a_score(pool: ProcessExecutor) -> None:
    scaled = [f"def scaled(w, g, lr):\n    return lr * ({5 ** (i / 4)} * g)\n" for i in range(4)]
    trainer = Trainer(CONFIG, pool)

    def spread(scores: list[float | None]) -> float:
        assert all(score is not None for score in scores)
        return max(x for x in scores if x) / min(x for x in scores if x) - 1.0

    coarse = spread([m.score for m in trainer.measure(scaled, replace(trainer.job(), reading="best"))])
    fine = spread([m.score for m in trainer.measure_finely(scaled, trainer.job(rounds=CONFIG.full_rounds))])
    assert fine < 0.02 and coarse > 0.1


def test_a_program_does_not_feel_its_neighbours_in_the_batch(pool: ProcessExecutor) -> None:
    blows = "def blows(w, g, lr):\n    return 1e30 * g\n"
    alone = score(pool, job((text("adam"),)))[0][0]
    beside = score(pool, job((blows, text("lion"), blows, text("adam"))))[0][3]
    assert alone == beside


def test_hostile_programs_come_back_with_a_score_or_a_reason(pool: ProcessExecutor) -> None:
    from random import Random

    rng = Random(5)
    texts = [to_text(hostile_program(rng)) for _ in range(60)]
    results = [r for part in score(pool, *(job(tuple(texts[i : i + 4])) for i in range(0, 60, 4))) for r in part]
    assert all((r["score"] is None) == (r["reason"] in ("diverged", "too_large")) for r in results)
    assert {r["reason"] for r in results} >= {"diverged"}


def test_one_and_two_workers_find_the_same_bits(tmp_path: Path) -> None:
    found = []
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        result = run(CONFIG, folder, workers=workers)
        with RunStore.open(folder, readonly=True) as store:
            found.append((store.candidates(), store.attempt_counts(), result.result))
    assert found[0] == found[1]
    assert any(c.score is not None and c.origin != "start" for c in found[0][0])
