"""Arguments to a verb's frozen dataclass, with tyro; wrong ones become one line."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
from collections.abc import Sequence
from typing import Protocol

from discover.cli.checks import suggest
from discover.errors import UserError

DESCRIPTION = "Search for, regenerate and compare optimizers of neural networks. `discover VERB --help` explains a verb."
VERBS = {
    "search": "Search",
    "regenerate": "Regenerate",
    "resume": "Resume",
    "show": "Show",
    "zoo": "Zoo",
    "evaluate": "Evaluate",
    "leaderboard": "Leaderboard",
    "meta-train": "MetaTrain",
    "mup": "Mup",
    "data": "Data",
    "bench": "Bench",
}
"""Verbs and their classes, each in the module of the verb's name, which is imported only if it is asked for."""


class Verb(Protocol):
    """A verb's options; `execute` checks them, does the work and returns the exit code."""

    def execute(self) -> int: ...


def parse(arguments: Sequence[str]) -> Verb:
    """The verb with its options; raises UserError for wrong arguments, SystemExit(0) after help was printed."""
    verb, rest = (arguments[0], list(arguments[1:])) if arguments else ("--help", [])
    if verb not in VERBS and verb not in ("-h", "--help"):
        raise UserError(f"unknown verb '{verb}'{suggest(verb, VERBS)}; allowed: {', '.join(VERBS)}")
    import tyro  # a tenth of a second, which the complaint above does not need

    if verb not in VERBS:
        return tyro.extras.subcommand_cli_from_dict({v: _load(v) for v in VERBS}, prog="discover", description=DESCRIPTION, args=["--help"])
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(_load(verb), prog=f"discover {verb}", args=rest, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(_one_line(complaint.getvalue())) from None


def _load(verb: str) -> type[Verb]:
    return getattr(importlib.import_module(f"discover.cli.{verb.replace('-', '_')}"), VERBS[verb])


def _one_line(box: str) -> str:
    """The message inside tyro's box, without the frame, its title and the pointer to the help."""
    parts = []
    for part in re.split(r"[│\s]*─{3,}[│\s]*", re.sub(r"^[╭╰].*$", "", box, flags=re.MULTILINE)):
        words = " ".join(part.replace("│", " ").split())
        if words and not words.startswith(("For full helptext", "Argument helptext")):
            parts.append(words)
    message = "; ".join(parts) or "wrong arguments, see discover --help"
    typed = re.match(r"Error parsing (\S+): no type matching \{None\}\|(\w+) could be instantiated from \['(.*?)'\]", message)
    return f"{typed[1]} takes one {typed[2]}, not '{typed[3]}'" if typed else message
