"""Inner steps a second of meta-training: `python -m benchmarks.meta_throughput [--learned-optimization COMMAND]`.

The job: PES with sigma 0.01 on the digits network 64-32-10, batch 64, the published network with 4 hidden units, episodes of 1,000
steps at random ages, 8 or 32 antithetic pairs, truncations of 50 steps; both arms count as inner steps. Each configuration runs in
a process of its own, on one device and two, and reports the median of REPEATS outer steps, their CPU time, and the time from the
process' start to the end of the first outer step, without and with the cache of compiled programs.
With `--learned-optimization COMMAND`, which may be given several times, `COMMAND TASKS` runs in between: a program outside of this project
that does the same job with that library and prints one JSON object of the same keys; the ratios to each are printed at the end of a line.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

REPEATS = 20
TASKS, STEPS = (8, 32), 50


def child(optimizer: str, tasks: int, devices: int) -> None:
    """Measure one configuration; prints one JSON object."""
    began = time.time() - float(os.environ["BEGAN"])
    from discover.devices import prepare

    os.environ["XLA_FLAGS"] = ""
    prepare(devices)
    import jax

    from meta_train.estimators.evolution import pes
    from meta_train.inner import TaskProblem
    from meta_train.parametrised import Parametrised
    from meta_train.registry import load
    from meta_train.sharding import make_mesh, make_step, place, place_state
    from tasks.registry import load as load_family

    learned = load(optimizer)
    mesh = make_mesh(devices)
    estimator = pes(TaskProblem(Parametrised(load_family("digits_mlp")), learned, 1000, 1000), tasks, STEPS)
    theta = place(learned.init(jax.random.key(0)), mesh)
    state = place_state(estimator.init(theta, 1000), mesh)
    step = make_step(estimator, state, mesh)
    keys = [place(jax.random.key(i), mesh) for i in range(REPEATS + 1)]
    _, state, _ = jax.block_until_ready(step(theta, state, keys[0]))
    first = time.time() - float(os.environ["BEGAN"])
    walls, cpus = [], []
    for key in keys[1:]:
        wall, cpu = time.perf_counter(), time.process_time()
        _, state, _ = jax.block_until_ready(step(theta, state, key))
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    print(json.dumps({"wall_s": statistics.median(walls), "cpu_s": statistics.median(cpus), "first_s": first, "start_s": began}))


def main(optimizers: list[str], baselines: list[str]) -> None:
    """Print a line for each configuration."""
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'':44}{'ms':>10}{'CPU ms':>10}{'inner steps/s':>16}{'per CPU s':>12}{'first step s':>14}{'again s':>10}")
    with tempfile.TemporaryDirectory() as cache:
        for tasks in TASKS:
            theirs = [_run([*shlex.split(baseline), str(tasks)], cache) for baseline in baselines]
            for baseline, result in zip(baselines, theirs, strict=True):
                _print(f"{shlex.split(baseline)[-1]}, {tasks} × {STEPS}", tasks, result, None, [])
            for optimizer in optimizers:
                for devices in (1, 2):
                    command = [sys.executable, "-m", "benchmarks.meta_throughput", "--child", optimizer, str(tasks), str(devices)]
                    cold, warm = _run(command, cache), _run(command, cache)
                    result = warm | {"first_s": cold["first_s"]}
                    _print(f"{optimizer}, {tasks} × {STEPS}, {devices} devices", tasks, result, warm["first_s"], theirs)


def _run(command: list[str], cache: str) -> dict[str, float]:
    environment = os.environ | {"BEGAN": str(time.time()), "DISCOVER_CACHE": cache}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def _print(name: str, tasks: int, result: dict[str, float], again: float | None, theirs: list[dict[str, float]]) -> None:
    steps, wall, cpu = 2 * tasks * STEPS, result["wall_s"], result["cpu_s"]
    last = "–" if again is None else f"{again:.1f}"
    line = f"{name:44}{1e3 * wall:10.1f}{1e3 * cpu:10.1f}{steps / wall:16,.0f}{steps / cpu:12,.0f}{result['first_s']:14.1f}{last:>10}"
    ratios = "".join(f"   {other['wall_s'] / wall:.1f} ×" for other in theirs)
    print(f"{line}   load {os.getloadavg()[0]:.1f}{ratios}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument("--optimizer", action="append", help="an architecture; small_fc if not given")
        parser.add_argument("--learned-optimization", metavar="COMMAND", action="append", default=[], help="measures the baseline")
        given = parser.parse_args()
        main(given.optimizer or ["small_fc"], given.learned_optimization)
