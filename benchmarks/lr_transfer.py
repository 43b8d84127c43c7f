"""Learning rates and weight decays over widths, drawn as curves: `python -m benchmarks.lr_transfer [FOLDER]` (docs/ by default).

The network of the coordinate check on digits, widths 64, 256, 1024. First SGD and Adam over learning rates, under the standard
parametrisation and muP (100 steps, training loss); then AdamW over decays, at one learning rate, under muP with each rule for the decay
of hidden matrices (400 steps, validation loss). About 4 CPU minutes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro
from tyro.conf import Positional

from meta_train.mup.drawing import draw_transfer
from meta_train.mup.subjects import rule_subject
from meta_train.mup.transfer import Trained, train_over
from search_space import load
from search_space.parametrisation import DECAY_RULES

WIDTHS, BASE = (64, 256, 1024), 64
RATES = {"sgd": 2.0 ** np.arange(-5, 4), "adam": 2.0 ** np.arange(-11, -2)}
STEPS = 100
DECAYS, DECAY_RATE, DECAY_STEPS = np.array([0.01, 0.1, 0.3, 1.0, 3.0, 10.0]), 2.0**-7, 400


def main(folder: Positional[Path] = Path("docs")) -> None:
    """Measure, print, draw."""
    curves = {}
    for rule, rates in RATES.items():
        for parametrisation in ("sp", "mup"):
            found = {
                width: train_over(lambda rate: rule_subject(load(rule), rate), rates, width, parametrisation, base=BASE, steps=STEPS)  # noqa: B023
                for width in WIDTHS
            }
            curves[f"{rule}, {parametrisation}"] = {width: trained.train for width, trained in found.items()}
            report(f"{rule}, {parametrisation}", rates, curves[f"{rule}, {parametrisation}"])
    for rule in RATES:
        draw_transfer({k: v for k, v in curves.items() if k.startswith(rule)}, RATES[rule], folder / f"lr_transfer_{rule}.png")
    decays = {}
    for decay_rule in DECAY_RULES:
        found = {width: decayed(width, decay_rule) for width in WIDTHS}
        decays[f"decay {decay_rule}"] = {width: trained.valid for width, trained in found.items()}
        report(f"decay {decay_rule}", DECAYS, decays[f"decay {decay_rule}"])
        for width, trained in found.items():
            print(
                f"    width {width:5d} largest singular value of the hidden matrix",
                " ".join(f"{x:7.3f}" for x in trained.sigma),
                flush=True,
            )
    draw_transfer(decays, DECAYS, folder / "decay_transfer.png", "validation loss", "weight decay at width 64")


def decayed(width: int, decay_rule: str) -> Trained:
    """AdamW over decays."""
    return train_over(
        lambda decay: rule_subject(load("adamw"), DECAY_RATE, decay=decay),
        DECAYS,
        width,
        base=BASE,
        steps=DECAY_STEPS,
        decay_rule=decay_rule,
    )


def report(title: str, values: np.ndarray, curves: dict[int, np.ndarray]) -> None:
    """Losses, the best value at each width, and what the best value of the smallest width costs there."""
    first = int(np.nanargmin(curves[WIDTHS[0]]))
    for width, losses in curves.items():
        best = int(np.nanargmin(losses))
        line = " ".join(f"{x:8.4f}" for x in losses)
        print(
            f"{title:15s} width {width:5d}: {line}  best at {values[best]:g}; at width {WIDTHS[0]}'s best {losses[first]:.4f}", flush=True
        )


if __name__ == "__main__":
    tyro.cli(main)
