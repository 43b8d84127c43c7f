"""What commands print: tables and progress on a terminal, plain lines elsewhere, one JSON object for scripts."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from discover.events import Events, Progress

PLAIN_EVERY_SECONDS = 10.0


def print_json(value: dict[str, Any]) -> None:
    """One JSON object as one line, the last of standard output; numbers that JSON lacks become null."""
    print(json.dumps(_finite(value), ensure_ascii=False, allow_nan=False), flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def number(value: float | None, digits: int = 4) -> str:
    """A number for a table."""
    return "–" if value is None else f"{value:.{digits}g}"


def say(text: str) -> None:
    """A line about the work, which is not its result: standard error."""
    print(text, file=sys.stderr, flush=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; columns whose cells all look like numbers are aligned to the right."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, highlight=False)
    for i, column in enumerate(columns):
        numeric = all(_looks_numeric(row[i]) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def print_text(text: str) -> None:
    """Text as it is, without markup or wrapping."""
    _console().print(text, markup=False, highlight=False, soft_wrap=True)


def _console() -> Any:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160, emoji=False, markup=False)


def _looks_numeric(cell: str) -> bool:
    return cell.replace("–", "0").replace(",", "").replace(".", "").replace("-", "").replace("+", "").replace("e", "").isdigit()


@contextmanager
def progress() -> Iterator[Events]:
    """A callback that shows progress on standard error: a live line on a terminal, else a line now and then."""
    if sys.stderr.isatty():
        with _live_progress() as events:
            yield events
    else:
        yield _plain_progress()


def _plain_progress() -> Events:
    last = 0.0
    phase = ""

    def show(event: Progress) -> None:
        nonlocal last, phase
        now = time.monotonic()
        if event.phase != phase or now - last >= PLAIN_EVERY_SECONDS:
            last, phase = now, event.phase
            say(_line(event))

    return show


@contextmanager
def _live_progress() -> Iterator[Events]:
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        SpinnerColumn(), BarColumn(bar_width=24), TextColumn("{task.description}", markup=False), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip
    row = bar.add_task("starting", total=None)
    rate = _Rate()

    def show(event: Progress) -> None:
        left = "" if event.seconds_left is None else f" · {_duration(event.seconds_left)} left"
        bar.update(row, description=_line(event) + rate.text(event) + left, completed=event.done, total=event.total)

    with bar:
        yield show


class _Rate:
    """Units a second over the recent past, and the time left that follows from it."""

    def __init__(self) -> None:
        self._phase, self._start, self._done = "", time.monotonic(), 0

    def text(self, event: Progress) -> str:
        if event.phase != self._phase:
            self._phase, self._start, self._done = event.phase, time.monotonic(), event.done
        seconds = time.monotonic() - self._start
        if seconds < 1 or event.done <= self._done:
            return ""
        rate = (event.done - self._done) / seconds
        left = "" if event.total is None or event.seconds_left is not None else f" · {_duration((event.total - event.done) / rate)} left"
        return f" · {rate:,.0f}/s{left}" if rate >= 10 else f" · {rate:.2g}/s{left}"


def _line(event: Progress) -> str:
    total = "" if event.total is None else f" of {event.total:,}"
    best = "" if event.best is None else f" · best {event.best:.4g}"
    note = f" · {event.note}" if event.note else ""
    return f"{event.phase}: {event.done:,}{total} {event.unit}{best}{note}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
