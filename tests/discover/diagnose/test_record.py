"""Diagnostics of a run: which rules are followed and how, the file, and the tables."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from discover.cli.diagnoses import show
from discover.diagnose import measure, record
from discover.evaluate.protocol import EvaluationConfig, NamedRule, Protocol, TaskPlan
from discover.events import ignore
from search_space.program import RuleError
from tasks.contracts import Schedule

CONFIG = EvaluationConfig(
    (NamedRule("sgd", "text of sgd"), NamedRule("odd", "text of odd")), (TaskPlan("digits_mlp", 7),), Protocol(warmup=0.1), seed=3
)


@dataclass
class Tuned:
    """What `diagnose_cells` reads of a cell."""

    rule: str
    schedule: str
    tuned: dict
    task: str = "digits_mlp"
    steps: int = 7


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list:
    """What the trainings were asked for, instead of trainings."""
    calls = []

    def fake(rule, task, rate, steps, **options):
        if rule == "text of odd":
            raise RuleError("asks for too much")
        calls.append((rule, task, rate, steps, options))
        point = dict.fromkeys(("loss", "sharpness", "directional", "adaptive_worst", "adaptive_inf", "adaptive_average"), 1.5)
        point |= {"step": 0, "rate_sharpness": float("inf"), "top_share": float("nan")}
        layer = {"ratio": 0.1, "effective_rate": 0.2, "barrier": 0.0}
        return measure.Diagnosis("found", task, 10, (point,), {"layer_0/w": layer}, {"sharpness": 2.0, "gradient": 0.0})

    monkeypatch.setattr(measure, "diagnose", fake)
    return calls


def test_rules_are_followed_as_they_were_tuned(tmp_path: Path, asked: list, capsys: pytest.CaptureFixture[str]):
    assert record.load(tmp_path) == []
    cells = [
        Tuned("sgd", "cosine", {"learning_rate": 0.5, "decay": 0.25}),
        Tuned("sgd", "constant", {"learning_rate": 0.125}),
        Tuned("sgd", "constant", {}),  # failed everywhere
        Tuned("odd", "constant", {"learning_rate": 1.0}),
    ]
    record.diagnose_cells(tmp_path, CONFIG, cells, ignore)  # type: ignore[arg-type]
    schedules = [Schedule("cosine", 0.1), Schedule("constant", 0.0)]
    hypers = [{"decay": 0.25}, {}]
    assert asked == [
        ("text of sgd", "digits_mlp", rate, 7, {"hypers": h, "schedule": s, "seed": 3})
        for rate, h, s in zip((0.5, 0.125), hypers, schedules, strict=True)
    ]
    found = record.load(tmp_path)
    assert [row["rule"] for row in found] == ["sgd", "sgd", "odd"]
    assert found[0]["points"][0]["rate_sharpness"] is None and found[0]["points"][0]["loss"] == 1.5
    show(found)
    printed = capsys.readouterr().out
    assert "layer_0/w" in printed and "odd on digits_mlp: asks for too much" in printed
