"""What a run found, read from its store: the one source of `show`, of the table after a search and of their JSON."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from discover.schema import TRAINED, Candidate, RunInfo
from discover.store import RunStore


@dataclass(frozen=True, slots=True)
class Summary:
    """A run at a glance; `rejected` counts proposals by reason, most frequent first."""

    run: str
    info: RunInfo
    generation: int
    best: list[Candidate]
    front: list[Candidate]
    proposals: int
    trained: int
    rejected: dict[str, int]

    @property
    def hall(self) -> list[dict[str, Any]]:
        """The best rules scored again on fresh draws, best first; empty before the end."""
        return self._result("hall")

    @property
    def table(self) -> list[dict[str, Any]]:
        """Test losses of the found rule beside tuned known ones; empty before the end."""
        return self._result("table")

    @property
    def audit(self) -> list[dict[str, Any]]:
        """What each lossy filter missed; empty before the end."""
        return self._result("audit")

    def best_text(self) -> str:
        """The text of the best rule known, empty where there is none yet."""
        return self.hall[0]["rule"] if self.hall else self.best[0].text if self.best else ""

    def _result(self, name: str) -> list[dict[str, Any]]:
        return self.info.result.get(name, []) if isinstance(self.info.result, dict) else []


def summarize(store: RunStore, count: int = 10) -> Summary:
    """Read a run; `count` limits the list of best rules."""
    outcomes = store.attempt_counts()
    last = store.last_generation()
    return Summary(
        run=str(store.folder),
        info=store.info(),
        generation=-1 if last is None else last[0],
        best=store.best(count),
        front=pareto_front(store.candidates(status=TRAINED)),
        proposals=store.proposals(),
        trained=outcomes.pop(TRAINED, 0),
        rejected=outcomes,
    )


def as_json(summary: Summary) -> dict[str, Any]:
    """The keys that scripts rely on, and more."""
    info = summary.info
    return {
        "run": summary.run,
        "kind": info.kind,
        "status": info.status,
        "best": [hero_json(hero) for hero in summary.hall] or [rule_json(c) for c in summary.best],
        "front": [rule_json(c) for c in summary.front],
        "config": info.config,
        "proposals": summary.proposals,
        "trained": summary.trained,
        "rejected": summary.rejected,
        "result": info.result,
        "versions": info.versions,
    }


def rule_json(candidate: Candidate) -> dict[str, Any]:
    """A rule as scripts see it."""
    return {
        "id": candidate.id,
        "rule": candidate.text,
        "score": candidate.score,
        "state_bytes_per_param": candidate.state_bytes,
        "cost": candidate.cost,
    }


def hero_json(hero: dict[str, Any]) -> dict[str, Any]:
    """A rule of the hall of fame as scripts see it: its score is the one on fresh draws."""
    return {**hero, "score": hero["fresh_score"], "search_score": hero["score"]}


def pareto_front(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates that no other beats or equals in score, state bytes and cost at once, best score first."""
    front: list[Candidate] = []
    measured = (c for c in candidates if c.score is not None)
    for candidate in sorted(measured, key=lambda c: (*_axes(c), c.id)):  # whoever dominates comes earlier
        axes = _axes(candidate)
        if not any(all(a <= b for a, b in zip(_axes(other), axes, strict=True)) for other in front):
            front.append(candidate)
    return front


def _axes(candidate: Candidate) -> tuple[float, float, float]:
    return candidate.score or 0.0, candidate.state_bytes or 0.0, candidate.cost or 0.0


def lineage_diffs(store: RunStore, candidate_id: int) -> list[tuple[Candidate, list[str]]]:
    """A candidate's ancestors, oldest first, each with the lines it changed in its parent ("-" and "+" lines)."""
    steps: list[tuple[Candidate, list[str]]] = []
    before: list[str] = []
    for candidate in store.lineage(candidate_id):
        after = candidate.text.splitlines()
        changes = difflib.unified_diff(before, after, lineterm="", n=0)
        steps.append((candidate, [line for line in changes if not line.startswith(("---", "+++", "@@"))]))
        before = after
    return steps
