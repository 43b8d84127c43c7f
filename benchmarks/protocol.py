"""The protocol's throughput against a Python loop over jitted optax optimizers, compilation included: `python -m benchmarks.protocol`.

Both sides make the same trainings: for every rule and task each learning rate and hyperparameter variant of the protocol, both
schedules, then the fresh seeds. The loop jits one training step for each rule and task (rate and hyperparameters are arguments, so
that it compiles once), calls it from Python, and measures losses when the protocol does. It takes optax's own optimizer where this file
knows one and else our compiled rule, which is an optax transformation too. One run on one core each, nothing cached; seconds are those of
the processor, which other work on the machine disturbs least. The unit is (rule × task × step) of trainings a second. `--rules standard`
takes the rules of that preset which the interpreter runs.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from discover.bench.timing import machine, one_core

RULES = ("sgd", "momentum", "adam", "adamw", "nadam", "lion", "rmsprop", "adabelief")
TASKS = ("digits_mlp", "wine_softmax", "noisy_quadratic")
STEPS, SEED = 100, 0
GATE, MOONSHOT = 5.0, 20.0


def factories() -> dict[str, Callable[..., Any]]:
    """Rule → optax transformation of (rate, hyperparameters), all of which may be traced."""
    import optax

    def decayed(tx: Any, decay: Any) -> Any:
        return optax.chain(tx, optax.add_decayed_weights(decay))

    def scaled(tx: Any, lr: Any) -> Any:
        return optax.chain(tx, optax.scale_by_learning_rate(lr))

    return {
        "sgd": lambda lr, decay: scaled(optax.add_decayed_weights(decay), lr),
        "momentum": lambda lr, b, decay: scaled(decayed(optax.trace(b), decay), lr),
        "adam": lambda lr, b1, b2, eps, decay: scaled(decayed(optax.scale_by_adam(b1, b2, eps), decay), lr),
        "adamw": lambda lr, b1, b2, eps, decay: optax.adamw(lr, b1, b2, eps, weight_decay=decay),
        "nadam": lambda lr, b1, b2, eps, decay: scaled(decayed(optax.scale_by_adam(b1, b2, eps, nesterov=True), decay), lr),
        "lion": lambda lr, b1, b2, decay: optax.lion(lr, b1, b2, weight_decay=decay),
        "rmsprop": lambda lr, b, eps, decay: scaled(decayed(optax.scale_by_rms(b, eps), decay), lr),
        "adabelief": lambda lr, b1, b2, eps, decay: scaled(decayed(optax.scale_by_belief(b1, b2, eps), decay), lr),
    }


def looped(task_name: str, rule: str, requests: list[Any], protocol: Any) -> list[tuple[float, ...]]:
    """Validation and test losses of every member of the requests, one training after the other."""
    import jax
    import jax.numpy as jnp
    import optax

    from search_space.use import optimizer
    from tasks.batch import TaskBatch
    from tasks.contracts import Schedule
    from tasks.registry import load
    from tasks.streams import derive

    factory = factories().get(rule) or partial(optimizer, rule)
    pool = TaskBatch.create(load(task_name), jax.random.key(SEED), learning_rates=(0.0,), tasks=protocol.tune_seeds + protocol.seeds)
    schedule = Schedule("cosine", protocol.warmup)

    @jax.jit
    def start(config: Any, key: Any) -> Any:
        params = pool.family.task(config).init(derive(key, -1))
        return params, factory(0.0, **{name: 0.5 for name, _ in requests[0].hypers}).init(params)

    @jax.jit
    def step(params: Any, state: Any, config: Any, key: Any, number: Any, rate: Any, hypers: Any) -> Any:
        task = pool.family.task(config)
        gradient = jax.grad(task.loss)(params, task.minibatch(key, number), derive(derive(key, number), 0))
        updates, state = factory(rate, **hypers).update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    @jax.jit
    def losses(params: Any, config: Any, key: Any) -> Any:
        task, there = pool.family.task(config), derive(key, -2)
        return tuple(task.loss(params, task.batch(there, split), derive(there, 0)) for split in ("valid", "test"))

    factors = [float(schedule.value(number, STEPS)) for number in range(STEPS)]
    found = []
    for request in requests:
        hypers = {name: jnp.float32(value) for name, value in request.hypers}
        for rate, instance in zip(request.rates, request.instances, strict=True):
            config, key = jax.tree.map(lambda leaf, i=instance: leaf[i], pool.configs), pool.keys[instance, 0]
            params, state = start(config, key)
            for number in range(STEPS):
                params, state = step(params, state, config, key, number, rate * (factors[number] if request.scheduled else 1.0), hypers)
                if request.final and (number + 1) % (STEPS // protocol.evals) == 0 and number + 1 < STEPS:
                    losses(params, config, key)
            found.append(tuple(float(x) for x in losses(params, config, key)))
    return found


def main() -> None:
    """Print both times, their ratio and how far apart the losses are that both sides measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", nargs="*", default=RULES, help="names, or: standard")
    parser.add_argument("--tasks", nargs="*", default=TASKS)
    chosen = parser.parse_args()
    one_core()
    from discover.evaluate.jobs import hypers_of
    from discover.evaluate.measure import Trainer, interpreted
    from discover.evaluate.presets import PRESETS
    from discover.evaluate.protocol import Protocol
    from discover.evaluate.trials import cells
    from search_space import zoo

    if chosen.rules == ["standard"]:
        chosen.rules = [name for name in PRESETS["standard"].rules if interpreted(zoo.program(name))]
    protocol = Protocol()
    ours = theirs = 0.0
    worst: list[float] = []
    for task in chosen.tasks:
        before = ours, theirs
        for rule in chosen.rules:
            asked: list[Any] = []
            answers: list[tuple[float, float]] = []
            trainer = Trainer(task, STEPS, protocol, SEED, tuple(map(zoo.text, chosen.rules)))

            def measure(requests: Any, rule: str = rule, trainer: Any = trainer, asked: Any = asked, answers: Any = answers) -> Any:
                found = trainer.measure(zoo.text(rule), requests)
                asked += requests
                answers += [pair for answer in found for pair in zip(answer.valid, answer.test, strict=True)]
                return found

            begin = time.process_time()
            cells(protocol, hypers_of(zoo.text(rule)), SEED, measure)
            middle = time.process_time()
            loop = looped(task, rule, asked, protocol)
            end = time.process_time()
            ours, theirs = ours + middle - begin, theirs + end - middle
            worst.append(_difference(answers, loop))
            print(f"{task:18s} {rule:12s} {middle - begin:8.2f} s {end - middle:8.2f} s   median difference {worst[-1]:.1e}", flush=True)
        print(f"{task}: {(theirs - before[1]) / (ours - before[0]):.1f} ×", flush=True)
    count = len(chosen.rules) * len(chosen.tasks) * 2 * protocol.trainings * STEPS
    print(
        f"{count / ours:,.0f} against {count / theirs:,.0f} (rule × task × step)/s: {theirs / ours:.1f} × "
        f"(gate {GATE:g}, moonshot {MOONSHOT:g}); {machine()}"
    )


def _difference(mine: list[tuple[float, float]], theirs: list[tuple[float, ...]]) -> float:
    """Median relative difference among trainings that did not fail; chaotic ones make the largest say little."""
    pairs = [(a, b) for x, y in zip(mine, theirs, strict=True) for a, b in zip(x, y, strict=True) if math.isfinite(a)]
    return statistics.median(abs(a - b) / max(abs(a), 1e-6) for a, b in pairs)


if __name__ == "__main__":
    main()
