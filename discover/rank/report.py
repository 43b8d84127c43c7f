"""What all sections of the page look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from discover.rank.bootstrap import Estimate
from discover.rank.results import Results


@dataclass(frozen=True)
class Report:
    """Results and the estimates of every aggregation."""

    results: Results
    estimates: Mapping[str, Estimate]

    @property
    def notes(self) -> dict[str, Any]:
        return self.results.notes

    @cached_property
    def baseline(self) -> str | None:
        """The rule with the score 1, if it is among the rules."""
        wanted = str(self.notes.get("baseline", "adamw"))
        return wanted if wanted in self.results.rules else None

    @cached_property
    def order(self) -> list[int]:
        """The rules by their mean rank over the aggregations, best first."""
        ranks = np.array([estimate.rank for estimate in self.estimates.values()])
        mean = np.where(np.isnan(ranks).any(axis=0), np.inf, ranks.mean(axis=0))
        return [int(i) for i in np.argsort(mean, kind="stable")]

    def marks(self, rules: Sequence[int]) -> list[bool]:
        """Which rows are the baseline's."""
        return [self.results.rules[r] == self.baseline for r in rules]

    def of(self, note: str, task: str, rule: str | None = None) -> Any:
        """An entry of a note by task (and rule); None where it is not there."""
        found = self.notes.get(note)
        found = found.get(task) if isinstance(found, Mapping) else found
        return found.get(rule) if rule is not None and isinstance(found, Mapping) else None if rule is not None else found
