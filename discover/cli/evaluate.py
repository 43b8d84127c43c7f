"""`discover evaluate`: rules on tasks, equally tuned, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, UseAppendAction, arg

from discover.cli.checks import check_choice, check_new_run, check_number, check_rule, check_seed, check_task, check_workers, new_run_folder
from discover.cli.evaluations import measure
from discover.cores import visible_cores

if TYPE_CHECKING:
    from discover.evaluate.protocol import EvaluationConfig


@dataclass(frozen=True)
class Evaluate:
    """Measure rules on tasks: everyone is tuned with the same number of trials, then trained on fresh seeds; AdamW sets the target.

    The same seed gives the same numbers for any number of workers. `discover resume RUN` continues a run.
    """

    rules: Annotated[Positional[tuple[str, ...]], arg(metavar="RULE…")]
    """Rules: known ones (see `discover zoo`), files or texts."""
    task: UseAppendAction[tuple[str, ...]] = ()
    """A task, such as digits_mlp, digits_mlp?width=64 or module:function of your own; the preset's if not given."""
    seeds: Annotated[int | None, arg(metavar="INT")] = None
    """Fresh draws of the final measurement, at least 2."""
    steps: Annotated[int | None, arg(metavar="INT")] = None
    """Steps of each training; each task's usual ones if not given."""
    preset: str = "quick"
    """Whose tasks and tuning budget to take: quick or standard."""
    seed: int = 0
    """Seed of everything random."""
    workers: Annotated[int | None, arg(metavar="INT")] = None
    """Worker processes, one core each; one for each core if not given."""
    diagnose: bool = False
    """Also train each tuned rule once more and show curvature along its path and how far it moves each layer."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """The run folder; runs/evaluate-N if not given."""
    json: bool = False
    """Print one JSON object as the last line."""

    def execute(self) -> int:
        """Check everything, then measure and print the table."""
        workers = len(visible_cores()) if self.workers is None else self.workers
        check_workers(workers)
        if not self.rules:
            from discover.errors import UserError

            raise UserError("no rule given: name at least one, see `discover zoo`")
        config = configure(self.preset, self.rules, self.task, self.seeds, self.steps, self.seed)
        if self.out is not None:
            check_new_run(self.out)
        folder = self.out if self.out is not None else new_run_folder("evaluate")
        return measure(config, folder, "evaluate", workers, self.json, self.diagnose)


def configure(preset: str, rules: Sequence[str], tasks: Sequence[str], seeds: int | None, steps: int | None, seed: int) -> EvaluationConfig:
    """The complete configuration that options stand for, the preset's rules and tasks where none are given; raises UserError and kin."""
    from discover.evaluate.presets import PRESETS, named_rules, plan
    from discover.evaluate.protocol import EvaluationConfig

    check_choice("preset", preset, PRESETS)
    check_seed(seed)
    check_number("--seeds", seeds, 2, 1000)
    check_number("--steps", steps, 1, 10**6)
    for rule in rules:
        check_rule(rule)
    for task in tasks:
        check_task(task)
    if len(set(tasks)) < len(tasks):
        from discover.errors import UserError

        raise UserError(f"a task is given twice: {next(t for t in tasks if list(tasks).count(t) > 1)}")
    chosen = PRESETS[preset]
    protocol = chosen.protocol if seeds is None else replace(chosen.protocol, seeds=seeds)
    plans = tuple(plan(task, steps) for task in tasks or [p.spec for p in chosen.tasks])
    config = EvaluationConfig(named_rules(rules or chosen.rules), plans, protocol, seed, preset=preset)
    return config.with_reference(named_rules([protocol.reference])[0].text)
