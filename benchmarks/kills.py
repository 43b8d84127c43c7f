"""Kill -9 at random moments, resume, compare: `python -m benchmarks.kills [KILLS]`.

A real search by training (preset micro) runs once undisturbed. Then, for each kill, a fresh run is killed with all its processes at a
random moment and resumed; best rules, funnel, Pareto front and final table must be identical.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import tyro
from tyro.conf import Positional

COMMAND = [sys.executable, "-m", "discover.cli"]
CHILD = [sys.executable, "-m", "benchmarks.kills", "--child"]
SHORT = {
    "seed": 3,
    "max_proposals": 1000,
    "budget_seconds": None,
    "hall": 3,
    "final_rounds": 2,
    "final_rates": 4,
    "final_trials": 1,
    "held_out": (),
}
"""The preset `micro` with a short ending, so that most of a run is search."""


def main(kills: Positional[int] = 20) -> None:
    """Print one line for each kill and exit with 1 if any run differs."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        subprocess.run([*CHILD, f"{folder}/whole"], check=True)
        whole = _last_line(subprocess.run([*COMMAND, "show", f"{folder}/whole", "--json"], check=True, capture_output=True, text=True))
        length = time.monotonic() - start
        print(f"uninterrupted: {length:.1f} s, {whole['proposals']} proposals, best score {whole['best'][0]['score']}")
        rng, same = Random(0), 0
        for number in range(kills):
            out = Path(folder) / str(number)
            moment = _kill(out, rng, length)
            subprocess.run([*COMMAND, "resume", str(out)], check=True, capture_output=True)
            resumed = _last_line(subprocess.run([*COMMAND, "show", str(out), "--json"], check=True, capture_output=True, text=True))
            equal = _comparable(resumed) == _comparable(whole)
            same += equal
            print(f"kill {number + 1:2d} after {moment:5.1f} s: {'identical' if equal else 'DIFFERENT'}", flush=True)
        print(f"{same} of {kills} identical")
    sys.exit(same != kills)


def _kill(out: Path, rng: Random, length: float) -> float:
    """Start a search and kill its process group at a random moment after the run exists; seconds until then."""
    process = subprocess.Popen([*CHILD, str(out)], start_new_session=True, stderr=subprocess.DEVNULL)
    start = time.monotonic()
    while not (out / "run.db").exists():
        time.sleep(0.01)
    time.sleep(rng.random() * 0.95 * max(0.0, length - (time.monotonic() - start)))
    moment = time.monotonic() - start
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return moment


def _last_line(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return json.loads(done.stdout.splitlines()[-1])


def _comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """Everything but the run's own name."""
    return {key: value for key, value in answer.items() if key not in ("run", "seconds")}


def child(folder: str) -> None:
    """The search that gets killed."""
    from discover.config import preset
    from discover.search import run

    run(preset("micro", **SHORT), folder, workers=2)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    else:
        tyro.cli(main)
