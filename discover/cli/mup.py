"""`discover mup`: how a rule or a learned optimizer must change with width, and a check that it then does the same at every width."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from discover.cli import output
from discover.cli.checks import check_choice, check_new_run, check_number, new_run_folder
from discover.cli.widths import Described, describe
from discover.errors import UserError
from discover.events import Progress

if TYPE_CHECKING:
    from meta_train.mup.coordinate_check import CoordinateCheck

PARAMETRISATIONS = ("mup", "sp", "ntp")


@dataclass(frozen=True)
class Mup:
    """Say how a rule scales with width, and check it: a coordinate check with a table and a figure."""

    rule: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RULE|THETA")]
    """A known rule, a rule file, shipped weights, a folder with weights, or an architecture of learned optimizers (fresh weights)."""
    parametrisation: str = "mup"
    """mup, sp or ntp."""
    widths: tuple[int, ...] = (64, 128, 256, 512)
    """Widths of the network; the smallest is the one that the learning rate is meant for."""
    learning_rate: float | None = None
    """At the smallest width; the rule's own by default."""
    steps: int = 4
    """Steps of training."""
    seeds: int = 2
    """Networks trained at each width."""
    out: Path | None = None
    """Folder of the figure, runs/mup-N by default."""
    json: bool = False
    """Print one JSON object as the last line."""

    def execute(self) -> int:
        """Check the input, describe the rule, train, print and draw."""
        self._check()
        described = describe(self.rule, self.parametrisation)
        folder = new_run_folder("mup") if self.out is None else self.out
        check = self._train(described)
        slopes = check.slopes()
        figure = folder / "coordinates.png"
        _draw(described.name, self.parametrisation, check, figure)
        if self.json:
            head = {"rule": described.name, "degree": described.degree, "slopes": slopes, "table": described.table}
            more = {"verdict": described.verdict, "parametrisation": self.parametrisation, "widths": check.widths}
            output.print_json({**head, **more, "movement": check.movement.tolist(), "figure": str(figure)})
            return 0
        output.print_text(f"{described.name}: {described.verdict}")
        _print_table(described, self.parametrisation)
        _print_check(check, slopes)
        output.print_text(f"drawn in {figure}")
        return 0

    def _check(self) -> None:
        check_choice("parametrisation", self.parametrisation, PARAMETRISATIONS)
        if len(set(self.widths)) < 2:
            raise UserError("--widths needs at least two different widths")
        for width in self.widths:
            check_number("--widths", width, 1, 65536)
        check_number("--steps", self.steps, 1, 10_000)
        check_number("--seeds", self.seeds, 1, 1000)
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise UserError(f"--learning-rate must be a positive number, not {self.learning_rate:g}")
        if self.out is not None:
            check_new_run(self.out)

    def _train(self, described: Described) -> CoordinateCheck:
        from meta_train.mup.coordinate_check import coordinate_check

        subject = described.subject(described.learning_rate if self.learning_rate is None else self.learning_rate)
        widths = tuple(sorted(set(self.widths)))
        with output.progress() as events:

            def report(width: int) -> None:
                events(Progress("coordinate check", widths.index(width), len(widths), "widths", note=f"width {width}"))

            return coordinate_check(subject, self.parametrisation, widths, steps=self.steps, seeds=self.seeds, report=report)


def _draw(name: str, parametrisation: str, check: CoordinateCheck, path: Path) -> None:
    from meta_train.mup.drawing import draw_checks

    try:
        draw_checks({f"{name}, {parametrisation}": check}, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def _print_table(described: Described, parametrisation: str) -> None:
    columns = list(dict.fromkeys(name for row in described.table for name in row))
    rows = [[row[c] if c == "role" else f"m^{row[c]:g}" if row.get(c) else "1" for c in columns] for row in described.table]
    output.print_table(f"factors under {parametrisation} in a network m times wider", columns, rows)


def _print_check(check: CoordinateCheck, slopes: dict[str, float]) -> None:
    rows: list[list[Any]] = [[str(w), *[output.number(float(x)) for x in check.movement[i, -1]]] for i, w in enumerate(check.widths)]
    rows.append(["slope", *[output.number(s, 3) for s in slopes.values()]])
    output.print_table(f"movement of pre-activations after {check.movement.shape[1]} steps (RMS)", ("width", *slopes), rows)
