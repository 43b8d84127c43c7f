"""Rules that optax has as their authors wrote them."""

from __future__ import annotations

from typing import Any

import optax

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
    "novograd": Reference(from_optax(_novograd), {"decay": 0.01}),
}
