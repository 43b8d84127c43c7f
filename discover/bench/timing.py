"""Fair timing: interleaved runs of several things, medians, one core."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def one_core() -> None:
    """Pin this process before jax is imported, so that every figure is for one core."""
    from discover.cores import pin_process, visible_cores

    pin_process(visible_cores()[0])


def interleaved(
    runs: Mapping[str, Callable[[], Any]], rounds: int = 11, clock: Callable[[], float] = time.perf_counter, settle: bool = False
) -> dict[str, float]:
    """Median seconds of each thing on a clock, measured in turn; each is called once before.

    With `settle` it is so in every round: memory that the one before gave back late, and cold caches, are then not counted.
    """
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            if settle:
                run()
            start = clock()
            run()
            times[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def machine() -> dict[str, Any]:
    """Load and threads, printed beside every figure."""
    return {"load": [round(x, 2) for x in os.getloadavg()], "cores_used": len(os.sched_getaffinity(0))}
