"""Width scaling as learned optimizers take it."""

from __future__ import annotations

from typing import Any

import jax

from meta_train.contracts import Scales
from search_space.mup import multipliers
from search_space.parametrisation import Scales as Factors


def learned_scales(metadata: Any, parametrisation: str = "mup", decay_rule: str = "linear") -> Scales:
    """The argument `scales` of `LearnedOptimizer.transform` for tensors that `metadata` (a tree of `TensorMeta`) describes."""
    return from_factors(multipliers(metadata, parametrisation, decay_rule))


def from_factors(factors: Any) -> Scales:
    """The same for a tree of `search_space.parametrisation.Scales`.

    A learned optimizer's own decay is not multiplied by the update's factor, so that it is multiplied here.
    """

    def tree(read: Any) -> Any:
        return jax.tree.map(read, factors, is_leaf=lambda x: isinstance(x, Factors))

    return Scales(update=tree(lambda s: s.update), gradient=tree(lambda s: s.gradient), decay=tree(lambda s: s.update * s.decay))
