"""`discover bench`: measured claims, one command each."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from discover.cli import output
from discover.cli.checks import check_choice

BENCHMARKS = ("interpreter", "micro", "proposals")


@dataclass(frozen=True)
class Bench:
    """Measure this machine: interpreter, micro or proposals. Run nothing else beside it."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """What to measure."""
    json: bool = False
    """Print one JSON object as the last line."""

    def execute(self) -> int:
        """Run the benchmark `discover.bench.<name>` and print its figures."""
        check_choice("benchmark", self.name, BENCHMARKS)
        with output.progress() as events:
            result: dict[str, Any] = importlib.import_module(f"discover.bench.{self.name}").run(events)
        if self.json:
            output.print_json(result)
        else:
            output.print_table(f"bench {self.name}", ("figure", "value"), [(name, _cell(value)) for name, value in result.items()])
        return 0


def _cell(value: Any) -> str:
    return output.number(value, 5) if isinstance(value, float) else str(value)
