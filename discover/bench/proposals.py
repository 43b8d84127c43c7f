"""What the proposal pipeline removes before training, how fast, and what it loses: a 60,000-proposal search from AdamW.

Afterwards *all* lossy rejects are trained in full, so that the false-elimination rates are counted, not estimated.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from discover.audit import FilterAudit, audit_filters
from discover.bench.timing import machine
from discover.config import SearchConfig, preset
from discover.cores import visible_cores
from discover.events import Events, Progress, ignore
from discover.executor import Limits, ProcessExecutor
from discover.pipeline import LOSSY
from discover.schema import TRAINED
from discover.search import KIND, WORKER, Search
from discover.store import RunStore

CHUNK = 256
"""Rejects trained between two reports of progress."""


def run(events: Events = ignore, config: SearchConfig | None = None, workers: int | None = None) -> dict[str, Any]:
    """Search, then train every lossy reject. Keys that scripts read: proposals_per_s_per_core, eliminated, false_elimination."""
    config = config or preset("bench")
    with tempfile.TemporaryDirectory() as folder, RunStore.create(folder, KIND, config.to_json()) as store:
        limits = Limits(seconds=config.job_seconds, memory_mb=config.job_memory_mb)
        with ProcessExecutor(workers or len(visible_cores()), WORKER, config.to_json(), limits) as executor:
            search = Search(config, store, executor, events)
            search.advance()
            train_rejects(search, events)
        return figures(search, store.attempt_counts())


def train_rejects(search: Search, events: Events) -> None:
    """Audit everything that a lossy filter took."""
    rejects = [s for s in search.pipeline.subjects if s.reason in LOSSY]
    for start in range(0, len(rejects), CHUNK):
        events(Progress("training rejects", start, len(rejects), "programs", None, search.best))
        search.trainer.audit(rejects[start : start + CHUNK])


def figures(search: Search, outcomes: dict[str, int]) -> dict[str, Any]:
    """The figures of a finished benchmark."""
    subjects, valid = search.pipeline.subjects, search.proposals
    entered = [s for s in subjects if s.rungs]
    full = [s for s in subjects if s.status == TRAINED]
    audits = audit_filters(subjects, search.proposed)
    return {
        "proposals_per_s_per_core": valid / search.filtering,
        "eliminated": 1.0 - len(entered) / valid,
        "false_elimination": _row(audits, "all filters").rate,
        "false_elimination_upper": _row(audits, "all filters").upper,
        "false_elimination_distinct": _row(audits, "all filters").distinct_rate,
        "full_trainings_per_1000": 1000.0 * len(full) / valid,
        "entered_training": len(entered),
        "proposals": valid,
        "distinct": len(subjects),
        "outcomes": outcomes,
        "eliminated_by": {name: count / valid for name, count in Counter(outcomes).items()},
        "filters": [asdict(row) for row in audits],
        "best": search.best,
        **machine(),
    }


def _row(audits: Sequence[FilterAudit], name: str) -> FilterAudit:
    return next((row for row in audits if row.filter == name), FilterAudit(name, 0, 0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0))
