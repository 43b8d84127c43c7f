"""`discover regenerate`: find a known optimizer again from its recorded updates alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from discover.cli import output
from discover.cli.checks import check_budget, check_rule, check_seed, check_target, check_workers
from discover.cores import single_thread_environment
from discover.errors import UserError
from discover.events import Progress

FOUND = "equivalent to the target on held-out streams"
MISSED = "NOT equivalent to the target; this is the closest rule found"


@dataclass(frozen=True)
class Regenerate:
    """Find an optimizer again from primitives, given only its recorded updates, and say whether the result is equivalent.

    A miss is a result: it exits with 0 and shows the closest rule found. TARGET may be `module:factory?name=value,...`, any
    importable optax transformation; the module is imported, that is, run, and is looked for in the current folder too.
    """

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")]
    """A known rule (see `discover zoo`), a rule file, or module:factory of an optax transformation."""
    start: str = "sgd"
    """The rule to start from: a known one or a file."""
    seed: int = 0
    """Seed of the search; the data that judges the result does not depend on it."""
    budget_seconds: float = 300.0
    """Time limit."""
    workers: int = 1
    """Worker processes; the result does not depend on it."""
    engine: Literal["combined", "enumeration", "evolution", "random", "hyper"] = "combined"
    """Parts of the engine, and two controls."""
    json: bool = False
    """Print one JSON object as the last line."""

    def execute(self) -> int:
        """Check the options, record the target, search, print."""
        check_seed(self.seed)
        check_budget(self.budget_seconds)
        check_workers(self.workers)
        check_rule(self.start)
        check_target(self.target)
        single_thread_environment(os.environ)  # before numpy: sums by several threads would depend on the machine
        result = self._work()
        if not self.json:
            output.print_text(result["rule"].rstrip())
            verdict = FOUND if result["equivalent"] else MISSED
            numbers = f"error {output.number(result['error'])}, {result['seconds']:.1f} s, {result['proposals']:,} proposals"
            output.print_text(f"\n{verdict} ({numbers})")
        else:
            output.print_json(result)
        return 0

    def _work(self) -> dict[str, Any]:
        from discover.imitate.engine import regenerate
        from discover.imitate.target import default_streams, record
        from search_space import Program, load
        from search_space.printer import to_text

        start = load(self.start)
        if not isinstance(start, Program):
            raise UserError(f"{self.start} has a rule for each role: a search starts from one rule")
        with output.progress() as events:
            events(Progress("recording the target", 0, unit="updates"))
            recording = record(self.target, default_streams(self.seed))

            def show(stage: str, error: float, seconds: float) -> None:
                events(Progress(stage, 0, unit="stage", best=error, seconds_left=max(0.0, self.budget_seconds - seconds)))

            outcome = regenerate(
                recording,
                start,
                seed=self.seed,
                budget_seconds=self.budget_seconds,
                engine=self.engine,
                workers=self.workers,
                progress=show,
            )
        return {
            "target": self.target,
            "start": self.start,
            "seed": self.seed,
            "engine": self.engine,
            "equivalent": outcome.equivalent,
            "error": outcome.error,
            "flips": outcome.flips,
            "seconds": outcome.seconds,
            "proposals": outcome.proposals,
            "evaluated": outcome.evaluated,
            "rule": to_text(outcome.program),
        }
