"""A small meta-training run as a process that tests may kill: python -m tests.meta_train.run_child FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

from meta_train import run_folder
from meta_train.config import MetaConfig

CONFIG = MetaConfig(
    optimizer="sgd", tasks=("noisy_quadratic?rows=4&cols=4", "noisy_quadratic?rows=2&cols=4"),
    validation=("noisy_quadratic?rows=3&cols=4",),
    estimator="pes", particles=4, steps=5, shortest=10, longest=20, curriculum=10, disguise_weights=0.5, disguise_loss=1.0,
    outer_steps=24, rate=0.1, warmup=2, validate_every=8, validation_steps=20, validation_draws=2, scored_tasks=0,
)  # fmt: skip


def main(folder: Path) -> None:
    """Begin a run whose every outer step is kept."""
    from meta_train.trainer import Trainer

    run_folder.create(folder, CONFIG)
    Trainer(folder).train(checkpoint_every=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
