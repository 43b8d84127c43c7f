"""Which families a search may see, which choose among its results, and which only report: fixed here, once and for all.

A rule that was selected on a family says little by doing well on it. *Search* families cost seconds or less, so that a search can
afford them. *Meta-validation* families differ from them in architecture or data, and choose between candidates and checkpoints. *Held-out*
families differ again, in kind of problem or in size, and are looked at in reports only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from tasks.errors import TaskError

Use = Literal["search", "meta-validation", "held-out"]

USES: dict[Use, tuple[str, ...]] = {
    "search": (
        "adding_rnn",
        "bbob",
        "bilinear_game",
        "breast_cancer",
        "coherent_game",
        "deep_linear",
        "digits_mlp",
        "lasso",
        "matrix_sensing",
        "micro_mlp",
        "noisy_quadratic",
        "rosenbrock",
        "wine_softmax",
        "xor",
    ),
    "meta-validation": (
        "diabetes_mlp",
        "digits_convnet",
        "digits_stream",
        "fashion_mlp",
        "flow_2d",
        "grammar_lstm",
        "grammar_recurrence",
        "grammar_transformer",
        "siren",
    ),
    "held-out": (
        "cifar_convnet",
        "cifar_mlp",
        "digits_autoencoder",
        "digits_vit",
        "fashion_convnet",
        "flow_digits",
        "newsgroups_lstm",
        "newsgroups_recurrence",
        "newsgroups_transformer",
        "own_text_lstm",
        "own_text_recurrence",
        "own_text_transformer",
        "patch_denoising",
        "pinn_burgers",
        "pinn_poisson",
        "text_lstm",
        "text_recurrence",
        "text_transformer",
    ),
}


def use_of(name: str) -> Use | None:
    """What a built-in family is for; None for a user's own task, which its user may use for anything."""
    return next((use for use, families in USES.items() if name in families), None)


def refuse_held_out(names: Iterable[str]) -> None:
    """Raise `TaskError` for the first family that a search may not see."""
    for name in names:
        if use_of(name) == "held-out":
            allowed = ", ".join((*USES["search"], *USES["meta-validation"]))
            raise TaskError(f"task {name!r} is held out: it reports results and may not be searched on; allowed: {allowed}, or your own")
