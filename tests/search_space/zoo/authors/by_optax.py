"""Rules that optax has as their authors wrote them."""

from __future__ import annotations

from typing import Any

import optax
import optax.contrib

from tests.search_space.zoo.authors.state import from_optax
from tests.search_space.zoo.harness import Reference


def _decayed(core: Any, lr: float, decay: float) -> Any:
    """A transformation made for learning rate 1, with decoupled decay and the rate outside."""
    return optax.chain(core, optax.add_decayed_weights(-decay), optax.scale(lr))


def _momentum(lr: float, b: float = 0.9, decay: float = 0.0) -> Any:
    return _decayed(optax.sgd(1.0, momentum=b), lr, decay)


def _nesterov(lr: float, b: float = 0.9, decay: float = 0.0) -> Any:
    return _decayed(optax.sgd(1.0, momentum=b, nesterov=True), lr, decay)


def _sign_sgd(lr: float, decay: float = 0.0) -> Any:
    return _decayed(optax.sign_sgd(1.0), lr, decay)


def _signum(lr: float, b: float = 0.9, decay: float = 0.0) -> Any:
    return _decayed(optax.chain(optax.ema(b, debias=False), optax.sign_sgd(1.0)), lr, decay)


def _sgd(lr: float, decay: float = 0.0) -> Any:
    return _decayed(optax.sgd(1.0), lr, decay)


def _rmsprop(lr: float, b: float = 0.9, eps: float = 1e-8, decay: float = 0.0) -> Any:
    return _decayed(optax.rmsprop(1.0, decay=b, eps=eps), lr, decay)


def _adagrad(lr: float, start: float = 0.1, eps: float = 1e-7, decay: float = 0.0) -> Any:
    return _decayed(optax.adagrad(1.0, start, eps), lr, decay)


def _adam(lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 0.0) -> Any:
    return _decayed(optax.adam(1.0, b1, b2, eps), lr, decay)


def _adamw(lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 1e-4) -> Any:
    return optax.adamw(lr, b1, b2, eps, weight_decay=decay)


def _nadam(lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 0.0) -> Any:
    return _decayed(optax.nadam(1.0, b1, b2, eps), lr, decay)


def _adamax(lr: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, decay: float = 0.0) -> Any:
    return _decayed(optax.adamax(1.0, b1, b2, eps), lr, decay)


def _lion(lr: float, b1: float = 0.9, b2: float = 0.99, decay: float = 0.0) -> Any:
    return optax.lion(lr, b1, b2, weight_decay=decay)


def _novograd(lr: float, b1: float = 0.95, b2: float = 0.98, eps: float = 1e-8, decay: float = 0.0) -> Any:
    return optax.novograd(lr, b1, b2, eps, weight_decay=decay)


def _optimistic(lr: float, decay: float = 0.0) -> Any:
    return _decayed(optax.optimistic_gradient_descent(1.0), lr, decay)


def _adadelta(lr: float, b: float = 0.9, eps: float = 1e-6, decay: float = 0.0) -> Any:
    return _decayed(optax.adadelta(1.0, b, eps), lr, decay)


def _radam(lr: float, b1: float = 0.9, b2: float = 0.999, threshold: float = 5.0, eps: float = 1e-8, decay: float = 0.0) -> Any:
    return _decayed(optax.radam(1.0, b1, b2, eps, threshold=threshold), lr, decay)


def _yogi(lr: float, b1: float = 0.9, b2: float = 0.999, start: float = 1e-6, eps: float = 1e-3, decay: float = 0.0) -> Any:
    core = optax.scale_by_yogi(b1, b2, eps, initial_accumulator_value=start)
    return optax.chain(core, optax.add_decayed_weights(decay), optax.scale(-lr))


def _adopt(lr: float, b1: float = 0.9, b2: float = 0.9999, eps: float = 1e-6, decay: float = 0.0) -> Any:
    return _decayed(optax.contrib.adopt(1.0, b1, b2, eps), lr, decay)


def _madgrad(lr: float, b: float = 0.9, eps: float = 1e-6, decay: float = 0.0) -> Any:
    return optax.contrib.madgrad(lr, b, decay, eps)


def _prodigy(
    lr: float, b1: float = 0.9, b2: float = 0.999, small: float = 1e-6, growth: float = 1.0, eps: float = 1e-8, decay: float = 0.0
) -> Any:
    return optax.contrib.prodigy(lr, (b1, b2), eps=eps, estim_lr0=small, estim_lr_coef=growth, weight_decay=decay)


def _dadapt_adam(lr: float, b1: float = 0.9, b2: float = 0.999, small: float = 1e-6, eps: float = 1e-8, decay: float = 0.0) -> Any:
    return optax.contrib.dadapt_adamw(lr, (b1, b2), eps, small, decay)


TABLE: dict[str, Reference] = {
    "sgd": Reference(from_optax(_sgd), {"decay": 0.03}),
    "momentum": Reference(from_optax(_momentum), {"b": 0.8, "decay": 0.03}),
    "nesterov": Reference(from_optax(_nesterov), {"b": 0.8, "decay": 0.03}),
    "sign_sgd": Reference(from_optax(_sign_sgd), {"decay": 0.03}),
    "signum": Reference(from_optax(_signum), {"b": 0.8, "decay": 0.03}),
    "rmsprop": Reference(from_optax(_rmsprop), {"b": 0.99, "decay": 0.03}),
    "adagrad": Reference(from_optax(_adagrad), {"start": 0.5, "decay": 0.03}),
    "adam": Reference(from_optax(_adam), {"b1": 0.8, "decay": 0.03}),
    "adamw": Reference(from_optax(_adamw), {"decay": 0.03}),
    "nadam": Reference(from_optax(_nadam), {"b1": 0.8, "decay": 0.03}),
    "adamax": Reference(from_optax(_adamax), {"b1": 0.8, "decay": 0.03}),
    "lion": Reference(from_optax(_lion), {"decay": 0.1}),
    "optimistic_gradient": Reference(from_optax(_optimistic)),
    "adadelta": Reference(from_optax(_adadelta), {"b": 0.95, "decay": 0.03}),
    "radam": Reference(from_optax(_radam), {"b2": 0.98, "threshold": 8.0, "decay": 0.03}),
    "yogi": Reference(from_optax(_yogi), {"start": 1e-3, "b2": 0.99, "decay": 0.03}),
    "adopt": Reference(from_optax(_adopt), {"b2": 0.99, "decay": 0.03}),
    "madgrad": Reference(from_optax(_madgrad), {"b": 0.8, "decay": 0.03}),
    "prodigy": Reference(from_optax(_prodigy), {"small": 1e-3, "growth": 2.0, "decay": 0.03}, rates=(0.3, 1.0)),
    "dadapt_adam": Reference(from_optax(_dadapt_adam), {"small": 1e-3, "decay": 0.03}, rates=(0.1, 0.5)),
    "novograd": Reference(from_optax(_novograd), {"decay": 0.01}),
}
