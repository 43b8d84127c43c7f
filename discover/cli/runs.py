"""Doing a job that lives in a run folder: progress, Ctrl-C, and the report at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from discover.cli import INTERRUPTED, OK, output
from discover.cli.report import print_summary
from discover.errors import JobError, UserError
from discover.events import Events
from discover.store import DATABASE, RunStore
from discover.summary import as_json, summarize


def perform(folder: Path, as_object: bool, job: Callable[[Events], None], show: Callable[[Path, bool], None] | None = None) -> int:
    """Do `job` in `folder` and report; after Ctrl-C report what is kept and how to continue, and return 130.

    `show(folder, as_object)` reports; that of a search does if it is not given.
    """
    try:
        with output.progress() as events:
            output.say(f"run folder: {folder}")
            job(events)
    except KeyboardInterrupt:
        return _interrupted(folder, as_object, show or report)
    except ValueError:  # refused before the run began: the folder made for it goes, if it is still empty
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise
    (show or report)(folder, as_object)
    return OK


def _interrupted(folder: Path, as_object: bool, show: Callable[[Path, bool], None]) -> int:
    if not (folder / DATABASE).exists():
        output.say("interrupted before the run began; nothing was done")
        return INTERRUPTED
    with contextlib.suppress(UserError, JobError), RunStore.open(folder) as store:
        store.set_status("interrupted")
        store.fold()
    show(folder, as_object)
    output.say(f"interrupted; what is done is kept. Continue with: discover resume {folder}")
    return INTERRUPTED


def report(folder: Path, as_object: bool) -> None:
    """Print what the run's store holds, as tables or as one JSON object."""
    with RunStore.open(folder, readonly=True) as store:
        summary = summarize(store)
    if as_object:
        output.print_json(as_json(summary))
    else:
        print_summary(summary)
