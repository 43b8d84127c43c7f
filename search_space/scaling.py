"""What must change with the batch size (Busbridge et al., "How to scale your EMA", arXiv:2307.13813)."""

from __future__ import annotations

from typing import NamedTuple


class BatchScaling(NamedTuple):
    """Hyperparameters for the new batch size."""

    learning_rate: float
    betas: tuple[float, ...]
    average: float


def scaled_for_batch(factor: float, learning_rate: float, *, average: float, betas: tuple[float, ...] = ()) -> BatchScaling:
    """Hyperparameters that train alike with `factor` times the batch: `average` is the weight that an average of weights keeps each step.

    Without `betas` (SGD) the rate grows with the factor; with the betas of an adaptive rule by its root, and β becomes 1 − factor·(1 − β).
    Raises `ValueError` for a factor that makes a β negative.

    Example:
        >>> from search_space.scaling import scaled_for_batch
        >>> scaled_for_batch(4, 0.1, average=0.99)
        BatchScaling(learning_rate=0.4, betas=(), average=0.96059601)
    """
    if factor <= 0:
        raise ValueError(f"the factor of the batch size must be positive, got {factor!r}")
    scaled = tuple(1 - factor * (1 - b) for b in betas)
    if any(b < 0 for b in scaled):
        raise ValueError(f"a batch {factor} times as large makes a beta of {betas} negative")
    return BatchScaling(learning_rate * (factor**0.5 if betas else factor), scaled, average**factor)
