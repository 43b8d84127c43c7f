"""Meta-training problems made more varied: re-parametrised weights, rescaled losses and rates that a robust optimizer should not mind.

Re-parametrisation replaces the weights w of each tensor by w / s with a random s and trains those, so that gradients of one network
differ in size between tensors by decades (Metz et al., arXiv 2009.11243; the recipe of arXiv 2211.09760 and 2501.12670).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from meta_train.problem import PyTree
from tasks.streams import derive, uniform


class Disguise(NamedTuple):
    """What was drawn for one episode."""

    weights: PyTree  # f32[] for each tensor: the network sees this times the trained weights
    loss: jax.Array  # f32[], multiplies the loss that is differentiated
    rate: jax.Array  # f32[], multiplies the learning rate


@dataclass(frozen=True)
class Augmentation:
    """Ranges of log-uniform factors in decades: 1 means from 0.1 to 10. A share `plain` of the episodes has none."""

    weights: float = 0.0
    loss: float = 0.0
    rate: float = 0.0
    plain: float = 0.3

    def draw(self, key: jax.Array, params: PyTree) -> Disguise:
        """Factors for weights like `params`, of which only the structure is read."""
        leaves, structure = jax.tree.flatten(params)
        on = jnp.where(uniform(derive(key, 0)) < self.plain, 0.0, 1.0)
        factors = 10.0 ** (on * self.weights * (2.0 * uniform(derive(key, 1), (len(leaves),)) - 1.0))
        loss = 10.0 ** (on * self.loss * (2.0 * uniform(derive(key, 2)) - 1.0))
        rate = 10.0 ** (on * self.rate * (2.0 * uniform(derive(key, 3)) - 1.0))
        return Disguise(structure.unflatten(list(factors)), loss, rate)
