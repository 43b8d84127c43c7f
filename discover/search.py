"""A search by training, from a configuration to a finished run folder; resumable after any end.

Each generation is asked, filtered, raced, told and committed whole, together with everything that the next one depends on. Nothing but
the wall-clock budget reads the clock, and that only decides after which generation to stop.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from discover.config import SearchConfig
from discover.cores import visible_cores
from discover.errors import UserError
from discover.events import Events, Progress, ignore
from discover.executor import Executor, Limits, ProcessExecutor
from discover.finals import finish
from discover.flow import Flow
from discover.hall import write_best, write_front
from discover.mutate import Mutator
from discover.pipeline import Pipeline, Ticket, count_outcomes
from discover.race import Race, rungs
from discover.schema import TRAINED, Evaluation
from discover.starts import space_of, start_genomes, strategy_of
from discover.store import RunStore
from discover.strategies import Told
from discover.subjects import Subject, from_row, to_row
from discover.trainer import Trainer
from search_space.keys import real_key

KIND = "search"
WORKER = "discover.scoring:start_worker"
FLOW_LIMIT = 2_000_000
"""Distinct values after which the look-up tables are begun anew, to bound memory."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found: texts and figures as in the run store."""

    run: str
    best: list[dict[str, Any]]
    proposals: int
    trained: int
    rejected: dict[str, int]
    result: dict[str, Any]


def run(config: SearchConfig, folder: str | Path, events: Events = ignore, workers: int | None = None) -> SearchResult:
    """Make a run in `folder` and search to the end. Raises UserError for wrong use, JobError where the job cannot go on."""
    start_genomes(config)  # wrong rules are refused before a folder exists
    with RunStore.create(folder, KIND, config.to_json()) as store:
        return _complete(config, store, events, workers)


def resume(folder: str | Path, events: Events = ignore, workers: int | None = None) -> SearchResult:
    """Continue a run to the same result as if it had not been stopped; a finished run is left as it is."""
    with RunStore.open(folder, readonly=True) as store:
        info = store.info()
        if info.kind != KIND:
            raise UserError(f"{folder} is a '{info.kind}' run, not a search")
        if info.status == "finished":
            return result_of(store)
    with RunStore.open(folder) as store:
        store.set_status("running")
        return _complete(SearchConfig.from_json(store.config()), store, events, workers)


def result_of(store: RunStore) -> SearchResult:
    """Read a finished run."""
    counts = store.attempt_counts()
    best = [{"rule": c.text, "score": c.score, "state_bytes_per_param": c.state_bytes} for c in store.best(10)]
    return SearchResult(str(store.folder), best, store.proposals(), counts.pop(TRAINED, 0), counts, store.info().result or {})


def _complete(config: SearchConfig, store: RunStore, events: Events, workers: int | None) -> SearchResult:
    limits = Limits(seconds=config.job_seconds, memory_mb=config.job_memory_mb)
    count = workers or len(visible_cores())
    with ProcessExecutor(count, WORKER, config.to_json(), limits) as executor:
        executor.start()  # compile while the first proposals are made
        search = Search(config, store, executor, events)
        search.restore()
        search.advance()
        result = finish(search.trainer, search.pipeline.subjects, search.proposed, search.illegal, events)
        write_best(store, result["hall"])
        write_front(store)
        store.finish("finished", result)
    return result_of(store)


class Search:
    """The loop over generations."""

    def __init__(self, config: SearchConfig, store: RunStore, executor: Executor, events: Events = ignore) -> None:
        self.config, self.store, self.events = config, store, events
        self.mutator = Mutator(space_of(config), Flow())
        self.strategy = strategy_of(config, self.mutator)
        self.pipeline = Pipeline(self.mutator.flow, config.probe_margin, config.fingerprint_bits, config.train_share, config.audit_share)
        self.race = Race(rungs(config.steps, config.rung_fractions, config.rung_keep), config.rung_window)
        self.trainer = Trainer(config, executor)
        self.proposed: list[int] = []  # how often each subject was proposed
        self.generation = self.proposals = 0
        self.illegal: Counter[str] = self.mutator.failures
        self.best: float | None = None
        self.spent = self.filtering = 0.0  # seconds of earlier processes; CPU seconds of proposing and filtering here
        self.began = time.monotonic()

    def advance(self) -> None:
        """Search until a limit is reached; every generation is committed before the next begins."""
        while (count := self._next_size()) > 0:
            self.step(count)

    def _next_size(self) -> int:
        """Proposals of the next generation, 0 at the end. The budget cuts between generations only."""
        c = self.config
        if c.budget_seconds is not None and self._seconds() >= c.budget_seconds and self.generation > 0:
            return 0
        left = c.generation if c.max_proposals is None else c.max_proposals - self.proposals
        return max(0, min(c.generation, left))

    def step(self, count: int) -> list[Ticket]:
        """One generation of `count` proposals (the first holds the starts alone)."""
        rng = Random(f"{self.config.seed}:{self.generation}")
        before = len(self.pipeline.subjects)
        clock = time.process_time()
        tickets = [self.pipeline.admit(p, self.generation) for p in self.strategy.ask(rng, count)]
        self.filtering += time.process_time() - clock
        self.trainer.race(self.race, [t.subject for t in tickets if t.outcome == TRAINED])
        fresh = self.pipeline.subjects[before:]
        self.trainer.audit([subject for subject in fresh if self.pipeline.audited(subject)])
        self.strategy.tell([Told(t.proposal, t.subject.id, t.subject.known_score()) for t in tickets])
        self._commit(tickets, fresh)
        return tickets

    def _commit(self, tickets: list[Ticket], fresh: list[Subject]) -> None:
        self.proposals += len(tickets)
        self.proposed += [0] * len(fresh)
        for ticket in tickets:
            self.proposed[ticket.subject.id] += 1
        scores = [s.score for s in fresh if s.score is not None]
        improved = bool(scores) and (self.best is None or min(scores) < self.best)
        if improved:
            self.best = min(scores)
        for subject in fresh:
            if subject.status == TRAINED and subject.real is None:
                subject.real = real_key(subject.program)
        rungs = [Evaluation(s.id, i, steps, score) for s in fresh for i, (steps, score) in enumerate(s.rungs.items())]
        self.store.commit_generation(
            self.generation,
            candidates=[to_row(s) for s in fresh],
            evaluations=rungs,
            attempts=count_outcomes(tickets),
            state=self.state(),
        )
        if improved:
            write_front(self.store)
        self.generation += 1
        self._tidy()
        self._report()

    def _tidy(self) -> None:
        """Bound memory, and spare the garbage collector what lives on."""
        if len(self.mutator.flow.kinds) > FLOW_LIMIT:
            self.mutator.flow.clear()
            self.pipeline.by_form.clear()
            self.strategy.restore(self.strategy.state())  # walks the population anew
        gc.freeze()

    def state(self) -> dict[str, Any]:
        """All that the next generation depends on besides the subjects, as JSON."""
        return {
            "strategy": self.strategy.state(),
            "race": self.race.state(),
            "illegal": dict(self.illegal),
            "proposed": self.proposed,
            "demand": self.pipeline.demand,
            "seconds": self._seconds(),
        }

    def restore(self) -> None:
        """Continue from the store's last generation, if it has one."""
        last = self.store.last_generation()
        if last is None:
            return
        known: dict[int, Subject] = {}
        for row in self.store.candidates():
            known[row.id] = from_row(row, known)
            self.pipeline.remember(known[row.id])
            if known[row.id].status == TRAINED:
                self.trainer.remember(known[row.id])
        state = last[1]
        self.generation, self.proposals = last[0] + 1, self.store.proposals()
        self.strategy.restore(state["strategy"])
        self.race.restore(state["race"])
        self.illegal.update(state["illegal"])
        self.proposed = state["proposed"]
        self.pipeline.demand = state["demand"]
        self.spent = state["seconds"]
        self.best = min((s.score for s in known.values() if s.score is not None), default=None)

    def _seconds(self) -> float:
        return self.spent + time.monotonic() - self.began

    def _report(self) -> None:
        c = self.config
        left = None if c.budget_seconds is None else max(0.0, c.budget_seconds - self._seconds())
        trained = sum(1 for s in self.pipeline.subjects if s.status == TRAINED)
        note = f"{trained:,} trained in full, {len(self.pipeline.subjects):,} distinct"
        self.events(Progress("search", self.proposals, c.max_proposals, "proposals", left, self.best, note))
