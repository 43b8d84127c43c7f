"""`discover data`: data sets that are not installed with Python, in a local folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from discover.cli import output
from discover.cli.checks import check_choice
from discover.errors import UserError
from tasks import external


@dataclass(frozen=True)
class Data:
    """Fetch data sets into the local folder that tasks read, or list them. DISCOVER_DATA names another folder."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ()
    """What to fetch; nothing lists all and says which are there."""
    json: bool = False
    """Print one JSON object as the last line."""

    def execute(self) -> int:
        """Fetch what is asked for, then list."""
        for name in self.names:
            check_choice("data set", name, external.SOURCES)
            if not external.SOURCES[name].origin:
                raise UserError(f"{name} is yours: put {external.SOURCES[name].files[0]} into {external.folder()}")
        for name in self.names:
            from tasks.fetch import fetch

            output.print_text(f"fetching {name} by scikit-learn's {external.SOURCES[name].origin}, which takes minutes")
            fetch(name)
        chosen = {name: external.find(name) for name in self.names or external.SOURCES}
        if self.json:
            output.print_json({"folder": str(external.folder()), "data": {n: str(path) if path else None for n, path in chosen.items()}})
            return 0
        rows = [(name, external.SOURCES[name].title, str(path) if path else "not there") for name, path in chosen.items()]
        output.print_table(f"Data sets in {external.folder()}", ("name", "what", "file"), rows)
        return 0
