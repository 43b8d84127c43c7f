"""The search as a whole, with instant scores: same result for any workers, after kill -9 anywhere, and after Ctrl-C."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

import discover.search as search
import discover.trainer
from discover.audit import LOSSY
from discover.config import PRESETS, SearchConfig, preset
from discover.errors import UserError
from discover.events import Progress
from discover.schema import TRAINED
from discover.store import RunStore
from search_space.parse import parse_program
from tests.discover.search_child import configuration, use_fake_scores

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def fake_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discover.trainer, "JOB", "")  # so that both are put back afterwards
    monkeypatch.setattr(search, "WORKER", "")
    use_fake_scores()


def contents(folder: Path) -> dict[str, Any]:
    """Everything a run found that must not depend on how it was run; seconds are left out."""
    with RunStore.open(folder, readonly=True) as store:
        last = store.last_generation()
        assert last is not None
        state = {key: value for key, value in last[1].items() if key != "seconds"}
        candidates = store.candidates()
        evaluations = [store.evaluations(c.id) for c in candidates if c.status == TRAINED]
        return {
            "candidates": candidates, "evaluations": evaluations, "attempts": store.attempt_counts(), "state": state,
            "result": store.info().result, "generations": last[0], "proposals": store.proposals(), "status": store.info().status,
        }  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run([*child(folder, 1)], cwd=ROOT, check=True, timeout=120)
    yield {"folder": folder, **contents(folder)}


def child(folder: Path, workers: int, *verb: str) -> list[str]:
    return [sys.executable, "-m", "tests.discover.search_child", str(folder), str(workers), *verb]


def test_the_run_is_worth_comparing(whole: dict[str, Any]) -> None:
    assert whole["status"] == "finished" and whole["proposals"] == 600
    assert sum(whole["attempts"].values()) == 600
    assert {"exact_key", "no_descent", "raced_out", "fingerprint", TRAINED} <= set(whole["attempts"])
    heroes = whole["result"]["hall"]
    starts = {c.id for c in whole["candidates"] if c.origin == "start"}
    assert len(heroes) == 3 + len(starts) and starts < {hero["id"] for hero in heroes}, "the start rules compete"
    assert [h["fresh_score"] for h in heroes] == sorted(h["fresh_score"] for h in heroes)
    assert {row["rule"] for row in whole["result"]["table"]} == {"found", "sgd", "momentum", "adam", "lion"}
    best = min(c.score for c in whole["candidates"] if c.score is not None)
    start = next(c.score for c in whole["candidates"] if c.origin == "start")
    assert best < start


@pytest.mark.parametrize("workers", [2, 4])
def test_the_result_does_not_depend_on_workers(whole: dict[str, Any], tmp_path: Path, workers: int) -> None:
    search.run(configuration(), tmp_path / "run", workers=workers)
    assert contents(tmp_path / "run") == {key: value for key, value in whole.items() if key != "folder"}


def committed(folder: Path) -> int:
    """Generations in a run's store, 0 where there is none yet."""
    try:
        with RunStore.open(folder, readonly=True) as store:
            last = store.last_generation()
    except UserError:
        return 0
    return 0 if last is None else last[0] + 1


def test_killed_anywhere_and_resumed_is_the_same_run(whole: dict[str, Any], tmp_path: Path) -> None:
    rng, folder, kills = Random(11), tmp_path / "run", 0
    slow = {**os.environ, "FAKE_SCORING_DELAY": "0.05"}
    while kills < 6:
        verb = ("resume",) if (folder / "run.db").exists() else ()
        process = subprocess.Popen(child(folder, 2, *verb), cwd=ROOT, start_new_session=True, env=slow)
        target = committed(folder) + rng.randint(1, 2)
        while process.poll() is None and committed(folder) < target:
            time.sleep(0.02)
        time.sleep(0.15 * rng.random())
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills >= 4, "the run was over before it could be killed"
    subprocess.run(child(folder, 2, "resume"), cwd=ROOT, check=True, timeout=120)
    assert contents(folder) == {key: value for key, value in whole.items() if key != "folder"}


def test_ctrl_c_keeps_what_is_done(whole: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def interrupt(progress: Progress) -> None:
        if progress.done > 200:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        search.run(configuration(), folder, interrupt, workers=1)
    with RunStore.open(folder, readonly=True) as store:
        assert 200 < store.proposals() < 300
        assert store.info().status != "finished"
    search.resume(folder, workers=1)
    assert contents(folder) == {key: value for key, value in whole.items() if key != "folder"}


def test_a_finished_run_is_left_alone_and_a_live_one_refused(whole: dict[str, Any]) -> None:
    folder = whole["folder"]
    before = (folder / "run.db").read_bytes()
    result = search.resume(folder)
    assert result.proposals == 600 and result.best[0]["score"] is not None
    assert (folder / "run.db").read_bytes() == before
    with pytest.raises(UserError, match="already holds a run"):
        search.run(configuration(), folder)


def test_resuming_a_live_run_is_refused(tmp_path: Path) -> None:
    with RunStore.create(tmp_path / "run", search.KIND, configuration().to_json()), pytest.raises(UserError):
        search.resume(tmp_path / "run")


def test_audited_rules_never_enter_population_or_hall(whole: dict[str, Any]) -> None:
    audited = {c.id for c in whole["candidates"] if c.detail["audit_score"] is not None}
    assert len(audited) >= 10
    assert all(c.reason in LOSSY and c.score is None for c in whole["candidates"] if c.id in audited)
    assert not audited & {hero["id"] for hero in whole["result"]["hall"]}
    scores = {c.id: c.score for c in whole["candidates"]}
    twins = {c.id: c.detail["twin"] for c in whole["candidates"] if c.detail["twin"] is not None}
    for _, subject, score in whole["state"]["strategy"]["members"]:
        while subject in twins:  # near-duplicates are members with the score of what they are like, audited or not
            subject = twins[subject]
        assert subject not in audited and score == scores[subject]
    assert sum(row["audited"] for row in whole["result"]["audit"] if row["filter"] != "all filters") == len(audited)


def test_the_front_is_written_as_csv(whole: dict[str, Any]) -> None:
    with open(whole["folder"] / "front.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores) and scores[0] == min(c.score for c in whole["candidates"] if c.score is not None)
    sizes = [(float(row["state_bytes_per_param"]), float(row["flops_per_param"])) for row in rows]
    assert all(any(b < a for a, b in zip(one, two, strict=True)) for one, two in zip(sizes, sizes[1:], strict=False))
    assert all(parse_program(row["rule"]) for row in rows)


def test_the_best_rule_is_written_for_use(whole: dict[str, Any]) -> None:
    found = parse_program((whole["folder"] / "best.rule").read_text(encoding="utf-8"))
    assert found.name == "found"
    assert replace(found, name="sgd") == replace(parse_program(whole["result"]["hall"][0]["rule"]), name="sgd")


def test_constraints_hold_in_a_search(tmp_path: Path) -> None:
    ops = ("mul", "sign", "lerp", "add")
    config = preset(
        "micro", start=("sgd",), ops=ops, max_slots=1, max_statements=6, max_proposals=300, budget_seconds=None, generation=50,
        population=40, hall=2, final_rounds=2, final_trials=1, held_out=(), baselines=(),
    )  # fmt: skip
    search.run(config, tmp_path / "run", workers=1)
    with RunStore.open(tmp_path / "run", readonly=True) as store:
        texts = [c.text for c in store.candidates()]
    assert len(texts) > 30
    for program in map(parse_program, texts):
        assert len(program.slots) <= 1 and len(program.body) <= 6


@pytest.mark.parametrize("strategy", ["random", "hyper"])
def test_the_controls_run(tmp_path: Path, strategy: str) -> None:
    config = preset(
        "micro", start=("adamw",), strategy=strategy, max_proposals=120, budget_seconds=None, generation=40, population=40, hall=2,
        final_rounds=2, final_trials=1, held_out=(),
    )  # fmt: skip
    result = search.run(config, tmp_path / "run", workers=1)
    assert result.proposals == 120 and result.trained >= 1


def test_the_budget_cuts_between_generations(tmp_path: Path) -> None:
    config = preset("micro", start=("sgd",), budget_seconds=2.0, generation=20, population=40, hall=2, held_out=(), baselines=())
    start = time.monotonic()
    result = search.run(config, tmp_path / "run", workers=1)
    assert time.monotonic() - start < 30.0
    assert result.proposals % 20 == 1 and result.proposals > 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": ("adamw",), "max_slots": 1}, "has 2 slots; allowed by max_slots: 1"),
        ({"start": ("adamw",), "max_statements": 4}, "allowed by max_statements: 4"),
        ({"start": ("adamw",), "ops": ("sign",)}, "allowed by ops: sign"),
    ],
)
def test_starts_must_obey_the_constraints(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        search.run(preset("micro", **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generation": 0}, "generation must be at least 1"),
        ({"ops": ("frobnicate",)}, "unknown primitive 'frobnicate'"),
        ({"tasks": ("nothing",)}, "unknown task"),
        ({"tasks": ()}, "tasks is empty"),
        ({"strategy": "magic"}, "strategy is 'magic'; allowed: evolution, random, hyper"),
        ({"budget_seconds": None}, "needs a limit"),
        ({"rung_keep": (0.5,)}, "rung_keep must hold 2 shares"),
        ({"weights": (1.0, 1.0)}, "weights must be empty or one positive number for each task"),
        ({"rates": (0.1, -1.0)}, "positive learning rates"),
        ({"tournament": 500}, "must not exceed population"),
        ({"budget_seconds": -3.0}, "budget_seconds must be at least"),
    ],
)
def test_wrong_configurations_are_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        preset("micro", **changes)
    assert "\n" not in str(error.value)


def test_configurations_survive_json() -> None:
    for config in PRESETS.values():
        assert SearchConfig.from_json(config.to_json()) == config
    with pytest.raises(UserError, match="unknown configuration field 'colour'"):
        SearchConfig.from_json({"colour": 1})


def test_importing_the_search_does_not_import_jax() -> None:
    code = "import sys, discover.search, discover.config; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
