"""Named configurations of meta-training, as data. Imports no jax.

`discover meta-train tiny`: a learnable Adam on 212-weight networks, a few seconds; checks that everything is in place.
`discover meta-train digits`: the published network with 4 hidden units on one family (64-32-10 on digits, 200 steps).
`discover meta-train general`: a mixture of cheap search families of widths up to 64, the recipe of weights that ship.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meta_train.config import MetaConfig
from meta_train.errors import LearnedOptimizerError

PRESETS: Mapping[str, MetaConfig] = {
    "tiny": MetaConfig(
        optimizer="adam", tasks=("micro_mlp",), validation=("wine_softmax",), particles=4, steps=10, shortest=20, longest=40,
        outer_steps=60, rate=3e-2, warmup=5, validate_every=20, validation_steps=40, validation_draws=2,
    ),
    "digits": MetaConfig(
        optimizer="small_fc", tasks=("digits_mlp",), validation=("diabetes_mlp",), particles=16, steps=20, shortest=200, longest=200,
        outer_steps=2000, rate=3e-3, validate_every=200,
    ),
    "general": MetaConfig(
        optimizer="scale_free",
        tasks=(
            "digits_mlp?vary=1.0", "digits_mlp?width=64&depth=2&tanh=1&batch=32&vary=1.0", "digits_mlp?width=16&depth=4&batch=32&vary=1.0",
            "micro_mlp?vary=1.0", "breast_cancer?vary=1.0", "wine_softmax?vary=1.0", "noisy_quadratic?vary=1.0", "deep_linear?vary=1.0",
            "adding_rnn?vary=1.0", "matrix_sensing?vary=1.0",
        ),
        validation=("diabetes_mlp", "flow_2d", "siren", "digits_convnet?width=8"),
        estimator="es_single", particles=16, steps=25, shortest=100, longest=1000, curriculum=2000, families_per_step=4,
        schedule="cosine", parametrisation="mup", disguise_weights=1.0, disguise_loss=1.0,
        outer_steps=10000, rate=1e-3, warmup=100, clip=1.0, validate_every=250, validation_steps=200,
    ),
}  # fmt: skip


def preset(name: str, **changes: Any) -> MetaConfig:
    """The configuration of that name with some fields replaced; raises `LearnedOptimizerError`, or `TaskError` for a task."""
    if name not in PRESETS:
        raise LearnedOptimizerError(f"unknown preset {name!r}, allowed: {', '.join(PRESETS)}")
    return replace(PRESETS[name], **changes)
