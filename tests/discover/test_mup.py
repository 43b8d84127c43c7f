"""`discover mup`: its input, its table and its figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from discover.cli import main
from discover.cli.widths import describe


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["admm"], "'admm' is no known rule, learned optimizer or file (did you mean"),
        (["adam", "--parametrisation", "mupp"], "unknown parametrisation 'mupp' (did you mean 'mup'?); allowed: mup, sp, ntp"),
        (["adam", "--widths", "64"], "--widths needs at least two different widths"),
        (["adam", "--widths", "64", "0"], "--widths must be at least 1"),
        (["adam", "--learning-rate", "-1"], "--learning-rate must be a positive number, not -1"),
        (["adam", "--steps", "0"], "--steps must be at least 1"),
        (["small_fc?hidden=x"], "has 'hidden=x', expected name=number"),
        (["no/such.rule"], "no/such.rule: no such file"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mup", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_the_table_is_in_powers_of_the_width() -> None:
    described = describe("adam", "mup")
    assert described.degree == 0.0 and described.verdict == "homogeneous of degree 0 in the gradient's scale"
    assert described.table[1] == {"role": "hidden", "initial weights": 0.0, "learning rate": -1.0, "decay": 1.0, "eps": -1.0}
    assert [row["learning rate"] for row in describe("sgd", "mup").table] == [1.0, 0.0, -1.0, 1.0]


@pytest.mark.parametrize(("name", "said"), [("muon", "matrix rule"), ("adabelief", "not homogeneous"), ("scale_free", "learned optimizer")])
def test_what_has_no_degree_says_so(name: str, said: str) -> None:
    described = describe(name, "mup")
    assert described.degree is None and said in described.verdict
    assert described.table[1]["gradient"] == 1.0 and described.table[1]["update"] == -1.0


def test_the_check_of_a_file_with_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rule = tmp_path / "mine.rule"
    rule.write_text("# rule-format: 1\ndef mine(w, g, lr):\n    return lr * g * abs(g)\n")
    assert main(["mup", str(rule), "--widths", "32", "16", "--steps", "1", "--seeds", "1", "--out", str(tmp_path / "out"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["rule"] == "mine" and result["degree"] == 2.0 and result["widths"] == [16, 32]
    assert set(result["slopes"]) == {"input", "hidden", "output"}
    assert [row["learning rate"] for row in result["table"]] == [2.0, 1.0, -1.0, 2.0]
    assert Path(result["figure"]).stat().st_size > 5000
