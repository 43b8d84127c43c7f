"""The parent's side of scoring: cuts work into jobs of fixed size, hands them to an executor, reads the results in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from discover.config import SearchConfig
from discover.errors import JobError
from discover.executor import Executor, Outcome
from discover.jobs import Job, Measured
from discover.pipeline import RACED, settle, settle_level
from discover.race import Curves, Race, rungs
from discover.schema import TRAINED
from discover.subjects import Subject
from search_space.printer import to_text

JOB = "discover.scoring:score_job"
FAILED = 1e9
"""The audit score of a reject that could not be trained: far above any score."""

Done = Callable[[int], None]


@dataclass(slots=True)
class Trainer:
    """Trains programs for a search. Batches depend on the configuration and the order of programs only, never on the workers."""

    config: SearchConfig
    executor: Executor
    curves: Curves = field(init=False)
    trained: dict[int, Subject] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.curves = Curves(self.config.level_tolerance)

    def remember(self, subject: Subject) -> None:
        """Enter a subject that was trained in full."""
        self.trained[subject.id] = subject
        self.curves.add(subject.id, subject.profile)

    def job(self, steps: int | None = None, rounds: int = 1) -> Job:
        """A job on the search's tasks with its coarse grid of rates."""
        c = self.config
        return Job((), c.tasks, steps or c.steps, rounds, c.rates, c.seed, reading="vertex")

    def measure(
        self, programs: Sequence[str], like: Job, centres: Sequence[Sequence[float]] = (), on_done: Done | None = None
    ) -> list[Measured]:
        """Train programs as `like` says; `on_done(programs measured)` is called as jobs end. Raises JobError where a job is broken."""
        size = self.config.batch
        cuts = [slice(i, i + size) for i in range(0, len(programs), size)]
        rows = [tuple(row) for row in centres]
        jobs = [replace(like, programs=tuple(programs[cut]), centres=tuple(rows[cut])) for cut in cuts]
        count = 0

        def one_done(index: int, _: Outcome) -> None:
            nonlocal count
            count += len(jobs[index].programs)
            if on_done is not None:
                on_done(count)

        outcomes = self.executor.map(JOB, [job.to_json() for job in jobs], one_done)
        return [measured for job, outcome in zip(jobs, outcomes, strict=True) for measured in self._read(job, outcome)]

    def _read(self, job: Job, outcome: Outcome) -> list[Measured]:
        """The results of a job; one that broke a limit is tried again program by program, to find the guilty one."""
        if outcome.reason == "ok":
            return [Measured.from_json(data) for data in outcome.value]
        if outcome.reason == "error":
            raise JobError(f"training failed: {outcome.message}")
        if len(job.programs) == 1:
            return [Measured(reason=outcome.reason)]
        singles = [replace(job, programs=(p,), centres=job.centres[i : i + 1]) for i, p in enumerate(job.programs)]
        again = self.executor.map(JOB, [single.to_json() for single in singles])
        return [self._read(single, result)[0] for single, result in zip(singles, again, strict=True)]

    def measure_finely(self, programs: Sequence[str], like: Job, locate_steps: int | None = None) -> list[Measured]:
        """Find each program's optimum with one round on the coarse grid, then `refine`."""
        coarse = self.measure(programs, replace(like, rounds=1, steps=locate_steps or like.steps, reading="vertex"))
        return self.refine(programs, like, coarse)

    def refine(self, programs: Sequence[str], like: Job, results: Sequence[Measured]) -> list[Measured]:
        """Train as `like` says, on ever finer grids around the optima that `results` found; failures stay failures."""
        steps, length = self.config.fine_steps, len(self.config.rates)
        results = list(results)
        for number, step in enumerate(steps):
            rates = tuple(step ** (i - (length - 1) / 2) for i in range(length))
            job = replace(like, rates=rates, reading="smooth", rounds=like.rounds if number == len(steps) - 1 else 1)
            alive = [i for i, measured in enumerate(results) if measured.score is not None]
            found = self.measure([programs[i] for i in alive], job, [results[i].rates for i in alive])
            for i, measured in zip(alive, found, strict=True):
                results[i] = measured
        return results

    def race(self, race: Race, subjects: Sequence[Subject]) -> None:
        """Train subjects rung by rung and settle each: with a score, as raced out, or with the reason of its failure."""
        runners = list(subjects)
        for number, rung in enumerate(race.ladder[:-1]):
            results = self.measure([to_text(s.program) for s in runners], self.job(rung.steps))
            for subject, measured in zip(runners, results, strict=True):
                _note(subject, rung.steps, measured)
                subject.profile += measured.profile
            runners = self._hurdle(race, number, runners, results)
        self._finish(runners)
        for subject in subjects:
            if subject.status == TRAINED:
                self.remember(subject)

    def _finish(self, runners: Sequence[Subject]) -> None:
        """Train those that passed all hurdles in full, and settle them."""
        c, texts = self.config, [to_text(s.program) for s in runners]
        whole = self.job(rounds=c.full_rounds)
        if len(c.rung_fractions) > 1:  # the last hurdle has found the optimum
            results = self.refine(texts, whole, [Measured(s.rungs[max(s.rungs)], rates=s.rates) for s in runners])
        else:
            results = self.measure_finely(texts, whole)
        for subject, measured in zip(runners, results, strict=True):
            _note(subject, c.steps, measured)
            if measured.score is not None:
                settle(subject, measured.score)

    def _hurdle(self, race: Race, number: int, runners: list[Subject], results: Sequence[Measured]) -> list[Subject]:
        """Who goes on. Who does not, or is about to be trained in full, takes the score of one it has run level with, if there is one."""
        free = [subject.origin == "start" for subject in runners]
        passed = race.pass_on(number, [measured.score for measured in results], free)
        final = number == len(race.ladder) - 2
        for i, (subject, measured) in enumerate(zip(runners, results, strict=True)):
            if measured.score is None or free[i] or (passed[i] and not final):
                continue
            level = self.curves.alike(subject.profile)
            if level is not None:
                settle_level(subject, self.trained[level])
                passed[i] = False
            elif not passed[i]:
                settle(subject, None, RACED)
        return [subject for subject, go in zip(runners, passed, strict=True) if go]

    def audit(self, subjects: Sequence[Subject]) -> None:
        """Train rejected subjects as those that pass every hurdle are trained, only to know what the filters cost."""
        c, texts = self.config, [to_text(s.program) for s in subjects]
        located = rungs(c.steps, c.rung_fractions, c.rung_keep)[-2].steps if len(c.rung_fractions) > 1 else c.steps
        results = self.measure_finely(texts, self.job(rounds=c.full_rounds), located)
        for subject, measured in zip(subjects, results, strict=True):
            subject.audit_score = FAILED if measured.score is None else measured.score


def _note(subject: Subject, steps: int, measured: Measured) -> None:
    """Record what a rung measured; a failure settles the subject."""
    subject.rungs[steps], subject.rates = measured.score, measured.rates
    if measured.score is None:
        settle(subject, None, measured.reason)
