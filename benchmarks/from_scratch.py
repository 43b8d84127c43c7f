"""Meta-training from scratch on one core, against Adam tuned on the same family: `python -m benchmarks.from_scratch --out DIR`.

For each seed the preset `digits` is trained twice from nothing, for 2 and for 10 minutes of the clock with imports and compilation, pinned
to one core; its best checkpoint on validation draws then trains DRAWS fresh draws of the family for STEPS steps. Adam has the best of 15
learning rates x (constant, cosine), chosen by validation loss on TUNING other draws; "untrained" is theta as it was at the beginning.
Losses are means over draws; a step count is the length of the shortest run, out of STEPS, whose mean loss is at most Adam's after STEPS.
Seeds begin at 1: seed 0 was looked at when the preset was chosen. Runs that are in DIR are read, not repeated: give a new DIR for new code.
One run at a time on each core that the process may use. Intervals are Student's over seeds, 95 %.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

BEGAN = time.monotonic()
FAMILY, STEPS, EVERY, DRAWS, TUNING = "digits_mlp", 200, 5, 32, 8
OUTER_STEPS = {2: 700, 10: 4000}
"""Minutes → length of the outer schedule, about what a core does in that time."""
SPLITS = ("train", "valid", "test")


def run(folder: Path, seed: int, minutes: int, changes: dict[str, str]) -> dict[str, Any]:
    """Train and measure in this process."""
    from discover.devices import prepare

    prepare(1)
    from meta_train import run_folder
    from meta_train.presets import preset
    from meta_train.trainer import Trainer

    if not run_folder.is_run(folder):
        run_folder.create(folder, preset("digits", seed=seed, validation=(FAMILY,), outer_steps=OUTER_STEPS[minutes], **changes))
    trainer = Trainer(folder, budget=60.0 * minutes - (time.monotonic() - BEGAN))
    untrained = trainer.best
    record = trainer.train()
    seconds = time.monotonic() - BEGAN
    return {"seed": seed, "minutes": minutes, "outer_steps": record.step, "seconds": seconds, **measure(folder, seed, untrained)}


def measure(folder: Path, seed: int, untrained: Any) -> dict[str, Any]:
    """Adam's rate and schedule; for each split losses at the end of theta, theta untrained and Adam, and theta's steps to Adam's loss."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from meta_train import run_folder, weights
    from meta_train.mixture import schedule as schedule_of
    from meta_train.validation import ADAM_RATES
    from tasks.batch import TaskBatch
    from tasks.contracts import Schedule, from_optax
    from tasks.registry import load
    from tasks.rollout import rollout

    learned, theta = weights.load(folder / run_folder.WEIGHTS)
    trained_with = schedule_of(run_folder.read_config(folder))
    keys = jax.random.split(jax.random.key(1_000_000 + seed), 2)
    family = load(FAMILY)
    fresh = TaskBatch.create(family, keys[0], learning_rates=(learned.rate,), tasks=DRAWS)
    tuning = TaskBatch.create(family, keys[1], learning_rates=ADAM_RATES, tasks=TUNING)

    def adam(batch: Any, schedule: str) -> dict[str, np.ndarray]:
        """Mean losses for each rate."""
        final = jax.jit(
            lambda: rollout(batch, from_optax(optax.adam), steps=STEPS, schedule=Schedule(schedule), evals=1, splits=SPLITS).final
        )()
        return {split: np.asarray(losses, np.float64).mean(axis=(0, 1)) for split, losses in final.items()}

    @jax.jit
    def reached(theta: Any, steps: Any) -> dict[str, Any]:
        made = from_optax(lambda rate: learned.transform(theta, learning_rate=rate, num_steps=steps))
        result = rollout(fresh, made, steps=steps, schedule=trained_with, evals=1, splits=SPLITS)
        return {split: losses.mean() for split, losses in result.final.items()}

    def losses_of(theta: Any, number: int) -> dict[str, float]:
        return {split: float(loss) for split, loss in reached(theta, jnp.int32(number)).items()}

    curve = {number: losses_of(theta, number) for number in range(EVERY, STEPS + 1, EVERY)}
    before = losses_of(untrained, STEPS)
    tuned = {schedule: adam(tuning, schedule) for schedule in ("constant", "cosine")}
    schedule = min(tuned, key=lambda name: np.nanmin(tuned[name]["valid"]))
    rate = ADAM_RATES[int(np.nanargmin(tuned[schedule]["valid"]))]
    theirs = adam(TaskBatch(family, fresh.configs, fresh.keys, jnp.array([rate])), schedule)
    found: dict[str, Any] = {"rate": rate, "schedule": schedule}
    for split in SPLITS:
        end = float(theirs[split][0])
        steps = next((number for number, losses in curve.items() if losses[split] <= end), None)
        found[split] = {"theta": curve[STEPS][split], "untrained": before[split], "adam": end, "steps": steps}
    return found


def spawn(out: Path, changes: list[str], seed: int, minutes: int, core: int) -> dict[str, Any]:
    """Do a run in a process of its own on one core, unless its result is there."""
    result = out / f"{minutes}-{seed}.json"
    if not result.exists():
        command = [sys.executable, "-m", "benchmarks.from_scratch", "--out", str(out), "--change", *changes]
        subprocess.run([*command, "--child", str(seed), str(minutes), str(core)], check=True)
    return json.loads(result.read_text(encoding="utf-8"))


def child(out: Path, changes: list[str], seed: int, minutes: int, core: int) -> None:
    """One run on one core; its result is written last."""
    os.sched_setaffinity(0, {core})
    result = out / f"{minutes}-{seed}.json"
    found = run(out / f"run-{minutes}-{seed}", seed, minutes, dict(change.split("=", 1) for change in changes))
    result.with_suffix(".new").write_text(json.dumps(found), encoding="utf-8")
    result.with_suffix(".new").replace(result)


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each length of training and split."""
    from discover.interval import student_interval

    heads = ("loss", "untrained", "tuned Adam", "loss / tuned Adam")
    lines = [f"{'':16}{''.join(f'{head:>24}' for head in heads)}  steps to Adam's loss of {STEPS}"]
    for minutes in sorted({row["minutes"] for row in rows}):
        for split in SPLITS:
            chosen = [row[split] for row in rows if row["minutes"] == minutes]
            ratio = [row["theta"] / row["adam"] for row in chosen]
            columns = [[row[name] for row in chosen] for name in ("theta", "untrained", "adam")]
            cells = [student_interval(values) for values in (*columns, ratio)]
            texts = "".join(f"{f'{mean:.4f} [{low:.4f}, {high:.4f}]':>24}" for mean, low, high in cells)
            lines.append(f"{f'{minutes} min {split}':16}{texts}  {', '.join(str(row['steps'] or 'never') for row in chosen)}")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=int, nargs="*", default=list(OUTER_STEPS), choices=list(OUTER_STEPS))
    parser.add_argument("--change", nargs="*", default=[], metavar="FIELD=TEXT", help="other values of text fields, optimizer=small_fc")
    parser.add_argument("--child", nargs=3, type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    if chosen.child:
        child(chosen.out, chosen.change, *chosen.child)
        return
    cores = sorted(os.sched_getaffinity(0))
    work = [(seed, minutes) for minutes in chosen.minutes for seed in range(1, chosen.seeds + 1)]
    with ThreadPoolExecutor(len(cores)) as pool:
        lanes = [
            pool.submit(lambda core, lane: [spawn(chosen.out, chosen.change, *w, core) for w in lane], c, work[i :: len(cores)])
            for i, c in enumerate(cores)
        ]
        rows = [row for lane in lanes for row in lane.result()]
    print(table(sorted(rows, key=lambda row: (row["minutes"], row["seed"]))))
    print(f"{len(cores)} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
