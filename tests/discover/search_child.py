"""A search with instant scores as a process that tests may kill: python -m tests.discover.search_child FOLDER WORKERS [resume]."""

from __future__ import annotations

import sys
from pathlib import Path

import discover.search
import discover.trainer
from discover.config import SearchConfig, preset


def configuration() -> SearchConfig:
    """Small, with every part at work: restarts, audits, several rungs, a held-out task."""
    return preset(
        "micro", start=("adamw", "sgd"), seed=3, max_proposals=600, budget_seconds=None, generation=40, population=60, audit_share=0.2,
        restart_patience=150, hall=3, final_rounds=2, final_trials=2, batch=8,
    )  # fmt: skip


def use_fake_scores() -> None:
    """Score by `tests.discover.fake_scoring` instead of training."""
    discover.trainer.JOB = "tests.discover.fake_scoring:score_job"
    discover.search.WORKER = "tests.discover.fake_scoring:start_worker"


def main(folder: str, workers: str, verb: str = "run") -> None:
    """Run or resume in this process."""
    use_fake_scores()
    if verb == "resume":
        discover.search.resume(Path(folder), workers=int(workers))
    else:
        discover.search.run(configuration(), Path(folder), workers=int(workers))


if __name__ == "__main__":
    main(*sys.argv[1:])
