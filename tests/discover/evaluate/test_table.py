"""Cells, ratios and the table that is ranked, against figures made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from discover.errors import UserError
from discover.evaluate.presets import MATRIX_RULES, PRESETS, named_rules
from discover.evaluate.protocol import EvaluationConfig, Protocol, TaskPlan
from discover.evaluate.ranked import results
from discover.evaluate.table import better, diverged, steps_to, table
from discover.interval import student_interval
from tasks import rollout

PROTOCOL = Protocol(seeds=2, evals=2)
CONFIG = EvaluationConfig(named_rules(["sam", "sgd", "adamw"]), (TaskPlan("t", 10),), PROTOCOL)


def raw(rule: str, schedule: str, test: tuple[float, float], middle: float, tuning: float = 0.5) -> dict[str, Any]:
    """A cell whose two draws start at 1.0 and have the validation losses (middle, their test loss)."""
    return {
        "rule": rule, "task": "t", "schedule": schedule, "metric": "nats", "optimum": [0.0, 0.0], "seconds": 2.0, "loss": tuning,
        "hypers": {"decay": 0.0}, "rate": 0.1, "trials": 30, "edge": False, "test": list(test), "valid": list(test), "initial": [1.0, 1.0],
        "curve": [[middle, x] for x in test],
    }  # fmt: skip


def both(rule: str, *cell: Any) -> list[dict[str, Any]]:
    """The same under both schedules, the constant one tuned worse."""
    return [raw(rule, "constant", *cell, tuning=0.6), raw(rule, "cosine", *cell, tuning=0.4)]


def test_steps_to_a_target():
    assert steps_to((0.5, 0.1), 1.0, 0.1, 100) == 1.0
    assert steps_to((0.5, 0.1), 1.0, 0.75, 100) == 0.25
    assert steps_to((0.5, 0.1), 1.0, 0.3, 100) == 0.75
    assert steps_to((0.1, 0.5), 1.0, 0.1, 100) == 0.5  # the first time counts
    assert steps_to((0.5, 0.1), 1.0, 0.05, 100) == math.inf
    assert steps_to((math.inf, math.inf), 1.0, 0.5, 100) == math.inf
    assert steps_to((0.5, 0.1), 1.0, 2.0, 100) == 0.01
    assert math.isnan(steps_to((0.5, 0.1), 1.0, math.nan, 100))


def test_a_cell_has_the_interval_and_the_ratios():
    cells = table(CONFIG, [*both("adamw", (0.2, 0.4), 0.6), *both("sam", (0.1, 0.3), 0.3)])
    sam = next(cell for cell in cells if cell.rule == "sam" and cell.schedule == "cosine")
    assert (sam.mean, sam.low, sam.high) == student_interval((0.1, 0.3)) and sam.mean == 0.2
    assert sam.high is not None and sam.high - 0.2 == pytest.approx(12.706 * 0.1, rel=1e-4)  # t(0.975, 1) · s / √2
    assert sam.steps_ratio == pytest.approx(0.5)  # AdamW ends at 0.3, which is this rule's half-time
    assert sam.cost_per_step == 2.0 and sam.cost_ratio == pytest.approx(1.0)
    assert [cell.steps_ratio for cell in cells if cell.rule == "adamw"] == [1.0, 1.0]


def test_failures_are_rows_with_a_reason():
    broken = {"rule": "sgd", "task": "t", "schedule": "cosine", "failed": "it broke"}
    cells = table(CONFIG, [*both("adamw", (0.2, 0.4), 0.6), raw("sgd", "constant", (0.2, math.inf), 0.5), broken])
    constant, cosine = (cell for cell in cells if cell.rule == "sgd")
    assert constant.mean is None and constant.failed == "diverged on 1 of 2 draws" and constant.curve == (0.5, math.inf)
    assert cosine.mean is None and cosine.failed == "it broke" and cosine.steps_ratio == math.inf
    assert [cell.schedule for cell in better(cells)] == ["constant", "cosine"]


def test_a_loss_far_above_the_start_is_a_failure_as_in_the_training_loop():
    cells = table(CONFIG, [*both("adamw", (0.2, 0.4), 0.6), raw("sgd", "constant", (0.2, 12.0), 0.5)])
    sgd = next(cell for cell in cells if cell.rule == "sgd")
    assert sgd.losses == (0.2, math.inf) and sgd.failed == "diverged on 1 of 2 draws"
    for initial in (-3.0, 0.1, 5.0):
        for final in (initial + 9.9, initial + 10.1, initial + 49.0, initial + 51.0):
            assert diverged(initial, final) == bool(rollout.diverged(np.float32(initial), np.float32(final)))  # type: ignore[arg-type]


def test_no_draw_counts_more_than_twice_the_reference():
    cells = table(CONFIG, [*both("adamw", (0.2, 0.4), 0.6), *both("sam", (1e-9, 0.4), 0.4)])
    assert results(CONFIG, cells).score[0, 0, 0] == 2.0


def test_results_are_in_units_of_adamw():
    cells = table(CONFIG, [*both("adamw", (0.2, 0.4), 0.6), *both("sam", (0.2, 0.16), 0.4), raw("sgd", "cosine", (0.5, math.inf), 0.9)])
    found = results(CONFIG, cells)
    assert found.rules == ("sam", "sgd", "adamw") and found.score.shape == (3, 1, 2)
    base = (-math.log(0.2) - math.log(0.4)) / 2
    np.testing.assert_allclose(found.score[0, 0], [-math.log(0.2) / base, -math.log(0.16) / base])
    np.testing.assert_allclose(found.score[1, 0], [-math.log(0.5) / base, 0.0])
    assert found.score[2].mean() == pytest.approx(1.0)
    np.testing.assert_allclose(found.steps_to_target[2], 1.0)
    np.testing.assert_allclose(found.steps_to_target[0, 0], [1.0, 0.5])  # each draw has AdamW's target of that draw
    np.testing.assert_allclose(found.cost_to_target, found.steps_to_target * np.array([2.0, 1.0, 1.0])[:, None, None])
    assert np.isinf(found.steps_to_target[1]).all() and found.loss[1, 0, 1] == math.inf
    assert found.notes["trials"] == 60 and found.notes["schedule"]["t"]["sam"] == "cosine"
    assert found.notes["schedule_gain"] == {"sam": 0.0, "adamw": 0.0}


def test_missing_cells_and_a_task_on_which_adamw_fails_are_nan():
    assert np.isnan(results(CONFIG, table(CONFIG, both("adamw", (0.2, 0.4), 0.6))).score[:2]).all()
    assert np.isnan(results(CONFIG, table(CONFIG, both("adamw", (1.2, 1.4), 0.6))).score).all()
    failed = table(CONFIG, [*both("adamw", (0.2, math.inf), 0.6), *both("sgd", (0.2, 0.4), 0.6)])
    assert np.isnan(results(CONFIG, failed).score).all() and math.isnan(failed[0].steps_ratio)


def test_presets_are_as_large_as_they_say():
    standard = PRESETS["standard"]
    assert len(standard.rules) >= 40 and len(standard.tasks) >= 12 and standard.protocol.seeds >= 5
    assert {"digits_convnet", "text_transformer?context=16"} <= {task.spec for task in standard.tasks}
    for preset in PRESETS.values():
        named_rules((*preset.rules, *MATRIX_RULES))
        assert preset.protocol.reference in preset.rules


def test_a_configuration_survives_json():
    assert EvaluationConfig.from_json(CONFIG.to_json()) == CONFIG


def test_the_target_rule_is_added_and_nothing_else_may_have_its_name():
    target = named_rules(["adamw"])[0]
    alone = EvaluationConfig(named_rules(["sgd"]), CONFIG.tasks)
    assert [rule.name for rule in alone.with_reference(target.text).rules] == ["sgd", "adamw"]
    assert CONFIG.with_reference(target.text) == CONFIG
    with pytest.raises(UserError, match="'adamw' is the name of the rule that sets the target"):
        replace(alone, rules=(replace(target, text=alone.rules[0].text),)).with_reference(target.text)
