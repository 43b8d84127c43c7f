"""`discover show`: what a run found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from discover.cli import evaluations, meta_report, output
from discover.cli.checks import check_number
from discover.cli.report import print_summary
from discover.store import RunStore
from discover.summary import Summary, as_json, lineage_diffs, summarize
from meta_train import run_folder


@dataclass(frozen=True)
class Show:
    """Show a run: its best rules, the funnel of its proposals and its configuration. Works while the run is live."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run folder."""
    count: int = 10
    """How many of the best rules."""
    lineage: bool = False
    """Also how the best rule came about, change by change."""
    json: bool = False
    """Print one JSON object."""

    def execute(self) -> int:
        """Read the run and print it."""
        check_number("--count", self.count, 1)
        if run_folder.is_run(self.run):
            meta_report.report(self.run, self.json)
            return 0
        with RunStore.open(self.run, readonly=True) as store:
            if store.info().kind in evaluations.KINDS:
                evaluations.report(self.run, self.json)
                return 0
            summary = summarize(store, self.count)
            diffs = lineage_diffs(store, summary.best[0].id) if self.lineage and summary.best else []
        if self.json:
            steps = [{"id": c.id, "origin": c.origin, "score": c.score, "changes": lines} for c, lines in diffs]
            output.print_json({**as_json(summary), **({"lineage": steps} if self.lineage else {})})
            return 0
        _print_config(summary)
        print_summary(summary)
        for candidate, lines in diffs:
            output.print_text(f"\n#{candidate.id} {candidate.origin}, score {output.number(candidate.score)}")
            output.print_text("\n".join(lines))
        return 0


def _print_config(summary: Summary) -> None:
    info = summary.info
    output.print_text(f"{summary.run}: {info.kind}, {info.status}, started {info.created}")
    rows = [(name, str(value)) for name, value in info.config.items()]
    if rows:
        output.print_table("Configuration", ("name", "value"), rows)
