"""The file of results: what is written is read, and what is wrong is said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from discover.errors import UserError
from discover.rank.results import ARRAYS, Results, load, save


def results() -> Results:
    score = np.array([[[1.0, 0.9], [np.nan, np.nan]], [[0.5, 0.0], [1.25, np.nan]]])
    never = np.where(np.isnan(score), np.nan, np.where(score == 0.0, np.inf, 2.0))
    return Results(("adamw", "sgd"), ("moons", "digits"), score, never, never * 2, never, {"preset": "quick", "steps": {"moons": 100}})


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    before = results()
    save(before, tmp_path / "a.json")
    after = load(tmp_path / "a.json")
    assert (after.rules, after.tasks, after.notes, after.seeds) == (before.rules, before.tasks, before.notes, 2)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)  # NaN and Infinity are no JSON


def test_selection_keeps_the_cells() -> None:
    part = results().select(rules=[1], tasks=[1, 0])
    assert (part.rules, part.tasks) == (("sgd",), ("digits", "moons"))
    np.testing.assert_array_equal(part.score[0], [[1.25, np.nan], [0.5, 0.0]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rules": ["adamw"]}, "score has the shape"),
        ({"rules": ["sgd", "sgd"]}, "a rule twice: sgd"),
        ({"rules": []}, "no rules"),
        ({"tasks": [1, 2]}, "tasks is not a list of names"),
        ({"format": 9}, "format 9, this version reads 1"),
        ({"loss": [[1.0], "x"]}, "not rectangular"),
        ({"loss": [[[True, 1.0]] * 2] * 2}, "other than numbers"),
        ({"score": [[["inf", 1.0]] * 2] * 2}, "score is infinite"),
        ({"cost_to_target": [[[-1.0, 1.0]] * 2] * 2}, "negative"),
        ({"loss": [[[1.0]] * 2] * 2}, "1 seeds, score has 2"),
    ],
)
def test_bad_files_give_one_line(tmp_path: Path, changes: dict, message: str) -> None:
    path = tmp_path / "a.json"
    save(results(), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(UserError) as caught:
        load(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1}'])
def test_other_files_are_no_results(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match="not a file of results"):
        load(tmp_path / "a.json")
    with pytest.raises(UserError, match="cannot read results"):
        load(tmp_path / "b.json")
