"""A stand-in for training in a worker: the loss is a formula of the rule's name and the learning rate."""

from __future__ import annotations

import math
import os
import time
from typing import Any

from discover.evaluate.jobs import failed_cell, hypers_of, jobs, start_worker
from discover.evaluate.protocol import EvaluationConfig
from discover.evaluate.trials import Answer, Request, cells

_config: list[EvaluationConfig] = []
__all__ = ["measure", "run_job", "start_worker"]


def prepare(config: dict[str, Any]) -> None:
    """As `jobs.start_worker`."""
    _config[:] = [EvaluationConfig.from_json(config)]


def run_job(number: int) -> list[dict[str, Any]]:
    """Cells as `jobs.run_job` makes them; a rule called "broken" fails, one called "deadly" ends the process."""
    config = _config[0]
    job = jobs(config)[number]
    found = []
    for rule in job.rules:
        if rule.name == "deadly":
            os._exit(3)
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
        best = 0.01 * (1 + len(rule.name))
        made = cells(config.protocol, hypers_of(rule.text), config.seed, lambda asked, best=best: [measure(r, best) for r in asked])
        for schedule, cell in zip(config.protocol.schedules, made, strict=True):
            facts = {"rule": rule.name, "task": job.task.spec, "schedule": schedule, "metric": "loss"}
            optimum = [0.0] * config.protocol.seeds
            whole = {**facts, "optimum": optimum, "seconds": 1.0, **cell.to_json()}
            found.append(failed_cell(rule, job.task, schedule, "it broke") if rule.name == "broken" else whole)
    return found


def measure(request: Request, best: float) -> Answer:
    """Losses 0.1 + (log10 of rate / best)², above 1000 × best infinite; a schedule helps a little, and every draw differs."""
    losses = []
    for rate, instance in zip(request.rates, request.instances, strict=True):
        off = math.log10(rate / best)
        losses.append(math.inf if off > 3 else (0.09 if request.scheduled else 0.1) + 0.01 * off**2 + 0.001 * instance)
    curve = tuple(tuple(1.0 + (loss - 1.0) * k / 4 if math.isfinite(loss) else math.inf for k in range(1, 5)) for loss in losses)
    return Answer(tuple(losses), tuple(losses), (1.0,) * len(losses), curve)
