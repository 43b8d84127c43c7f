"""How learned optimizers are judged on what they never saw: fixed here before any weights were trained (2026-11-22).

Adam is tuned *at every cell*: `ADAM_RATES` × two schedules, by the mean validation loss over `TUNING_SEEDS` seeds; the learned
optimizers are not tuned at all: they use the learning rate and schedule of their meta-training. Both train on the same weights and
batches and are compared by test loss at equal steps, on `SEEDS` seeds that no tuning used. The meta-training mixture may use the families
of `MIXTURE` at widths of at most `WIDEST`, and chooses its checkpoint on the *meta-validation* families of `tasks.splits` only.
"""

from __future__ import annotations

from dataclasses import dataclass

STEPS = 200
SEEDS = 5
TUNING_SEEDS = 2
ADAM_RATES = tuple(10.0 ** (-4.0 + 3.5 * i / 10) for i in range(11))
ADAM_SCHEDULES = ("constant", "cosine")
WIDEST = 64
MIXTURE = ("digits_mlp", "micro_mlp", "breast_cancer", "wine_softmax", "noisy_quadratic", "deep_linear", "adding_rnn", "matrix_sensing")


@dataclass(frozen=True)
class Cell:
    """One comparison: a task, a number of steps, and the axis that it stands on."""

    axis: str
    factor: float
    task: str
    steps: int = STEPS


def _widths(name: str, base: int, factors: tuple[int, ...], **others: int) -> list[Cell]:
    rest = "".join(f"&{k}={v}" for k, v in others.items())
    return [Cell(f"width {name}", f, f"{name}?width={base * f}{rest}") for f in factors]


GROWTH: tuple[Cell, ...] = (
    *_widths("digits_mlp", 32, (1, 4, 16, 64), depth=2),
    *_widths("digits_autoencoder", 32, (1, 4, 16, 64)),
    *_widths("diabetes_mlp", 32, (1, 4, 16, 64)),
    *_widths("digits_convnet", 16, (1, 4, 8)),
    *_widths("grammar_transformer", 32, (1, 4, 8), batch=4, depth=1),
    *[Cell("depth digits_mlp", f / 2, f"digits_mlp?width=32&depth={f}") for f in (2, 4, 10)],
    *[Cell("horizon digits_mlp", f, "digits_mlp?width=32&depth=2", STEPS * f) for f in (1, 5, 25)],
    *[Cell("horizon digits_autoencoder", f, "digits_autoencoder?width=32", STEPS * f) for f in (1, 5, 25)],
    Cell("width and horizon digits_mlp", 16, "digits_mlp?width=512&depth=2", STEPS * 5),
)
"""Cells where one thing grows beyond meta-training."""

HELD_OUT: tuple[Cell, ...] = tuple(
    Cell("held out", 1, task)
    for task in (
        "digits_autoencoder",
        "digits_autoencoder?tanh=0",
        "digits_autoencoder?latent=2",
        "digits_autoencoder?batch=16",
        "digits_vit",
        "digits_vit?batch=16",
        "flow_digits",
        "flow_digits?batch=16",
        "patch_denoising",
        "patch_denoising?masked=0.5",
        "pinn_burgers",
        "pinn_poisson",
        "pinn_poisson?depth=2",
        "text_lstm?batch=4",
        "text_recurrence?batch=4",
        "text_recurrence?batch=4&depth=1",
        "text_transformer?batch=4",
        "text_transformer?batch=4&rotary=1",
        "text_transformer?batch=4&depth=1",
        "lasso",
        "xor",
        "bbob",
        "rosenbrock",
    )
)
"""Families that neither meta-training nor the choice of a checkpoint ever saw."""
