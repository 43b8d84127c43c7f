"""What the literature says about optimizers, seen on these tasks: `python -m benchmarks.sanity [PART …]`, about 8 minutes on one core.

(a) Tuned SGD is clearly behind tuned Adam on a transformer that models text, and close to it on a convolutional network (Zhang et al.,
arXiv:1912.03194; Kunstner et al., arXiv:2304.13960). (b) Lion gains on AdamW as the batch grows (Chen et al., arXiv:2302.06675). Everyone
has the same trials of the learning rate with default hyperparameters, warm-up and cosine; gaps are of test losses on the same five draws.
What is seen is printed, agreeing or not.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

from discover.cli import output
from discover.evaluate.presets import named_rules
from discover.evaluate.protocol import EvaluationConfig, Protocol, TaskPlan
from discover.evaluate.run import run
from discover.evaluate.table import Cell
from discover.interval import student_interval

TRANSFORMER, CONVNET = "text_transformer?context=16", "digits_convnet"
GAP_TASKS = (TaskPlan(TRANSFORMER, 300), TaskPlan(CONVNET, 300))
BATCHES = {
    "mlp": ("digits_mlp?batch=8", "digits_mlp?batch=512"),
    "convnet": ("digits_convnet?batch=8", "digits_convnet?batch=128"),
    "transformer": ("text_transformer?context=16&batch=4", "text_transformer?context=16&batch=64"),
}
"""Small and large batch, the same steps."""
PARTS = ("gap", *BATCHES)
Cells = Mapping[tuple[str, str], Cell]


def protocol(reference: str) -> Protocol:
    """13 learning rates for everyone, two draws each to choose among them."""
    return Protocol(
        low=1e-5, high=10.0, coarse=9, variants=0, refine=4, tune_seeds=2, seeds=5, evals=1, schedules=("cosine",), reference=reference
    )


def measure(rules: tuple[str, ...], tasks: tuple[TaskPlan, ...], workers: int) -> Cells:
    """Train, tuned."""
    config = EvaluationConfig(named_rules(rules), tasks, protocol(rules[-1]))
    with tempfile.TemporaryDirectory() as folder, output.progress() as events:
        cells = run(config, Path(folder) / "run", "evaluate", events, workers)
    return {(cell.rule, cell.task): cell for cell in cells}


def gap(cells: Cells, task: str, rule: str, reference: str) -> tuple[float, float, float]:
    """Mean of log(loss / loss of the reference) over the draws, with its 95 % interval; positive is behind."""
    pairs = zip(cells[rule, task].losses, cells[reference, task].losses, strict=True)
    return student_interval([math.log(a / b) for a, b in pairs])


def show(cells: Cells, task: str, rule: str, reference: str) -> tuple[float, float, float]:
    """Print one gap."""
    mean, low, high = gap(cells, task, rule, reference)
    mine, other = cells[rule, task], cells[reference, task]
    rates = f"rates {mine.tuned['learning_rate']:.3g} and {other.tuned['learning_rate']:.3g}"
    edge = " (AT THE GRID'S EDGE)" if mine.edge or other.edge else ""
    print(
        f"{task}: {rule} {mine.mean:.4f}, {reference} {other.mean:.4f}; log ratio {mean:+.3f} [{low:+.3f}, {high:+.3f}]; {rates}{edge}",
        flush=True,
    )
    return mean, low, high


def adam_gap(workers: int) -> None:
    """Part (a)."""
    cells = measure(("sgd", "momentum", "adam"), GAP_TASKS, workers)
    for rule in ("sgd", "momentum"):
        text, image = (show(cells, task, rule, "adam") for task in (TRANSFORMER, CONVNET))
        agrees = text[1] > 0 and image[0] < text[0]
        print(f"{rule} behind adam on the transformer and less so on the convnet: {'agrees' if agrees else 'DOES NOT AGREE'}", flush=True)


def batch_gap(name: str, workers: int) -> None:
    """Part (b) on one network."""
    cells = measure(("lion", "adamw"), tuple(TaskPlan(spec, 150) for spec in BATCHES[name]), workers)
    small, large = (show(cells, task, "lion", "adamw") for task in BATCHES[name])
    sure = "beyond the intervals" if large[2] < small[1] else "within the intervals"
    print(f"lion gains with the batch on the {name}: {'agrees' if large[0] < small[0] else 'DOES NOT AGREE'}, {sure}", flush=True)


def main() -> None:
    """Each comparison, and whether it agrees with the papers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all if none is given")
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    for part in options.parts or PARTS:
        if part not in PARTS:
            parser.error(f"unknown part {part}, allowed: {', '.join(PARTS)}")
        adam_gap(options.workers) if part == "gap" else batch_gap(part, options.workers)


if __name__ == "__main__":
    main()
