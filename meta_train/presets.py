"""Named configurations of meta-training, as data. Imports no jax.

`discover meta-train tiny`: a learnable Adam on 212-weight networks, a few seconds; checks that everything is in place.
`discover meta-train digits`: our network on one family (64-32-10 on digits, up to 200 steps); beats tuned Adam there in less than a
minute on one core (`benchmarks.from_scratch`).
`discover meta-train general`: first part of the recipe of the weights that ship (`meta_train.pretrained`): 48 numbers, trained by SNES on
whole episodes of a mixture of cheap families of widths up to 64. 1,500 generations (32 M inner steps) are 22 minutes on one core.
`discover meta-train long --start RUN/weights`: its second part, episodes of up to 1,000 steps, so that rates do not run away later.
What came of both, against Adam tuned over 15 rates for each family, is in `benchmarks/RESULTS.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meta_train.config import MetaConfig
from meta_train.errors import LearnedOptimizerError

_GENERAL = MetaConfig(
    optimizer="scale_free?hidden=1&adaptive=1",
    tasks=(
        "digits_mlp?vary=1.0", "digits_mlp?width=64&tanh=1&vary=1.0", "digits_mlp?width=16&depth=3&vary=1.0&batch=32",
        "digits_mlp?width=32&depth=3&vary=1.0&batch=8", "micro_mlp?vary=1.0", "breast_cancer?vary=1.0", "wine_softmax?vary=1.0",
        "deep_linear?vary=1.0", "matrix_sensing?vary=1.0", "noisy_quadratic?vary=1.0", "adding_rnn?width=16&batch=16&vary=1.0",
    ),
    validation=(
        "diabetes_mlp", "flow_2d?batch=16", "siren", "digits_convnet?width=8", "grammar_recurrence?batch=4", "grammar_lstm?batch=4",
        "grammar_transformer?width=32&batch=4&depth=1",
    ),
    estimator="evosax:SNES", particles=12, sigma=0.1, families_per_step=5, shortest=100, longest=300,
    schedule="cosine", judged="valid", parametrisation="mup", disguise_weights=0.3, disguise_loss=2.0,
    outer_steps=1500, validate_every=25, validation_steps=200,
)  # fmt: skip

PRESETS: Mapping[str, MetaConfig] = {
    "tiny": MetaConfig(
        optimizer="adam", tasks=("micro_mlp",), validation=("wine_softmax",), particles=4, steps=10, shortest=20, longest=40,
        outer_steps=60, rate=3e-2, warmup=5, validate_every=20, validation_steps=40, validation_draws=2,
    ),
    "digits": MetaConfig(
        optimizer="scale_free", tasks=("digits_mlp",), validation=("diabetes_mlp",), estimator="es_single", particles=16, steps=50,
        sigma=0.03, shortest=50, longest=200, schedule="cosine", judged="valid", outer_steps=700, rate=2e-2, validate_every=50,
    ),
    "general": _GENERAL,
    "long": replace(_GENERAL, sigma=0.05, longest=1000, outer_steps=700, validation_steps=400),
}  # fmt: skip


def preset(name: str, **changes: Any) -> MetaConfig:
    """The configuration of that name with some fields replaced; raises `LearnedOptimizerError`, or `TaskError` for a task."""
    if name not in PRESETS:
        raise LearnedOptimizerError(f"unknown preset {name!r}, allowed: {', '.join(PRESETS)}")
    return replace(PRESETS[name], **changes)
