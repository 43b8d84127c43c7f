"""The ladder: can the engine regenerate known rules from primitives, how often and how fast, and do its parts earn their place?

    python benchmarks/ladder.py --seeds 10 --jobs 2 --budget 300
    python benchmarks/ladder.py --table-only
    python benchmarks/ladder.py --zoo --seeds 1 --jobs 2 --budget 60

One process for each run; each result is appended to a JSON-lines file at once, and a later call skips what is there. The ablations
(evolution, enumeration) and controls (random, hyper) run on three seeds, capped at three times the median time of the combined engine on
the same rung. `--zoo` takes every known rule that asks for nothing but a gradient instead, from sgd, by the combined engine alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PLAIN_ADAM = """# rule-format: 1
def plain_adam(w, g, lr, *, m: full = zeros, v: full = zeros, b1: unit = 0.9, b2: unit = 0.999, eps: scale = 1e-08):
    m = lerp(g, m, b1)
    v = lerp(g * g, v, b2)
    return lr * m / (sqrt(v) + eps)
"""

RUNGS: tuple[tuple[str, str], ...] = (
    ("sgd", "momentum"),
    ("sgd", "signum"),
    ("sgd", "rmsprop"),
    ("sgd", "plain_adam"),
    ("sgd", "adam"),
    ("sgd", "lion"),
    ("sgd", "adabelief"),
    ("adamw", "lion"),
)
OTHERS = ("evolution", "enumeration", "random", "hyper")
OTHER_SEEDS = 3
CAP = 3.0
LEAST_BUDGET = 10.0


@dataclass(frozen=True)
class Run:
    """One cell of the benchmark."""

    start: str
    target: str
    engine: str
    seed: int


def main() -> None:
    """Runs what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--budget", type=float, default=300.0, help="seconds for one run of the combined engine")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "ladder.jsonl")
    parser.add_argument("--only", default="", help="run only targets whose name contains this")
    parser.add_argument("--no-ablations", action="store_true")
    parser.add_argument("--zoo", action="store_true", help="every known rule that can be recorded, from sgd")
    parser.add_argument("--table-only", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_run_here(Run(**json.loads(options.one)), options.budget)))
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    if not options.table_only:
        rungs = [rung for rung in (_zoo() if options.zoo else RUNGS) if options.only in rung[1]]
        _run_all([Run(*rung, "combined", seed) for seed in range(options.seeds) for rung in rungs], options, {})
        if not (options.no_ablations or options.zoo):
            caps = _caps(_results(options.out))
            runs = [Run(*rung, engine, seed) for engine in OTHERS for seed in range(OTHER_SEEDS) for rung in rungs]
            _run_all(runs, options, caps)
    print((_zoo_table if options.zoo else _table)(_results(options.out)))


def _zoo() -> tuple[tuple[str, str], ...]:
    """From sgd to each elementwise or tensor-level rule whose update is a function of gradients, weights and the step."""
    sys.path.insert(0, str(ROOT))
    from search_space import zoo
    from search_space.card import card
    from search_space.program import Program

    def plain(name: str) -> bool:
        program = zoo.load(name)
        asks = not isinstance(program, Program) or bool(program.plan or program.queries) or program.view is not None
        return not asks and card(name).kind in ("elementwise", "tensor")

    return tuple(("sgd", name) for name in zoo.names() if name != "sgd" and plain(name))


def _zoo_table(rows: list[dict[str, object]]) -> str:
    """Who was found, in how many seconds, and who was not, with the error of the closest rule."""
    found = [f"{r['target']} {float(str(r['seconds'])):.0f}" for r in rows if r["equivalent"]]
    missed = [f"{r['target']} {float(str(r['error'])):.1g}" for r in rows if not r["equivalent"]]
    return f"found {len(found)} of {len(rows)} (seconds): {', '.join(found)}\nmissed (error): {', '.join(missed)}"


def _run_here(run: Run, budget: float) -> dict[str, object]:
    """One run in this process, with its outcome."""
    sys.path.insert(0, str(ROOT))
    from discover.imitate.engine import regenerate
    from discover.imitate.target import default_streams, record, record_program
    from search_space import Program, load
    from search_space.printer import to_text

    streams = default_streams(run.seed)
    plain, start = load(PLAIN_ADAM), load(run.start)
    assert isinstance(start, Program)
    recording = record_program(plain, streams) if run.target == "plain_adam" else record(run.target, streams)
    outcome = regenerate(recording, start, seed=run.seed, budget_seconds=budget, engine=run.engine)
    row = {**asdict(run), **{k: getattr(outcome, k) for k in ("equivalent", "error", "flips", "seconds", "proposals", "evaluated")}}
    return {**row, "rule": to_text(outcome.program)}


def _run_all(runs: list[Run], options: argparse.Namespace, caps: dict[tuple[str, str], float]) -> None:
    done = {(r["start"], r["target"], r["engine"], r["seed"]) for r in _results(options.out)}
    missing = [run for run in runs if (run.start, run.target, run.engine, run.seed) not in done]
    with ThreadPoolExecutor(options.jobs) as pool, options.out.open("a") as out:
        for row in pool.map(lambda run: _run_apart(run, caps.get((run.start, run.target), options.budget)), missing):
            out.write(json.dumps(row) + "\n")
            out.flush()
            verdict = "found" if row["equivalent"] else "missed"
            print(
                f"{row['engine']:12s}{row['start']:>6s} -> {row['target']:12s} seed {row['seed']}: {verdict} in {row['seconds']:.1f} s",
                flush=True,
            )


def _run_apart(run: Run, budget: float) -> dict[str, object]:
    """One run in a process of its own, numerical libraries on one thread."""
    command = [sys.executable, str(Path(__file__).resolve()), "--one", json.dumps(asdict(run)), "--budget", str(budget)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    finished = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise RuntimeError(f"{run} failed:\n{finished.stderr}")
    return json.loads(finished.stdout.splitlines()[-1])


def _results(path: Path) -> list[dict[str, object]]:
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # the line that a killed run was writing
    return rows


def _caps(rows: list[dict[str, object]]) -> dict[tuple[str, str], float]:
    """Seconds that the other engines get on each rung."""
    caps = {}
    for rung in RUNGS:
        seconds = [float(str(r["seconds"])) for r in rows if (r["start"], r["target"], r["engine"]) == (*rung, "combined")]
        if seconds:
            caps[rung] = max(LEAST_BUDGET, CAP * statistics.median(seconds))
    return caps


def _table(rows: list[dict[str, object]]) -> str:
    lines = [f"{'engine':12s} {'start':>6s} -> {'target':12s} {'found':>7s} {'median s':>9s} {'max s':>7s} {'worst error':>12s}"]
    for engine in ("combined", *OTHERS):
        for start, target in RUNGS:
            cell = [r for r in rows if (r["start"], r["target"], r["engine"]) == (start, target, engine)]
            if not cell:
                continue
            seconds = [float(str(r["seconds"])) for r in cell]
            found = [r for r in cell if r["equivalent"]]
            worst = max(float(str(r["error"])) for r in cell)
            lines.append(
                f"{engine:12s} {start:>6s} -> {target:12s} {len(found):3d}/{len(cell):<3d} "
                f"{statistics.median(seconds):9.1f} {max(seconds):7.1f} {worst:12.1e}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
