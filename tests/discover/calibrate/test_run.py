"""Plans, units, resuming and the report, with measurements that are made up."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import calibration as command
from discover.calibrate import run as running
from discover.calibrate.plan import FAMILIES, MEDIUM, RULES, SIZES, Plan, Unit, estimate_seconds, plan_for, units
from discover.calibrate.report import report
from discover.calibrate.run import Calibration, run_unit, start_worker
from discover.errors import JobError, UserError
from discover.evaluate.jobs import hypers_of
from discover.evaluate.protocol import Protocol
from discover.evaluate.trials import Answer, Request
from discover.outcomes import Outcome
from search_space import zoo
from search_space.encode import encode
from search_space.program import Program
from search_space.use import load
from tasks.registry import parse
from tasks.splits import use_of

SMALL = Plan(rules=("sgd", "adamw", "lion", "rmsprop"), families=("digits_mlp", "xor", "lasso"), medium=("digits_mlp",), batch=3)


class FakeExecutor:
    """Does units at once, in this process; stops after `most`."""

    workers = 2
    most = 10**6

    def __init__(self, *_: Any) -> None: ...

    def __enter__(self) -> FakeExecutor:
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, function: str, payloads: Any, on_done: Any) -> None:
        assert function == "discover.calibrate.run:run_unit"
        for i, payload in enumerate(payloads):
            if FakeExecutor.most == 0:
                raise JobError("stopped")
            FakeExecutor.most -= 1
            on_done(i, Outcome("ok", [_made_up(payload, i, rule) for i, rule in enumerate(payload["rules"])], seconds=1.0))


def _made_up(payload: dict[str, Any], place: int, rule: str) -> dict[str, Any]:
    """Losses that depend on the rule, with a little noise that depends on version and seed."""
    plan = SMALL
    rates = plan.around(payload["centres"][place] if payload["centres"] else 0.1, payload["size"])
    rng = np.random.default_rng([len(payload["family"]), SIZES.index(payload["size"]), len(rule)])
    losses = plan.rules.index(rule) + 0.1 * rng.normal(size=(len(rates), plan.seeds)) + np.abs(np.log(rates))[:, None] / 50
    return {"rule": rule, "rates": list(rates), "valid": losses.tolist(), "test": losses.tolist(), "seconds": 0.5}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeExecutor]:
    monkeypatch.setattr(running, "ProcessExecutor", FakeExecutor)
    monkeypatch.setattr(FakeExecutor, "most", 10**6)
    return FakeExecutor


def test_the_plan_is_what_the_issue_asks_for() -> None:
    assert len(RULES) >= 25 and len(set(RULES)) == len(RULES)
    assert len(FAMILIES) >= 25 and set(MEDIUM) <= {f for f in FAMILIES if "medium" in FAMILIES[f]}
    for family, versions in FAMILIES.items():
        assert {"micro", "small"} <= set(versions) and use_of(family) is not None
        for version in versions.values():
            assert parse(version.spec).name == family
        work = [v.steps * v.microseconds for v in versions.values()]
        assert all(4 <= dear / cheap for cheap, dear in zip(work, work[1:], strict=False)), family


@pytest.mark.parametrize("rule", RULES)
def test_the_interpreter_holds_every_rule(rule: str) -> None:
    program = load(rule)
    assert isinstance(program, Program) and not program.plan and not program.queries and program.view is None
    encode(program)


def test_more_time_buys_more() -> None:
    short = plan_for(0.4, 2)
    assert short.medium == MEDIUM and short.seeds >= 3
    assert estimate_seconds(short, 2) <= 0.4 * 3600
    long = plan_for(6, 2)
    assert (
        long.seeds >= short.seeds and set(long.medium) > set(MEDIUM) and estimate_seconds(short, 2) <= estimate_seconds(long, 2) <= 6 * 3600
    )
    assert plan_for(0.6, 1).seeds <= short.seeds
    for hours in (0.01, 0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match="hours"):
            plan_for(hours, 2)


def test_rates_lie_around_the_best() -> None:
    plan = Plan()
    grid = plan.grid()
    assert (grid[0], grid[-1]) == (plan.low, pytest.approx(plan.high))
    fine, dear = plan.around(0.1, "small"), plan.around(0.1, "medium")
    assert len(fine) == plan.fine and fine[2] == pytest.approx(0.1) and fine[-1] / fine[0] < (grid[1] / grid[0]) ** 2
    assert dear == pytest.approx((0.1 / plan.step, 0.1, 0.1 * plan.step))


def test_units_cover_every_rule_of_every_version_once() -> None:
    found = units(SMALL, SIZES)
    covered = [(u.family, u.size, rule) for u in found for rule in u.rules]
    assert len(covered) == len(set(covered)) == 4 * (3 + 3 + 1)
    assert len({u.name for u in found}) == len(found)


def test_a_stopped_calibration_continues_to_the_same_tables(tmp_path: Path, fake: type[FakeExecutor]) -> None:
    whole, parts = Calibration(tmp_path / "whole", SMALL), Calibration(tmp_path / "parts", SMALL)
    lines: list[str] = []
    running.run(whole, 2, lines.append)
    assert len(lines) == len(units(SMALL, SIZES)) and "100% of this stage" in lines[-1]
    for most in (3, 5, 10**6):
        fake.most = most
        try:
            running.run(Calibration(tmp_path / "parts"), 2, lines.append)
        except JobError:
            assert most < 10
    assert len(lines) == 2 * len(units(SMALL, SIZES))  # nothing was done twice
    assert report(whole, 10) == report(parts, 10)
    assert whole.best_rates("digits_mlp") == parts.best_rates("digits_mlp")


def test_medium_is_centred_on_the_best_rates_of_small(tmp_path: Path, fake: type[FakeExecutor]) -> None:
    calibration = Calibration(tmp_path, SMALL)
    running.run(calibration, 2, lambda _: None)
    best = calibration.best_rates("digits_mlp")
    for row in calibration.rows("digits_mlp", "medium") or []:
        assert row["rates"][1] == pytest.approx(best[row["rule"]])


def test_the_report_shows_what_is_there(tmp_path: Path, fake: type[FakeExecutor]) -> None:
    calibration = Calibration(tmp_path, SMALL)
    assert "micro against small" not in report(calibration, 10)
    running.run(calibration, 2, lambda _: None)
    text = report(calibration, 10)
    assert "micro against small: 4 rules, 3 families; median 1.00, pooled 1.00" in text
    assert "small against medium: 4 rules, 1 families" in text and "Chosen:" in text
    for table in text.split("\n\n"):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


def test_wrong_use_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Calibration(tmp_path / "other", SMALL)
    for arguments in (["--hours", "0"], ["--hours", "0.001"], ["--table-only"]):
        monkeypatch.setattr("sys.argv", ["calibration", "--out", str(tmp_path / "new"), *arguments])
        assert command.main() == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and "Traceback" not in error
    with pytest.raises(UserError, match="another plan"):
        Calibration(tmp_path / "other", replace(SMALL, seeds=5))


class FakeTrainer:
    """Losses that are lowest at the rate 0.3, the same for all rules; draw i adds i."""

    def __init__(self, task: str, steps: int, protocol: Protocol, seed: int, rules: tuple[str, ...]) -> None:
        self.facts = (task, steps, protocol.tune_seeds, protocol.seeds, seed)
        assert self.facts[:2] in [(version.spec, version.steps) for family in FAMILIES.values() for version in family.values()]
        assert rules == (zoo.text("sgd"), zoo.text("adamw"))

    def measure(self, rule: str, requests: list[Request]) -> list[Answer]:
        assert all(dict(request.hypers) == {h.name: h.default for h in hypers_of(rule)} for request in requests)
        losses = [[abs(np.log(r / 0.3)) + i for r, i in zip(q.rates, q.instances, strict=True)] for q in requests]
        return [Answer(tuple(values), tuple(v + 100 for v in values), (), ()) for values in losses]


@pytest.mark.parametrize("centres", [(), (5.0, 6.0)])
def test_a_unit_trains_around_the_best_coarse_rate_or_the_given_centre(monkeypatch: pytest.MonkeyPatch, centres: tuple[float, ...]) -> None:
    monkeypatch.setattr("discover.evaluate.measure.Trainer", FakeTrainer)
    monkeypatch.setattr("jax.clear_caches", lambda: None)  # other tests in this process use theirs
    plan = replace(SMALL, rules=("sgd", "adamw"), seeds=2)
    start_worker(plan.to_json())
    found = run_unit(asdict(Unit("digits_mlp", "medium" if centres else "small", 0, plan.rules, centres)))
    nearest = min(plan.grid(), key=lambda rate: abs(np.log(rate / 0.3)))
    for row, rule, centre in zip(found, plan.rules, centres or (nearest, nearest), strict=True):
        assert row["rule"] == rule
        assert row["rates"] == pytest.approx(plan.around(centre, "medium" if centres else "small"))
        expected = np.abs(np.log(np.array(row["rates"]) / 0.3))[:, None] + [1, 2]  # the coarse draw is 0, fresh ones follow
        np.testing.assert_allclose(row["valid"], expected)
        np.testing.assert_allclose(row["test"], expected + 100)
