"""Do cheap tasks rank optimizers like expensive ones? `python -m benchmarks.calibration --out FOLDER [--hours 0.5] [--workers 2]`.

28 rules at their default hyperparameters, the learning rate tuned, on micro, small (about 10 times the cost) and medium (100 times)
versions of 26 families; see `discover/calibrate/plan.py`. Prints the estimate of time first, then the tables. Resumable: what is in
the folder is not measured again; `--table-only` prints what is there. `--hours` buys more seeds, then more families of medium size.

All trainings have warm-up and cosine. A rule's loss is the test loss at the rate that is best on validation data of the same seeds; the
ceiling repeats that choice on disjoint halves of the seeds. The coarse grid is looked at once, on one draw of its own, and the medium
versions look around the best rate of the small ones: the ceiling does not contain the noise of these two choices.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from discover.calibrate.plan import SIZES, Plan, estimate_seconds, plan_for
from discover.calibrate.report import report
from discover.calibrate.run import Calibration, run
from discover.cores import visible_cores
from discover.errors import JobError, UserError


def main() -> int:
    """Measure what is missing, then print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the calibration")
    parser.add_argument("--hours", type=float, help="time to fill (0.5, or the plan that the folder holds)")
    parser.add_argument("--family", action="append", default=[], help="only these families and the medium ones (all of them)")
    parser.add_argument("--workers", type=int, default=len(visible_cores()))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--table-only", action="store_true", help="print what is measured")
    options = parser.parse_args()
    try:
        known = options.table_only or (options.hours is None and (options.out / "plan.json").exists())
        hours = 0.5 if options.hours is None else options.hours
        plan = None if known else plan_for(hours, options.workers, options.seed, tuple(options.family))
        calibration = Calibration(options.out, plan)
        if not options.table_only:
            _announce(calibration.plan, options.workers)
            start = time.monotonic()
            run(calibration, options.workers, lambda line: print(line, file=sys.stderr, flush=True))
            print(f"{(time.monotonic() - start) / 60:.1f} minutes of wall time in this call, load {os.getloadavg()[0]:.1f}")
        print(report(calibration))
    except KeyboardInterrupt:
        print(f"stopped; what is measured is kept in {options.out}, the same command goes on", file=sys.stderr)
        return 130
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except JobError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _announce(plan: Plan, workers: int) -> None:
    trainings = sum(plan.trainings(size) * len(plan.medium if size == "medium" else plan.families) for size in SIZES) * len(plan.rules)
    print(f"{len(plan.rules)} rules, {len(plan.families)} families, {len(plan.medium)} of them medium, {plan.seeds} seeds")
    minutes = estimate_seconds(plan, workers) / 60
    print(f"{trainings:,} trainings, about {minutes:.0f} minutes on {workers} idle cores (load now {os.getloadavg()[0]:.1f})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
