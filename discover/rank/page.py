"""The leaderboard as one HTML file for people: no network, light and dark, tables that sort."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from discover.atomic import write_text_atomic
from discover.rank import details, overview
from discover.rank.bootstrap import REPLICATES, bootstrap
from discover.rank.markup import text
from discover.rank.report import Report
from discover.rank.results import Results

TITLE = "Optimizer leaderboard"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The browser loads nothing from anywhere, whatever the names in the results say."""
PARTS = {
    "use": "What to use",
    "ranking": "All rules",
    "map": "Rule × task",
    "profiles": "Profiles",
    "tasks": "Task by task",
    "protocol": "How it was measured",
}


def write(results: Results, path: str | Path, *, replicates: int = REPLICATES, seed: int = 0) -> None:
    """Write the page, atomically; the same results and seed give the same file. Raises `JobError` where it cannot be written."""
    write_text_atomic(path, render(results, replicates=replicates, seed=seed))


def render(results: Results, *, replicates: int = REPLICATES, seed: int = 0) -> str:
    """The page as text."""
    report = Report(results, bootstrap(results, replicates=replicates, seed=seed))
    links = "".join(f'<a href="#{anchor}">{text(title)}</a>' for anchor, title in PARTS.items())
    parts = [f"<h1>{TITLE}</h1>", overview.headline(report), f"<nav>{links}</nav>"]
    parts += [overview.use(report), overview.ranking(report), details.heat(report), overview.profiles(report)]
    parts += [details.tasks(report), details.protocol(report, replicates)]
    head = [
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{TITLE}</title>",
        f"<style>\n{_asset('page.css')}</style>",
    ]
    body = ["<main>", *parts, "</main>", f"<script>\n{_asset('page.js')}</script>"]
    return "\n".join(["<!doctype html>", '<html lang="en"><head>', *head, "</head><body>", *body, "</body></html>", ""])


def _asset(name: str) -> str:
    return files("discover.rank").joinpath("assets", name).read_text(encoding="utf-8")
