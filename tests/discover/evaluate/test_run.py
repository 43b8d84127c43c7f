"""Whole evaluations with instant trainings: workers, kills, failures, files, and one line for wrong use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from discover.cli import main
from discover.errors import JobError
from discover.evaluate import run as running
from discover.evaluate.presets import named_rules
from discover.evaluate.protocol import EvaluationConfig, NamedRule, Protocol, TaskPlan
from discover.evaluate.run import cells_of, estimate_seconds, perform, resume, run
from discover.executor import InProcessExecutor
from discover.store import RunStore
from tests.discover.evaluate import fake

TASKS = (TaskPlan("digits_mlp", 10, 5.0), TaskPlan("noisy_quadratic", 20, 1.0))
CONFIG = EvaluationConfig(named_rules(["sgd", "lion", "adam", "adamw"]), TASKS, Protocol(), seed=3, batch=2)


@pytest.fixture(autouse=True)
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "WORKER", "tests.discover.evaluate.fake:prepare")
    monkeypatch.setattr(running, "JOB", "tests.discover.evaluate.fake:run_job")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory):
    """The run that nothing happened to, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "JOB", "tests.discover.evaluate.fake:run_job")
        return in_process(CONFIG, tmp_path_factory.mktemp("whole") / "run")


def in_process(config: EvaluationConfig, folder: Path):
    with RunStore.create(folder, "evaluate", config.to_json()) as store:
        perform(config, store, InProcessExecutor(fake.prepare, config.to_json(), pin=False))
        store.finish("finished")
        return cells_of(store)


def test_the_table_does_not_depend_on_the_workers(tmp_path: Path, whole):
    assert run(CONFIG, tmp_path / "two", workers=2) == whole
    assert len(whole) == 4 * 2 * 2 and [c.task for c in whole] == ["digits_mlp"] * 8 + ["noisy_quadratic"] * 8


@pytest.mark.parametrize("jobs", [0, 1, 3])
def test_a_run_that_was_stopped_continues_to_the_same_table(tmp_path: Path, whole, jobs: int):
    class Stops(InProcessExecutor):
        def map(self, function, payloads, on_done=None):
            super().map(function, payloads[:jobs], on_done)
            raise KeyboardInterrupt

    folder = tmp_path / "run"
    with RunStore.create(folder, "evaluate", CONFIG.to_json()) as store, pytest.raises(KeyboardInterrupt):
        perform(CONFIG, store, Stops(fake.prepare, CONFIG.to_json(), pin=False))
    with RunStore.open(folder, readonly=True) as store:
        assert len(store.jobs()) == jobs
    again = resume(folder, workers=1)
    assert again == whole
    assert resume(folder) == whole  # finished: nothing is done


def test_an_error_or_a_death_of_a_worker_is_a_row(tmp_path: Path):
    rules = (NamedRule("broken", CONFIG.rules[0].text), NamedRule("deadly", CONFIG.rules[0].text), CONFIG.rules[3])
    found = run(EvaluationConfig(rules, TASKS[:1], batch=1), tmp_path / "run", workers=1)
    reasons = {cell.rule: cell.failed for cell in found}
    assert reasons["broken"] == "it broke" and reasons["deadly"].startswith("crash: the worker exited with code 3") and not reasons["adamw"]


def test_a_broken_program_stops_the_run_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(running, "JOB", "tests.discover.jobs:fail")
    with pytest.raises(JobError):
        run(CONFIG, tmp_path / "run", workers=1)


def test_progress_counts_jobs_and_says_what_is_left(tmp_path: Path):
    seen = []
    run(CONFIG, tmp_path / "run", events=seen.append, workers=1)
    assert [event.done for event in seen] == [0, 1, 2, 3, 4] and seen[0].total == 4
    assert 0 < seen[0].seconds_left < estimate_seconds(CONFIG, 1) and seen[-1].seconds_left == 0


def test_a_leaderboard_writes_its_files_and_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "board"
    options = ["--task", "digits_mlp", "--task", "noisy_quadratic", "--workers", "1", "--json"]
    assert main(["leaderboard", *options, "--out", str(folder)]) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"run", "rules", "tasks", "rankings"} <= set(printed) and printed["tasks"] == ["digits_mlp", "noisy_quadratic"]
    assert sorted(printed["rankings"]["mean"]) == sorted(printed["rules"])
    lines = (folder / "leaderboard.csv").read_text().splitlines()
    assert len(lines) == 1 + 12 * 2 * 2 and sum(",cosine,1," in line for line in lines) == 24
    assert "<html" in (folder / "leaderboard.html").read_text() and (folder / "leaderboard.json").exists()
    before = (folder / "leaderboard.json").read_text()
    (folder / "leaderboard.html").unlink()
    assert main(["resume", str(folder)]) == 0 and (folder / "leaderboard.html").exists()
    assert (folder / "leaderboard.json").read_text() == before
    capsys.readouterr()
    assert main(["show", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rankings"] == printed["rankings"]


def test_evaluate_prints_the_keys_that_scripts_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    options = ["sgd", "lion", "--task", "digits_mlp", "--seeds", "3", "--workers", "1", "--out", str(tmp_path / "run")]
    assert main(["evaluate", *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["results"]
    assert [row["rule"] for row in found] == ["sgd", "lion", "adamw"]
    assert all({"rule", "task", "metric", "mean", "low", "high", "steps_ratio", "cost_ratio", "tuned"} <= set(row) for row in found)
    assert all(row["schedule"] == "cosine" and len(row["losses"]) == 3 for row in found)
    assert main(["show", str(tmp_path / "run")]) == 0
    assert "lion" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["evaluate"], "no rule given"),
        (["evaluate", "adamm"], "unknown rule 'adamm' (did you mean"),
        (["evaluate", "sgd", "--task", "digit_mlp"], "unknown task 'digit_mlp' (did you mean 'digits_mlp'?)"),
        (["evaluate", "sgd", "--task", "digits_mlp", "--task", "digits_mlp"], "a task is given twice: digits_mlp"),
        (["evaluate", "sgd", "--seeds", "0"], "--seeds must be at least 2"),
        (["evaluate", "sgd", "--steps", "0"], "--steps must be at least 1"),
        (["evaluate", "sgd", "sgd"], "two rules are called 'sgd'"),
        (["evaluate", "lookahead"], "rule 'lookahead' asks for the update of another rule"),
        (["evaluate", "sophia_g"], "which no task gives"),
        (["evaluate", "sgd", "--preset", "quik"], "unknown preset 'quik' (did you mean 'quick'?)"),
        (["leaderboard", "--preset", "all"], "unknown preset 'all'"),
        (["leaderboard", "--rule", "adam"], "two rules are called 'adam'"),
        (["evaluate", "sgd", "--workers", "0"], "--workers must be at least 1"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert line in err and len(err.splitlines()) == 1
