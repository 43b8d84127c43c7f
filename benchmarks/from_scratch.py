"""Meta-training from scratch on one core, against Adam tuned on the same family: `python -m benchmarks.from_scratch --out DIR`.

For each seed the preset `digits` is trained twice from nothing, for 2 and for 10 minutes of the clock with compilation, pinned to one core;
its best checkpoint on validation draws then trains DRAWS fresh draws of the family for STEPS steps. Adam has the best of 15 learning
rates x (constant, cosine), chosen by validation loss on TUNING other draws. Losses are means over draws; a step count is the first at which
the mean loss is at most Adam's at the end, out of STEPS. Runs that are in DIR are read, not repeated: give a new DIR for new code.
Intervals are Student's over seeds, 95 %.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

FAMILY, STEPS, EVERY, DRAWS, TUNING = "digits_mlp", 200, 5, 32, 8
OUTER_STEPS = {2: 1500, 10: 9000}
"""Minutes → length of the outer schedule, about what a core does in that time."""
SPLITS = ("train", "valid")


def run(folder: Path, seed: int, minutes: int, judged: str) -> dict[str, Any]:
    """Train and measure in this process."""
    from discover.devices import prepare

    prepare(1)
    from meta_train import run_folder
    from meta_train.presets import preset
    from meta_train.trainer import Trainer

    if not run_folder.is_run(folder):
        run_folder.create(folder, preset("digits", seed=seed, validation=(FAMILY,), judged=judged, outer_steps=OUTER_STEPS[minutes]))
    record = Trainer(folder, budget=60.0 * minutes).train()
    return {"seed": seed, "minutes": minutes, "outer_steps": record.step, "seconds": record.seconds, **measure(folder, seed)}


def measure(folder: Path, seed: int) -> dict[str, Any]:
    """Adam's rate and schedule; for each split losses at the end of theta and Adam, and theta's steps to Adam's loss (or None)."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from meta_train import run_folder, weights
    from meta_train.validation import ADAM_RATES
    from tasks.batch import TaskBatch
    from tasks.contracts import Schedule, from_optax
    from tasks.registry import load
    from tasks.rollout import rollout

    learned, theta = weights.load(folder / run_folder.WEIGHTS)
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
    def reached(steps: Any) -> dict[str, Any]:
        made = from_optax(lambda rate: learned.transform(theta, learning_rate=rate, num_steps=STEPS))
        return {split: losses.mean() for split, losses in rollout(fresh, made, steps=steps, evals=1, splits=SPLITS).final.items()}

    curve = {number: {k: float(v) for k, v in reached(jnp.int32(number)).items()} for number in range(EVERY, STEPS + 1, EVERY)}
    tuned = {schedule: adam(tuning, schedule) for schedule in ("constant", "cosine")}
    schedule = min(tuned, key=lambda name: np.nanmin(tuned[name]["valid"]))
    rate = ADAM_RATES[int(np.nanargmin(tuned[schedule]["valid"]))]
    theirs = adam(TaskBatch(family, fresh.configs, fresh.keys, jnp.array([rate])), schedule)
    found: dict[str, Any] = {"rate": rate, "schedule": schedule}
    for split in SPLITS:
        end = float(theirs[split][0])
        steps = next((number for number, losses in curve.items() if losses[split] <= end), None)
        found[split] = {"theta": curve[STEPS][split], "adam": end, "steps": steps}
    return found


def spawn(out: Path, judged: str, seed: int, minutes: int, core: int) -> dict[str, Any]:
    """Do a run in a process of its own on one core, unless its result is there."""
    result = out / f"{minutes}-{seed}.json"
    if not result.exists():
        command = [
            sys.executable,
            "-m",
            "benchmarks.from_scratch",
            "--out",
            str(out),
            "--judged",
            judged,
            "--child",
            str(seed),
            str(minutes),
            str(core),
        ]
        subprocess.run(command, check=True)
    return json.loads(result.read_text(encoding="utf-8"))


def child(out: Path, judged: str, seed: int, minutes: int, core: int) -> None:
    """One run on one core; its result is written last."""
    os.sched_setaffinity(0, {core})
    result = out / f"{minutes}-{seed}.json"
    found = run(out / f"run-{minutes}-{seed}", seed, minutes, judged)
    result.with_suffix(".new").write_text(json.dumps(found), encoding="utf-8")
    result.with_suffix(".new").replace(result)


def table(rows: list[dict[str, Any]]) -> str:
    """A line for each length of training and split."""
    from discover.interval import student_interval

    lines = [f"{'':16}{'loss':>24}{'tuned Adam':>24}{'ratio':>24}  steps to Adam's loss of {STEPS}"]
    for minutes in sorted({row["minutes"] for row in rows}):
        for split in SPLITS:
            chosen = [row[split] for row in rows if row["minutes"] == minutes]
            ratio = [row["theta"] / row["adam"] for row in chosen]
            cells = [student_interval(values) for values in ([r["theta"] for r in chosen], [r["adam"] for r in chosen], ratio)]
            texts = "".join(f"{f'{mean:.4f} [{low:.4f}, {high:.4f}]':>24}" for mean, low, high in cells)
            lines.append(f"{f'{minutes} min {split}':16}{texts}  {', '.join(str(row['steps'] or 'never') for row in chosen)}")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=int, nargs="*", default=list(OUTER_STEPS), choices=list(OUTER_STEPS))
    parser.add_argument("--judged", choices=SPLITS, default="train", help="data whose loss theta is trained by")
    parser.add_argument("--child", nargs=3, type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    if chosen.child:
        child(chosen.out, chosen.judged, *chosen.child)
        return
    cores = sorted(os.sched_getaffinity(0))
    work = [(seed, minutes) for minutes in chosen.minutes for seed in range(chosen.seeds)]
    with ThreadPoolExecutor(len(cores)) as pool:
        lanes = [
            pool.submit(lambda core, lane: [spawn(chosen.out, chosen.judged, *w, core) for w in lane], c, work[i :: len(cores)])
            for i, c in enumerate(cores)
        ]
        rows = [row for lane in lanes for row in lane.result()]
    print(table(sorted(rows, key=lambda row: (row["minutes"], row["seed"]))))
    print(f"{len(cores)} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
