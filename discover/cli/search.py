"""`discover search`: find update rules by training on tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import UseAppendAction, arg

from discover.cli.checks import (
    check_budget,
    check_choice,
    check_new_run,
    check_number,
    check_ops,
    check_seed,
    check_task,
    check_workers,
    new_run_folder,
    start_text,
)
from discover.cli.runs import perform
from discover.cores import visible_cores

if TYPE_CHECKING:
    from discover.config import SearchConfig


@dataclass(frozen=True)
class Search:
    """Search for update rules by training on batches of small tasks. Options that are not given keep the preset's values.

    The same seed and --max-proposals give the same rules for any number of workers. `discover resume RUN` continues a run.
    """

    preset: str = "digits"
    """A named configuration: digits, micro, demo, calibrated, bench."""
    task: UseAppendAction[tuple[str, ...]] = ()
    """A task to train on, such as digits_mlp, digits_mlp?width=64 or module:function of your own."""
    start: UseAppendAction[tuple[str, ...]] = ()
    """A rule to start from: a known one (see `discover zoo`) or a file."""
    seed: Annotated[int | None, arg(metavar="INT")] = None
    """Seed of everything random."""
    budget_seconds: Annotated[float | None, arg(metavar="SECONDS")] = None
    """Time limit of the search; with --max-proposals alone there is none."""
    max_proposals: Annotated[int | None, arg(metavar="INT")] = None
    """Limit on the number of proposed rules."""
    workers: Annotated[int | None, arg(metavar="INT")] = None
    """Worker processes, one core each; one for each core if not given."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """The run folder; runs/search-N if not given."""
    ops: UseAppendAction[tuple[str, ...]] = ()
    """Primitives that proposals may use, such as --ops sign,lerp,mul."""
    max_slots: Annotated[int | None, arg(metavar="INT")] = None
    """Most state slots of a rule."""
    max_statements: Annotated[int | None, arg(metavar="INT")] = None
    """Most statements of a rule."""
    engine: Annotated[str | None, arg(metavar="ENGINE")] = None
    """evolution; or a control: random search, or hyper, the evolution of numbers alone."""
    json: bool = False
    """Print one JSON object as the last line."""

    def execute(self) -> int:
        """Check everything, then search and print the best rules."""
        workers = len(visible_cores()) if self.workers is None else self.workers
        check_workers(workers)
        config = self.config()
        if self.out is not None:
            check_new_run(self.out)
        folder = self.out if self.out is not None else new_run_folder("search")
        return perform(folder, self.json, lambda events: _run(config, folder, workers, events))

    def config(self) -> SearchConfig:
        """The complete configuration that the options stand for; raises UserError, RuleError or TaskError."""
        from discover.config import PRESETS, STRATEGIES, preset

        check_choice("preset", self.preset, PRESETS)
        if self.engine is not None:
            check_choice("engine", self.engine, STRATEGIES)
        return preset(self.preset, **self._changes())

    def _changes(self) -> dict[str, Any]:
        """The fields of the configuration that were given, checked."""
        if self.seed is not None:
            check_seed(self.seed)
        check_budget(self.budget_seconds)
        check_number("--max-proposals", self.max_proposals, 1)
        check_number("--max-slots", self.max_slots, 0)
        check_number("--max-statements", self.max_statements, 1)
        for task in self.task:
            check_task(task)
        ops = tuple(op for part in self.ops for op in part.replace(",", " ").split())
        check_ops(ops)
        given = {
            "tasks": self.task or None,
            "weights": () if self.task else None,
            "start": tuple(start_text(rule) for rule in self.start) or None,
            "seed": self.seed,
            "budget_seconds": self.budget_seconds,
            "max_proposals": self.max_proposals,
            "ops": ops or None,
            "max_slots": self.max_slots,
            "max_statements": self.max_statements,
            "strategy": self.engine,
        }
        changes = {name: value for name, value in given.items() if value is not None}
        if self.max_proposals is not None and self.budget_seconds is None:
            changes["budget_seconds"] = None
        return changes


def _run(config: SearchConfig, folder: Path, workers: int, events: Any) -> None:
    from discover.search import run

    run(config, folder, workers=workers, events=events)
