"""Inline SVG: ranks by all aggregations, and performance profiles. Colours are classes of the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from discover.rank.aggregate import AGGREGATIONS
from discover.rank.bootstrap import Estimate
from discover.rank.markup import rank, ranks, text
from discover.rank.profiles import LARGEST, Profile

ROW, LEFT, RIGHT = 22, 150, 24
LINES = 6
"""Rules that a profile draws in colour, besides the baseline."""


def rank_chart(rules: Sequence[str], estimates: Mapping[str, Estimate], order: Sequence[int], baseline: str | None) -> str:
    """A row for each rule: a dot for its rank by each aggregation over the 95 % interval of its rank by mean score."""
    count, width = len(rules), 860
    height = ROW * len(order) + 44

    def x(place: float) -> float:
        return LEFT + (place - 1) / max(count - 1, 1) * (width - LEFT - RIGHT)

    parts = [_ticks(x, count, height)]
    for place, rule in enumerate(order):
        y = 34 + ROW * place
        mark = " mark" if rules[rule] == baseline else ""
        parts.append(f'<text class="label{mark}" x="{LEFT - 12}" y="{y + 4}" text-anchor="end">{text(rules[rule])}</text>')
        low, high = estimates["mean"].rank_interval[rule] if "mean" in estimates else (math.nan, math.nan)
        if not math.isnan(low):
            hint = f"rank by mean score, 95 %: {ranks(low, high)}"
            parts.append(f'<line class="range{mark}" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y}" y2="{y}"><title>{hint}</title></line>')
        for name, estimate in estimates.items():
            value = float(estimate.rank[rule])
            if not math.isnan(value):
                kind, radius = ("dot main", 5) if name == "mean" else ("dot", 4)
                hint = text(f"{AGGREGATIONS[name].title}: rank {rank(value)} of {count}")
                place_of = f'cx="{x(value):.1f}" cy="{y}" r="{radius}"'
                parts.append(f'<circle class="{kind}{mark}" {place_of}><title>{hint}</title></circle>')
    return _svg(width, height, "Rank of every rule by every aggregation", parts)


def _ticks(x: Callable[[float], float], count: int, height: int) -> str:
    step = max(1, round(count / 8))
    ranks = sorted({1, *range(step, count + 1, step)})
    return "".join(
        f'<line class="grid" x1="{x(r):.1f}" x2="{x(r):.1f}" y1="22" y2="{height - 8}"/>'
        f'<text class="tick" x="{x(r):.1f}" y="14" text-anchor="middle">{r}</text>'
        for r in ranks
    )


def profile_chart(rules: Sequence[str], found: Profile, order: Sequence[int], baseline: str | None, what: str) -> str:
    """Share of tasks against factor (logarithmic); the first rules of `order` and the baseline in colour with labels, the rest grey."""
    width, height, left, right, top, bottom = 520, 330, 44, 128, 14, 40
    shown = [r for r in order if not np.isnan(found.share[r]).any()]
    named = [r for r in shown if rules[r] != baseline][:LINES]
    named += [r for r in shown if rules[r] == baseline]

    def point(tau: float, share: float) -> str:
        x = left + math.log(tau) / math.log(LARGEST) * (width - left - right)
        return f"{x:.1f},{height - bottom - share * (height - top - bottom):.1f}"

    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        a, b = point(1.0, share).split(","), point(LARGEST, share).split(",")
        parts.append(f'<line class="grid" x1="{a[0]}" y1="{a[1]}" x2="{b[0]}" y2="{b[1]}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{float(a[1]) + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    for tau in (1.0, 1.25, 1.5, 2.0, 3.0, 4.0):
        at = point(tau, 0.0).split(",")
        parts.append(f'<text class="tick" x="{at[0]}" y="{height - bottom + 18}" text-anchor="middle">{tau:g}×</text>')
    middle = left + (width - left - right) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{height - 4}" text-anchor="middle">{text(what)} in multiples of the best rule</text>')
    for r in [r for r in shown if r not in named] + named[::-1]:
        kind = "rest" if r not in named else "base" if rules[r] == baseline else f"c{named.index(r) + 1}"
        path = " ".join(point(t, s) for t, s in _corners(found.tau, found.share[r]))
        parts.append(f'<polyline class="curve {kind}" points="{path}"><title>{text(rules[r])}</title></polyline>')
    ends = [float(point(1.0, found.share[r, -1]).split(",")[1]) for r in named]
    for r, y in zip(named, _apart(ends, 15.0, top, height - bottom), strict=True):
        kind = "base" if rules[r] == baseline else f"c{named.index(r) + 1}"
        parts.append(f'<text class="end {kind}" x="{width - right + 8}" y="{y + 4:.1f}">{text(_short(rules[r]))}</text>')
    return _svg(width, height, f"Performance profile: {what}", parts)


def _corners(tau: np.ndarray, share: np.ndarray) -> list[tuple[float, float]]:
    """A step function by its corners."""
    found = [(float(tau[0]), float(share[0]))]
    for i in np.flatnonzero(np.diff(share)):
        found += [(float(tau[i + 1]), float(share[i])), (float(tau[i + 1]), float(share[i + 1]))]
    return [*found, (float(tau[-1]), float(share[-1]))]


def _apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places moved so that neighbours are at least `gap` apart, kept above `high` as far as they fit."""
    result = [0.0] * len(places)
    last = low - gap
    for i in sorted(range(len(places)), key=lambda i: places[i]):
        result[i] = last = max(places[i], last + gap)
    over = max(0.0, max(result, default=0.0) - high)
    floor = high + gap
    for i in sorted(range(len(places)), key=lambda i: -result[i]) if over else []:
        result[i] = floor = min(result[i], floor - gap)
    return result


def _short(name: str, letters: int = 16) -> str:
    return name if len(name) <= letters else name[: letters - 1] + "…"


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    return (
        f'<div class="scroll"><svg viewBox="0 0 {width} {height}" style="max-width:{width}px" role="img" aria-label="{text(title)}">'
        f"{''.join(parts)}</svg></div>"
    )
