"""Pieces of HTML: escaped text, numbers for people, tables that can be sorted."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


def text(value: Any) -> str:
    """Escaped, for elements and quoted attributes."""
    return html.escape(str(value), quote=True)


def number(value: float | None, digits: int = 3, infinite: str = "∞") -> str:
    """A number with some significant digits, a whole one as it is; a dash for what is missing."""
    if value is None or math.isnan(value):
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    if math.isinf(value):
        return infinite
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.{max(digits - 1, 0)}e}".replace("-", "−")
    places = max(0, digits - 1 - (math.floor(math.log10(abs(value))) if value else 0))
    return f"{value:.{min(places, digits)}f}".replace("-", "−")


def counted(count: int, noun: str) -> str:
    """A number of things."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def rank(value: float) -> str:
    """A rank: whole where it is."""
    return "–" if math.isnan(value) else f"{round(value, 1):g}"


def ranks(low: float, high: float) -> str:
    """An interval of ranks."""
    return f"{rank(low)} to {rank(high)}"


def interval(low: float, high: float, digits: int = 3, infinite: str = "∞") -> str:
    """An interval, or nothing where it is missing."""
    return "" if math.isnan(low) or math.isnan(high) else f"{number(low, digits, infinite)} … {number(high, digits, infinite)}"


@dataclass(frozen=True)
class Cell:
    """A table cell: HTML (escaped by whoever makes it), the number it sorts by (None: last), a class and a title."""

    content: str
    key: float | str | None = None
    kind: str = ""
    title: str = ""
    style: str = ""


def name(value: str) -> Cell:
    """A cell with a name, which sorts by it."""
    return Cell(f"<b>{text(value)}</b>", value, "name")


def table(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[Cell]], *, kind: str = "", highlight: Sequence[bool] = ()) -> str:
    """A table with columns (title, explanation) that the page's script sorts on a click; numbers ascending first."""
    kinds = [f' class="{cell.kind}"' if cell.kind in ("word", "words") else "" for cell in (rows[0] if rows else [])] or [""] * len(columns)
    head = "".join(
        f'<th scope="col"{side} title="{text(hint)}"><button type="button">{text(title)}</button></th>'
        for (title, hint), side in zip(columns, kinds, strict=True)
    )
    marks = highlight or [False] * len(rows)
    body = "".join(f"<tr{' class=mark' if mark else ''}>{''.join(map(_cell, row))}</tr>" for row, mark in zip(rows, marks, strict=True))
    return f'<div class="scroll"><table class="sortable {kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: Cell) -> str:
    tag = "th" if cell.kind == "name" else "td"
    found = [f"<{tag}", ' scope="row"' if tag == "th" else ""]
    key = cell.key
    if key is not None and not (isinstance(key, float) and math.isnan(key)):
        found.append(f' data-key="{text("1e999" if key == math.inf else key)}"')
    for attribute, value in (("class", cell.kind), ("title", cell.title), ("style", cell.style)):
        found.append(f' {attribute}="{text(value)}"' if value else "")
    return f"{''.join(found)}>{cell.content}</{tag}>"


def section(anchor: str, title: str, lead: str, body: str) -> str:
    """A section with its heading; `lead` and `body` are HTML."""
    return f'<section id="{anchor}"><h2>{text(title)}</h2><p class="lead">{lead}</p>{body}</section>'
