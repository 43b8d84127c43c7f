"""Kill -9 a meta-training at random moments, resume, compare the weights: `python -m benchmarks.meta_kills [KILLS]`.

The preset tiny runs once undisturbed. Then, for each kill, a fresh run is killed at a random moment after its first checkpoint and resumed;
theta, curve and best step must be the same to the last bit. Checkpoints are made at every seventh outer step.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import tyro
from tyro.conf import Positional

from meta_train import run_folder
from meta_train.checkpoint_files import committed
from meta_train.presets import preset

OUTER_STEPS, EVERY = 400, 7


def main(kills: Positional[int] = 10) -> None:
    """Print one line for each kill and exit with 1 if any run differs."""
    with tempfile.TemporaryDirectory() as parent:
        whole, rng, same = Path(parent) / "whole", Random(0), 0
        process = begin(whole)
        wait_for_checkpoint(whole)
        began = time.monotonic()
        process.wait()
        length = time.monotonic() - began
        print(f"undisturbed: {length:.1f} s after the first checkpoint")
        for number in range(kills):
            out = Path(parent) / str(number)
            process = begin(out)
            wait_for_checkpoint(out)
            time.sleep(rng.random() * 0.9 * length)
            process.send_signal(signal.SIGKILL)
            process.wait()
            reached = run_folder.summary(out)["outer_steps"]
            begin(out).wait()
            equal = result(out) == result(whole)
            same += equal
            print(f"kill {number + 1:2d}, resumed from outer step {reached:3d}: {'identical' if equal else 'DIFFERENT'}", flush=True)
        print(f"{same} of {kills} identical")
    sys.exit(same != kills)


def wait_for_checkpoint(folder: Path) -> None:
    """Until the run has something to go on from."""
    while not committed(folder):
        time.sleep(0.02)


def begin(folder: Path) -> subprocess.Popen[bytes]:
    """Start or resume a run in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "benchmarks.meta_kills", "--child", str(folder)])


def result(folder: Path) -> tuple[dict[str, list[float]], list[dict[str, Any]], int]:
    """The best theta, the curve without the clock, and the best step."""
    with np.load(folder / run_folder.WEIGHTS / "theta.npz") as file:
        theta = {name: file[name].tolist() for name in file.files}
    summary = run_folder.summary(folder)
    curve = [{name: value for name, value in row.items() if name != "seconds"} for row in summary["curve"]]
    return theta, curve, summary["best_step"]


def child(folder: Path) -> None:
    """The run that gets killed."""
    from discover.compile_cache import environment

    os.environ.update(environment())
    from meta_train.trainer import Trainer

    if not run_folder.is_run(folder):
        run_folder.create(folder, preset("tiny", outer_steps=OUTER_STEPS))
    Trainer(folder).train(checkpoint_every=EVERY)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(Path(sys.argv[2]))
    else:
        tyro.cli(main)
