"""Named configurations of meta-training, as data. Imports no jax.

`discover meta-train tiny`: a learnable Adam on 212-weight networks, a few seconds; checks that everything is in place.
`discover meta-train digits`: our network on one family (64-32-10 on digits, up to 200 steps); beats tuned Adam there in less than a
minute on one core (`benchmarks.from_scratch`).
`discover meta-train general`: the recipe of the weights that ship (`meta_train.pretrained`): a mixture of cheap families of widths up
to 64, judged by validation loss. The best checkpoint on the validation families came after 200 outer steps (0.64 M inner steps, score
-0.084 nats against Adam tuned over 15 rates for each family); by step 500 it was -0.005, while the training families went on improving.
Untrained it is -0.029.
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
        optimizer="scale_free", tasks=("digits_mlp",), validation=("diabetes_mlp",), estimator="es_single", particles=16, steps=50,
        sigma=0.03, shortest=50, longest=200, schedule="cosine", judged="valid", outer_steps=700, rate=2e-2, validate_every=50,
    ),
    "general": MetaConfig(
        optimizer="scale_free",
        tasks=(
            "digits_mlp?vary=1.0", "digits_mlp?width=64&tanh=1&vary=1.0", "digits_mlp?width=16&depth=3&vary=1.0&batch=32",
            "micro_mlp?vary=1.0", "breast_cancer?vary=1.0", "wine_softmax?vary=1.0", "deep_linear?vary=1.0",
            "matrix_sensing?vary=1.0", "noisy_quadratic?vary=1.0", "adding_rnn?width=16&batch=16&vary=1.0",
        ),
        validation=("diabetes_mlp", "flow_2d", "siren", "digits_convnet?width=8"),
        estimator="es_single", particles=8, steps=50, sigma=0.02, shortest=100, longest=1000, curriculum=500, families_per_step=4,
        schedule="cosine", judged="valid", parametrisation="mup", disguise_weights=0.3, disguise_loss=2.0,
        outer_steps=2000, rate=3e-3, warmup=20, validate_every=100, validation_steps=200,
    ),
}  # fmt: skip


def preset(name: str, **changes: Any) -> MetaConfig:
    """The configuration of that name with some fields replaced; raises `LearnedOptimizerError`, or `TaskError` for a task."""
    if name not in PRESETS:
        raise LearnedOptimizerError(f"unknown preset {name!r}, allowed: {', '.join(PRESETS)}")
    return replace(PRESETS[name], **changes)
