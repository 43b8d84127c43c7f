"""`discover resume`: continue a search or an evaluation that was stopped, however it was."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from discover.cli import evaluations, meta_report, output
from discover.cli.checks import check_workers
from discover.cli.runs import perform, report
from discover.cores import visible_cores
from discover.errors import UserError
from discover.store import RunStore
from meta_train import run_folder


@dataclass(frozen=True)
class Resume:
    """Continue a search or an evaluation that was stopped, to the same result as if it had not been. A finished one is left as it is."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run folder."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """Worker processes, one core each; one for each core if not given. The result does not depend on it."""
    json: bool = False
    """Print one JSON object as the last line."""

    def execute(self) -> int:
        """Check that the run can be continued, then do so."""
        if run_folder.is_run(self.run):
            return _resume_meta_training(self.run, self.json)
        workers = len(visible_cores()) if self.workers is None else self.workers
        check_workers(workers)
        with RunStore.open(self.run, readonly=True) as store:
            info = store.info()
        evaluation = info.kind in evaluations.KINDS
        if info.kind != "search" and not evaluation:
            raise UserError(f"{self.run} is a '{info.kind}' run; only searches, evaluations and leaderboards can be resumed")
        if info.status == "finished":
            output.say(f"{self.run} is finished, there is nothing to continue")
            (evaluations.report_again if evaluation else report)(self.run, self.json)
            return 0
        RunStore.open(self.run).close()  # refuses a live run and a read-only folder before anything heavy is loaded
        if evaluation:
            return evaluations.resume(self.run, workers, self.json)
        return perform(self.run, self.json, lambda events: _resume(self.run, workers, events))


def _resume_meta_training(folder: Path, as_object: bool) -> int:
    from discover.cli import meta_train

    config, summary = run_folder.read_config(folder), run_folder.summary(folder)
    if summary["status"] == "finished":
        output.say(f"{folder} is finished, there is nothing to continue")
        meta_report.report(folder, as_object)
        return 0
    budget = config.budget_seconds
    if budget is not None and summary["status"] == "out of time":
        budget += summary["seconds"]  # as much again
    devices = meta_train.choose_devices(None, config)
    return meta_train.perform(folder, min(devices, summary["devices"] or devices), as_object, budget)


def _resume(folder: Path, workers: int, events: Any) -> None:
    from discover.search import resume

    resume(folder, workers=workers, events=events)
