"""Whole searches through the command line: stopped in every way, continued, and equal to the one that ran through."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from discover.store import RunStore

SEARCH = ("search", "--preset", "micro", "--seed", "5", "--max-proposals", "700", "--json")
SAME = ("best", "front", "config", "proposals", "trained", "rejected", "result")
"""What must not depend on how a run went."""


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Start the command, in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", "discover.cli", *arguments]
    return subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0)


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[dict[str, Any], str]:
    """The last line's JSON and standard error of a command that must end with `code`."""
    out, err = process.communicate(timeout=400)
    assert process.returncode == code, err
    return json.loads(out.splitlines()[-1]), err


def wait_for_generation(folder: Path, generation: int, process: subprocess.Popen[str]) -> None:
    """Wait until a live run has committed a generation, by looking on as `discover show` does."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be stopped"
        if (folder / "run.db").exists():
            with RunStore.open(folder, readonly=True) as store:
                if (store.last_generation() or (-1,))[0] >= generation:
                    return
        time.sleep(0.05)
    pytest.fail("the run did not get anywhere")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Iterator[dict[str, Any]]:
    """The run that nothing happened to."""
    result, _ = finish(start(*SEARCH, "--workers", "2", "--out", "whole", cwd=folder))
    assert result["status"] == "finished" and result["proposals"] == 700 and result["trained"] > 3
    yield result


def test_ctrl_c_keeps_what_is_done_and_resume_completes_it(folder: Path, whole: dict[str, Any]) -> None:
    process = start(*SEARCH, "--workers", "1", "--out", "stopped", cwd=folder)
    wait_for_generation(folder / "stopped", 1, process)
    os.killpg(process.pid, signal.SIGINT)
    kept, err = finish(process, code=130)
    assert "discover resume stopped" in err.splitlines()[-1] and "Traceback" not in err
    assert kept["status"] == "interrupted" and 0 < kept["proposals"] < 700 and kept["best"]
    resumed, _ = finish(start("resume", "stopped", "--json", "--workers", "2", cwd=folder))
    assert {key: resumed[key] for key in SAME} == {key: whole[key] for key in SAME}


@pytest.mark.parametrize("generation", [0, 2])
def test_a_killed_run_resumes_to_the_same_result(folder: Path, whole: dict[str, Any], generation: int) -> None:
    name = f"killed-{generation}"
    process = start(*SEARCH, "--workers", "2", "--out", name, cwd=folder)
    wait_for_generation(folder / name, generation, process)
    process.kill()
    process.communicate()
    resumed, _ = finish(start("resume", name, "--json", "--workers", "1", cwd=folder))
    assert {key: resumed[key] for key in SAME} == {key: whole[key] for key in SAME}
    assert (folder / name / "front.csv").read_text() == (folder / "whole" / "front.csv").read_text()


def test_a_users_own_task_is_searched_on(tmp_path: Path) -> None:
    """The module lies in the current folder, and workers find it there."""
    source = (Path(__file__).parent.parent.parent / "README.md").read_text(encoding="utf-8")
    example = "# my_tasks.py" + source.split("```python\n# my_tasks.py")[1].split("```")[0]
    (tmp_path / "my_tasks.py").write_text(example, encoding="utf-8")
    arguments = (*SEARCH[:3], "--task", "my_tasks:make_task", "--max-proposals", "20", "--workers", "1", "--json")
    result, _ = finish(start(*arguments, cwd=tmp_path))
    assert result["config"]["tasks"] == ["my_tasks:make_task"] and result["best"][0]["score"] is not None
    assert result["run"] == "runs/search-1"


def test_an_error_in_a_users_task_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def make_task():\n    raise ValueError('no\\ndata')\n", encoding="utf-8")
    process = start("search", "--task", "broken:make_task", "--workers", "1", cwd=tmp_path)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert err.splitlines()[-1] == "discover: 'broken:make_task' failed: ValueError: no"
    assert "Traceback" not in err


def test_a_full_disk_is_one_line_and_keeps_what_was_committed(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the small disk; it is inherited by the command."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        process = start(*SEARCH[:5], "--max-proposals", "50000", "--workers", "1", "--out", "full", cwd=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (1, "")
    assert err.splitlines()[-1].startswith("discover: cannot write full/run.db") and "Traceback" not in err
    shown, _ = finish(start("show", "full", "--json", cwd=tmp_path))
    assert 0 < shown["proposals"] < 50_000 and shown["best"]
