"""Student's interval of a mean."""

from __future__ import annotations

from collections.abc import Sequence

from scipy.stats import t as student


def student_interval(values: Sequence[float], share: float = 0.95) -> tuple[float, float, float]:
    """Mean of at least two finite values, then the ends of its interval at this confidence."""
    mean, count = sum(values) / len(values), len(values)
    spread = (sum((x - mean) ** 2 for x in values) / (count - 1) / count) ** 0.5
    half = float(student.ppf(0.5 + share / 2.0, count - 1)) * spread
    return mean, mean - half, mean + half
