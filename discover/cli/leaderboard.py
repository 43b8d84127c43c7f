"""`discover leaderboard`: many rules on many tasks, ranked in several ways."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction, arg

from discover.cli.checks import check_choice, check_new_run, check_workers, new_run_folder
from discover.cli.evaluate import configure
from discover.cli.evaluations import measure
from discover.cores import visible_cores


@dataclass(frozen=True)
class Leaderboard:
    """Measure all rules of a preset on all its tasks, equally tuned, and rank them in several ways; writes leaderboard.html.

    The same seed gives the same numbers for any number of workers. `discover resume RUN` continues a run.
    """

    preset: str = "quick"
    """Rules, tasks and tuning budget: quick (minutes) or standard (an hour)."""
    rule: UseAppendAction[tuple[str, ...]] = ()
    """A further rule beside the preset's: a known one or a file."""
    task: UseAppendAction[tuple[str, ...]] = ()
    """A task instead of the preset's."""
    matrix: bool = False
    """Also the rules that act on whole matrices, which take longer."""
    seeds: Annotated[int | None, arg(metavar="INT")] = None
    """Fresh draws of the final measurement, at least 2."""
    steps: Annotated[int | None, arg(metavar="INT")] = None
    """Steps of each training; each task's usual ones if not given."""
    seed: int = 0
    """Seed of everything random."""
    workers: Annotated[int | None, arg(metavar="INT")] = None
    """Worker processes, one core each; one for each core if not given."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """The run folder; runs/leaderboard-N if not given."""
    json: bool = False
    """Print one JSON object as the last line."""

    def execute(self) -> int:
        """Check everything, then measure, rank and write the page."""
        from discover.evaluate.presets import MATRIX_RULES, PRESETS

        workers = len(visible_cores()) if self.workers is None else self.workers
        check_workers(workers)
        check_choice("preset", self.preset, PRESETS)
        rules = (*PRESETS[self.preset].rules, *(MATRIX_RULES if self.matrix else ()), *self.rule)
        config = configure(self.preset, rules, self.task, self.seeds, self.steps, self.seed)
        if self.out is not None:
            check_new_run(self.out)
        folder = self.out if self.out is not None else new_run_folder("leaderboard")
        return measure(config, folder, "leaderboard", workers, self.json)
