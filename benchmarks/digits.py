"""Search by training from `sgd` on digits, beside the two controls: `python -m benchmarks.digits --out FOLDER [--seeds 3] [--budget 600]`.

Each engine (evolution, random search, evolution of numbers alone) gets the same seconds on the same workers. The last starts from
`momentum`, since `sgd` has no numbers. `--preset calibrated` searches on the tasks that calibration chose instead, every engine from that
preset's own start. Every run ends with its own table: the best rule's tuned test loss on the searched tasks and on held-out ones, beside
equally tuned known rules, with 95 % intervals over fresh draws. Resumable: finished runs are read, interrupted ones continued. Prints one
table over all runs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from discover.store import RunStore

ENGINES = {"evolution": "sgd", "random": "sgd", "hyper": "momentum"}
"""Engines and the rules that they start from on digits."""


def main() -> None:
    """Run what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--preset", choices=("digits", "calibrated"), default="digits")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hyper-seeds", type=int, default=1, help="seeds of the evolution of numbers alone")
    parser.add_argument("--budget", type=float, default=600.0, help="seconds of search for each run")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--table-only", action="store_true", help="print what is finished")
    options = parser.parse_args()
    jobs = [(engine, s) for engine in ENGINES for s in range(options.hyper_seeds if engine == "hyper" else options.seeds)]
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"load {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, {options.budget:g} s a run, {options.workers} workers")
    for engine, seed in [] if options.table_only else jobs:
        print(f"{engine} {seed}: load {os.getloadavg()[0]:.2f}", flush=True)
        _run(options.out / f"{engine}-{seed}", engine, seed, options)
    for engine, seed in jobs:
        for row in _rows(options.out / f"{engine}-{seed}"):
            print(f"{engine:10s} seed {seed}  " + row)


def _run(folder: Path, engine: str, seed: int, options: argparse.Namespace) -> None:
    if (folder / "run.db").exists():
        verb = ["resume", str(folder)]
    else:
        verb = ["search", "--preset", options.preset, "--engine", engine, "--seed", str(seed), "--out", str(folder)]
        verb += ["--start", ENGINES[engine]] if options.preset == "digits" else []
        verb += ["--budget-seconds", str(options.budget)]
    command = [sys.executable, "-m", "discover.cli", *verb, "--workers", str(options.workers), "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _rows(folder: Path) -> list[str]:
    if not (folder / "run.db").exists():
        return ["not run"]
    with RunStore.open(folder, readonly=True) as store:
        result: dict[str, Any] = store.info().result or {}
        counts = store.attempt_counts()
        head = f"proposals {store.proposals()}, trained {counts.get('trained', 0)}"
    rows = [head]
    for row in result.get("table", []):
        value = "failed" if row["mean"] is None else f"{row['mean']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
        rows.append(f"{row['task']:20s} {row['rule']:10s} {value}")
    found = next((r["text"] for r in result.get("table", []) if r["rule"] == "found"), "")
    if result.get("hall"):
        start = next((hero["fresh_score"] for hero in result["hall"] if hero["origin"] == "start"), None)
        rows.append(f"fresh validation score: found {result['hall'][0]['fresh_score']:.5f}, start rule {start:.5f}")
    return rows + ["  | " + line for line in found.splitlines()[1:]]


if __name__ == "__main__":
    main()
