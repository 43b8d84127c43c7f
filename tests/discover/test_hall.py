"""Who is carried to the end of a search, and in which order."""

from __future__ import annotations

from dataclasses import replace

from discover.config import preset
from discover.hall import finalists, hall_of_fame
from discover.jobs import HALL_STREAM, Job, Measured
from discover.outcomes import Outcome
from discover.schema import TRAINED
from discover.subjects import Subject
from discover.trainer import Trainer
from search_space.parse import parse_program

CONFIG = preset("micro", hall=2, checks=("micro_mlp?tanh=1",))


def subject(number: int, score: float | None, real: bytes = b"", origin: str = "insert") -> Subject:
    program = parse_program(f"def r{number}(w, g, lr):\n    return {number + 1.0} * lr * g\n")
    status = TRAINED if score is not None else "rejected"
    return Subject(number, program, 0, None, origin, bytes([number]), status, real=real or None, score=score)


SUBJECTS = [
    subject(0, 0.9, origin="start"), subject(1, 0.3, b"a"), subject(2, 0.2, b"a"), subject(3, None), subject(4, 0.5), subject(5, 0.4),
]  # fmt: skip


class Scores:
    """Instead of training: the n-th rule gets the n-th score wherever it is measured, and its jobs are kept."""

    workers = 1

    def __init__(self, *scores: float | None) -> None:
        self.scores = scores
        self.jobs: list[Job] = []

    def map(self, function: object, payloads: list[dict], on_done: object = None) -> list[Outcome]:
        jobs = [Job.from_json(data) for data in payloads]
        self.jobs += jobs
        return [Outcome("ok", [self._measure(text, job).to_json() for text in job.programs]) for job in jobs]

    def _measure(self, text: str, job: Job) -> Measured:
        score = self.scores[int(text.split("def r")[1].split("(")[0])]
        return Measured(score, "" if score else "diverged", (0.1,) * len(job.tasks))

    def close(self) -> None:
        """Nothing is held."""


def test_finalists_are_distinct_functions_and_the_starts() -> None:
    assert [s.id for s in finalists(SUBJECTS, 2)] == [2, 5, 0]
    assert [s.id for s in finalists(SUBJECTS, 9)] == [2, 5, 4, 0]


def test_the_hall_is_ordered_by_fresh_draws_on_all_tasks_and_a_start_may_win() -> None:
    executor = Scores(0.5, None, 0.6, None, None, 0.4)
    heroes = hall_of_fame(Trainer(CONFIG, executor), SUBJECTS)
    assert [(h.subject.id, h.fresh_score) for h in heroes] == [(5, 0.4), (0, 0.5), (2, 0.6)]
    assert {(job.stream, job.tasks) for job in executor.jobs} == {(HALL_STREAM, ("micro_mlp", "micro_mlp?tanh=1"))}
    assert hall_of_fame(Trainer(CONFIG, Scores(0.3, None, 0.6, None, None, 0.4)), SUBJECTS)[0].subject.origin == "start"


def test_each_pass_is_centred_on_the_optimum_of_the_one_before() -> None:
    executor = Scores(0.5, None, None)
    config = replace(CONFIG, fine_steps=(2.0, 1.2))
    texts = ["def r0(w, g, lr):\n    return lr * g\n", "def r1(w, g, lr):\n    return lr * g\n"]
    trainer = Trainer(config, executor)
    results = trainer.measure_finely(texts, trainer.job(rounds=3), locate_steps=7)
    assert [m.reason for m in results] == ["", "diverged"]
    coarse, wide, narrow = executor.jobs
    assert [(j.steps, j.rounds, len(j.programs)) for j in executor.jobs] == [(7, 1, 2), (100, 1, 1), (100, 3, 1)]
    assert coarse.rates == config.rates and wide.centres == narrow.centres == ((0.1,),)
    assert wide.rates[1] / wide.rates[0] == 2.0 and abs(narrow.rates[1] / narrow.rates[0] - 1.2) < 1e-9
