"""The command line as a user meets it: help, errors in one line and in time, JSON, read-only runs."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from discover.schema import Candidate
from discover.store import RunStore

SECONDS = 1.5


def discover(*arguments: str, cwd: Path, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    environment = {**os.environ, "COLUMNS": "80", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "discover.cli", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)


def in_time(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command within `SECONDS` of processor time, which other tests on the machine do not lengthen."""
    before = _children_seconds()
    done = discover(*arguments, cwd=cwd)
    seconds = _children_seconds() - before
    assert seconds < SECONDS, f"discover {' '.join(arguments)} took {seconds:.2f} s"
    return done


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A small finished run."""
    rules = [
        Candidate(1, "def sgd(w, g, lr):\n    return lr * g\n", 0, score=1.0, state_bytes=0.0, cost=1.0),
        Candidate(2, "def r(w, g, lr):\n    return lr * sign(g)\n", 1, parent_id=1, origin="modify", score=0.5, state_bytes=0.0, cost=2.0),
    ]
    with RunStore.create(tmp_path / "run", "search", {"seed": 3, "tasks": ["digits_mlp"]}) as store:
        store.commit_generation(0, candidates=rules[:1], attempts={"trained": 1}, state=None)
        store.commit_generation(1, candidates=rules[1:], attempts={"trained": 1, "exact_key": 7, "probe": 2}, state=None)
        store.finish("finished", {"best": 2})
    return tmp_path / "run"


BAD_RULES = {
    "unknown primitive": "def r(w, g, lr):\n    return lr * sgn(g)\n",
    "wrong arity": "def r(w, g, lr):\n    return lr * sign(g, g)\n",
    "kind error": "def r(w, g, lr, *, m: global = zeros):\n    m = g\n    return lr * m\n",
    "kind error in a primitive": "def r(w, g, lr):\n    return norm(lr) * g\n",
    "undefined name": "def r(w, g, lr):\n    return lr * m\n",
    "import": "import os\ndef r(w, g, lr):\n    return lr * g\n",
    "attribute call": "def r(w, g, lr):\n    return lr * g.sum()\n",
    "comprehension": "def r(w, g, lr):\n    return [x for x in g]\n",
    "dunder": "def r(w, g, lr):\n    return __import__('os')\n",
    "10 MB": "def r(w, g, lr):\n" + "    a = g\n" * 1_000_000 + "    return lr * g\n",
    "deep nesting": "def r(w, g, lr):\n    return " + "(" * 5000 + "g" + ")" * 5000 + "\n",
    "deep minus": "def r(w, g, lr):\n    return " + "-" * 50_000 + "g\n",
    "deep calls": "def r(w, g, lr):\n    return " + "sign(" * 2000 + "g" + ")" * 2000 + "\n",
    "null byte": "def r(w, g, lr):\n    return lr * g\0\n",
    "empty": "",
    "binary": "\udcff\udcfe",
}
BAD_ARGUMENTS = {
    "unknown verb": (["serch"], "did you mean 'search'"),
    "unknown option": (["search", "--sed", "3"], "--sed"),
    "unknown task": (["search", "--task", "digit_mlp"], "did you mean 'digits_mlp'"),
    "unknown task parameter": (["search", "--task", "digits_mlp?wdth=3"], "wdth"),
    "unknown module": (["search", "--task", "no_such_module_here:make"], "no_such_module_here"),
    "unknown rule": (["search", "--start", "adm"], "did you mean 'adam'"),
    "unknown preset": (["search", "--preset", "digit"], "did you mean 'digits'"),
    "unknown primitive in --ops": (["search", "--ops", "sign,lrp"], "did you mean 'lerp'"),
    "unknown engine": (["search", "--engine", "magic"], "evolution"),
    "missing rule file": (["search", "--start", "missing.rule"], "no such file"),
    "negative budget": (["search", "--budget-seconds", "-5"], "positive"),
    "no budget": (["search", "--budget-seconds", "0"], "positive"),
    "endless budget": (["search", "--budget-seconds", "inf"], "positive"),
    "budget that is no number": (["search", "--budget-seconds", "nan"], "positive"),
    "text for a number": (["search", "--seed", "many"], "--seed"),
    "negative seed": (["search", "--seed", "-1"], "at least 0"),
    "no proposals": (["search", "--max-proposals", "0"], "at least 1"),
    "no workers": (["search", "--workers", "0"], "at least 1"),
    "a million workers": (["search", "--workers", "1000000"], "at most"),
    "negative slots": (["search", "--max-slots", "-1"], "at least 0"),
    "out is a run": (["search", "--out", "run"], "already holds a run"),
    "out is a file": (["search", "--out", "file"], "is a file"),
    "out below a file": (["search", "--out", "file/run"], "is a file"),
    "unknown target": (["regenerate", "adamm"], "did you mean 'adam'"),
    "target in no module": (["regenerate", "no_such_module_here:adam"], "no_such_module_here"),
    "no target": (["regenerate"], "TARGET"),
    "target that makes no transformation": (["regenerate", "os:getcwd"], "returned str, not an optax transformation"),
    "target that cannot be made": (["regenerate", "json:dumps"], "the factory failed"),
    "show without a run": (["show"], "RUN"),
    "show what is not there": (["show", "nowhere"], "no such run folder"),
    "show what is no run": (["show", "."], "not a run folder"),
    "show a file": (["show", "file"], "not a run folder"),
    "show a damaged run": (["show", "damaged"], "damaged"),
    "resume what is no run": (["resume", "."], "not a run folder"),
    "resume a damaged run": (["resume", "damaged"], "damaged"),
    "resume another kind": (["resume", "other"], "only searches"),
    "held-out task": (["search", "--task", "digits_autoencoder"], "is held out"),
    "unknown zoo kind": (["zoo", "--kind", "matricial"], "allowed: elementwise"),
    "unknown zoo tier": (["zoo", "--tier", "Q"], "allowed: E, C"),
    "unknown zoo rule": (["zoo", "adm"], "did you mean 'adam'"),
    "unknown benchmark": (["bench", "micr"], "did you mean 'micro'"),
    "too many arguments": (["zoo", "adam", "lion"], "lion"),
}


def check_complaint(done: subprocess.CompletedProcess[str], word: str) -> None:
    """Exactly one line, with the word in it, and exit code 2."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert re.fullmatch(r"discover: [^\n]{10,2000}\n", done.stderr), done.stderr
    assert word in done.stderr


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_wrong_use_is_one_line_in_time(case: str, run: Path) -> None:
    folder = run.parent
    (folder / "file").write_text("x")
    (folder / "damaged").mkdir()
    (folder / "damaged" / "run.db").write_bytes((run / "run.db").read_bytes()[:1000])
    RunStore.create(folder / "other", "meta-train", {}).close()
    arguments, word = BAD_ARGUMENTS[case]
    check_complaint(in_time(*arguments, cwd=folder), word)
    assert not (folder / "runs").exists(), "a mistake must leave nothing behind"


@pytest.mark.parametrize("case", BAD_RULES)
def test_a_bad_rule_is_one_line_in_time(case: str, tmp_path: Path) -> None:
    (tmp_path / "bad.rule").write_bytes(BAD_RULES[case].encode("utf-8", "surrogateescape"))
    check_complaint(in_time("search", "--start", "bad.rule", cwd=tmp_path), "bad.rule")


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], *([verb, "--help"] for verb in ("search", "regenerate", "resume", "show", "zoo", "bench"))]
)
def test_help_is_there_in_time(arguments: list[str], tmp_path: Path) -> None:
    done = in_time(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: discover" in done.stdout


def last_json(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """The last line of standard output."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_zoo_lists_every_rule(tmp_path: Path) -> None:
    rules = last_json(in_time("zoo", "--json", cwd=tmp_path))["rules"]
    assert isinstance(rules, list)
    by_name = {rule["name"]: rule for rule in rules}
    assert {"sgd", "adam", "adamw", "lion", "adafactor"} <= set(by_name)
    assert by_name["adam"]["state_bytes_per_param"] == 8 and by_name["adam"]["slots"] == 2
    assert by_name["sgd"]["tier"] == "E" and by_name["lamb"]["tier"] == "R"


def test_zoo_filters(tmp_path: Path) -> None:
    def listed(*arguments: str) -> set[str]:
        rules = last_json(in_time("zoo", "--json", *arguments, cwd=tmp_path))["rules"]
        assert isinstance(rules, list)
        return {rule["name"] for rule in rules}

    assert "adam" in listed("--kind", "elementwise") and "lamb" not in listed("--kind", "elementwise")
    assert "lamb" in listed("--tier", "R") and "adafactor" not in listed("--tier", "R")
    assert "lion" in listed("--max-bytes", "4") and "adam" not in listed("--max-bytes", "4")
    assert "sgd" in listed("--max-cost", "1") and "sam" not in listed("--max-cost", "1")
    assert "lion" in listed("--since", "2023") and "adam" not in listed("--since", "2023")


def test_zoo_shows_card_formula_and_check(tmp_path: Path) -> None:
    shown = in_time("zoo", "adam", cwd=tmp_path).stdout
    for word in ("arXiv:1412.6980", "eps by c^1", "8 bytes for each parameter", r"\begin{align*}", "check: python -m pytest"):
        assert word in shown


@pytest.mark.parametrize("name", ["sign_sgd", "sign-sgd"])
def test_zoo_shows_a_rule(name: str, tmp_path: Path) -> None:
    done = in_time("zoo", name, cwd=tmp_path)
    assert "def sign_sgd" in done.stdout and done.returncode == 0
    rules = last_json(in_time("zoo", name, "--json", cwd=tmp_path))["rules"]
    assert isinstance(rules, list) and rules[0]["name"] == "sign_sgd" and "def sign_sgd" in rules[0]["text"]


def test_show_prints_the_run(run: Path) -> None:
    done = in_time("show", "run", "--lineage", cwd=run.parent)
    assert done.returncode == 0 and done.stderr == ""
    for word in ("digits_mlp", "exact_key", "return lr * sign(g)", "-    return lr * g", "finished"):
        assert word in done.stdout


def test_show_as_json(run: Path) -> None:
    shown = last_json(in_time("show", "run", "--json", "--lineage", cwd=run.parent))
    assert shown["config"] == {"seed": 3, "tasks": ["digits_mlp"]}
    assert (shown["proposals"], shown["trained"], shown["rejected"]) == (11, 2, {"exact_key": 7, "probe": 2})
    best = shown["best"]
    assert isinstance(best, list)
    assert best[0] == {
        "id": 2,
        "rule": "def r(w, g, lr):\n    return lr * sign(g)\n",
        "score": 0.5,
        "state_bytes_per_param": 0.0,
        "cost": 2.0,
    }
    lineage = shown["lineage"]
    assert isinstance(lineage, list) and [step["id"] for step in lineage] == [1, 2]


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    with RunStore.create(tmp_path / "run", "search", {"limit": float("inf")}) as store:
        store.commit_generation(0, candidates=[Candidate(1, "x", 0, score=float("inf"))], state=None)
    done = discover("show", "run", "--json", cwd=tmp_path)
    shown = json.loads(done.stdout.splitlines()[-1], parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert shown["config"] == {"limit": None}


def test_resuming_a_finished_run_changes_nothing(run: Path) -> None:
    before = (run / "run.db").read_bytes()
    done = in_time("resume", "run", "--json", cwd=run.parent)
    assert "nothing to continue" in done.stderr and last_json(done)["status"] == "finished"
    assert (run / "run.db").read_bytes() == before


def test_resuming_a_live_run_is_refused(run: Path) -> None:
    with RunStore.create(run.parent / "live", "search", {}):
        check_complaint(in_time("resume", "live", cwd=run.parent), "is live")
        assert in_time("show", "live", cwd=run.parent).returncode == 0


def test_a_reader_that_stops_reading_is_no_error(run: Path) -> None:
    command = f"{sys.executable} -m discover.cli zoo | head -1"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], env=environment, cwd=run.parent, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
