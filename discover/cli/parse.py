"""Arguments to a verb's frozen dataclass, with tyro; wrong ones become one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from typing import Protocol

import tyro

from discover.cli.bench import Bench
from discover.cli.checks import suggest
from discover.cli.regenerate import Regenerate
from discover.cli.resume import Resume
from discover.cli.search import Search
from discover.cli.show import Show
from discover.cli.zoo import Zoo
from discover.errors import UserError

DESCRIPTION = "Search for, regenerate and compare optimizers of neural networks. `discover VERB --help` explains a verb."
VERBS = {"search": Search, "regenerate": Regenerate, "resume": Resume, "show": Show, "zoo": Zoo, "bench": Bench}


class Verb(Protocol):
    """A verb's options; `execute` checks them, does the work and returns the exit code."""

    def execute(self) -> int: ...


def parse(arguments: Sequence[str]) -> Verb:
    """The verb with its options; raises UserError for wrong arguments, SystemExit(0) after help was printed."""
    if arguments and not arguments[0].startswith("-") and arguments[0] not in VERBS:
        raise UserError(f"unknown verb '{arguments[0]}'{suggest(arguments[0], VERBS)}; allowed: {', '.join(VERBS)}")
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.extras.subcommand_cli_from_dict(
                VERBS,
                prog="discover",
                description=DESCRIPTION,
                args=list(arguments) or ["--help"],
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(_one_line(complaint.getvalue())) from None


def _one_line(box: str) -> str:
    """The message inside tyro's box, without the frame, its title and the pointer to the help."""
    parts = []
    for part in re.split(r"[│\s]*─{3,}[│\s]*", re.sub(r"^[╭╰].*$", "", box, flags=re.MULTILINE)):
        words = " ".join(part.replace("│", " ").split())
        if words and not words.startswith("For full helptext"):
            parts.append(words)
    return "; ".join(parts) or "wrong arguments, see discover --help"
