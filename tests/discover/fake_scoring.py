"""Instant stand-in for training in a worker: the probe's verdict is the score."""

from __future__ import annotations

import os
import time
from typing import Any

from discover.jobs import Job, Measured
from discover.probe import probe
from search_space.dataflow import dataflow
from search_space.parse import parse_program

DELAY = float(os.environ.get("FAKE_SCORING_DELAY", "0"))
"""Seconds of each job, so that a test has time to kill the process."""


def start_worker(config: dict[str, Any]) -> None:
    """Nothing to prepare."""


def score_job(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Scores from the probe; longer trainings differ a little, so that the race has something to decide."""
    job = Job.from_json(data)
    time.sleep(DELAY)
    return [_measure(text, job).to_json() for text in job.programs]


def _measure(text: str, job: Job) -> Measured:
    program = parse_program(text)
    found = probe(dataflow(program), {h.name: h.default for h in program.hypers}, margin=-1e9)
    if found.reason is not None:
        return Measured(reason="diverged")
    score = 10.0 + found.gain + 0.1 / job.steps
    return Measured(score, "", (job.rates[0],) * len(job.tasks), ((score, score * 1.01),) * len(job.tasks))
