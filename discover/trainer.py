"""The parent's side of scoring: cuts work into jobs of fixed size, hands them to an executor, reads the results in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from discover.config import SearchConfig
from discover.errors import JobError
from discover.executor import Executor, Outcome
from discover.jobs import Job, Measured
from discover.pipeline import RACED, settle, settle_level
from discover.race import Curves, Race
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
        self.curves.add(subject.id, [score for score in subject.rungs.values() if score is not None])

    def job(self, programs: Sequence[str] = (), steps: int | None = None) -> Job:
        """A job on the search's tasks with its seeds and rates."""
        c = self.config
        return Job(tuple(programs), c.tasks, steps or c.steps, c.seeds, c.rates, c.seed)

    def measure(self, programs: Sequence[str], like: Job, on_done: Done | None = None) -> list[Measured]:
        """Train programs as `like` says; `on_done(programs measured)` is called as jobs end. Raises JobError where a job is broken."""
        size = self.config.batch
        jobs = [replace(like, programs=tuple(programs[i : i + size])) for i in range(0, len(programs), size)]
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
        singles = [replace(job, programs=(program,)) for program in job.programs]
        again = self.executor.map(JOB, [single.to_json() for single in singles])
        return [self._read(single, result)[0] for single, result in zip(singles, again, strict=True)]

    def race(self, race: Race, subjects: Sequence[Subject]) -> None:
        """Train subjects rung by rung and settle each: with a score, as raced out, or with the reason of its failure."""
        runners = list(subjects)
        last = len(race.ladder) - 1
        for number, rung in enumerate(race.ladder):
            results = self.measure([to_text(s.program) for s in runners], self.job(steps=rung.steps))
            for subject, measured in zip(runners, results, strict=True):
                subject.rungs[rung.steps] = measured.score
                subject.rates = measured.rates
                if measured.score is None:
                    settle(subject, None, measured.reason)
                elif number == last:
                    settle(subject, measured.score)
            if number < last:
                runners = self._hurdle(race, number, runners, results)
        for subject in subjects:
            if subject.status == TRAINED:
                self.remember(subject)

    def _hurdle(self, race: Race, number: int, runners: list[Subject], results: Sequence[Measured]) -> list[Subject]:
        """Who goes on. Who does not, or is about to be trained in full, takes the score of one it has run level with, if there is one."""
        free = [subject.origin == "start" for subject in runners]
        passed = race.pass_on(number, [measured.score for measured in results], free)
        final = number == len(race.ladder) - 2
        for i, (subject, measured) in enumerate(zip(runners, results, strict=True)):
            if measured.score is None or free[i] or (passed[i] and not final):
                continue
            level = self.curves.alike([score for score in subject.rungs.values() if score is not None])
            if level is not None:
                settle_level(subject, self.trained[level])
                passed[i] = False
            elif not passed[i]:
                settle(subject, None, RACED)
        return [subject for subject, go in zip(runners, passed, strict=True) if go]

    def audit(self, subjects: Sequence[Subject]) -> None:
        """Train rejected subjects in full, only to know what the filters cost."""
        results = self.measure([to_text(s.program) for s in subjects], self.job())
        for subject, measured in zip(subjects, results, strict=True):
            subject.audit_score = FAILED if measured.score is None else measured.score
