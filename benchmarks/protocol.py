"""The protocol's throughput against a Python loop over jitted optax optimizers, compilation included: `python -m benchmarks.protocol`.

Both sides make the same trainings: for every rule and task each learning rate and hyperparameter variant of the protocol, both
schedules, then the fresh seeds. The loop jits one training step for each rule and task (rate and hyperparameters are arguments, so
that it compiles once), calls it from Python, and measures losses when the protocol does. It takes optax's own optimizer where this file
knows one and else our compiled rule, which is an optax transformation too. Nothing is cached. The unit is (rule × task × step) of
trainings a second. `--rules standard` takes the rules of that preset which the interpreter runs, `--tasks standard` its tasks with their
steps. `--sample N` measures N of the rules, evenly spaced, on an interpreter for all of them, and counts each as many times as it stands
for; compilation, which happens once for a task, is told apart by measuring the first rule twice.
Both sides have one core, and seconds are those of the processor, which other work on the machine disturbs least. With `--workers N` they
are those of the clock: N processes of one core each do the protocol's work at the same time, as `discover leaderboard` has it done, and
the loop, one process, has all cores for its operations.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from discover.bench.timing import machine, one_core
from discover.cores import pin_process, visible_cores

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


def looped(task_name: str, steps: int, rule: str, requests: list[Any], protocol: Any) -> list[tuple[float, ...]]:
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

    factors = [float(schedule.value(number, steps)) for number in range(steps)]
    found = []
    for request in requests:
        hypers = {name: jnp.float32(value) for name, value in request.hypers}
        for rate, instance in zip(request.rates, request.instances, strict=True):
            config, key = jax.tree.map(lambda leaf, i=instance: leaf[i], pool.configs), pool.keys[instance, 0]
            params, state = start(config, key)
            for number in range(steps):
                params, state = step(params, state, config, key, number, rate * (factors[number] if request.scheduled else 1.0), hypers)
                if request.final and (number + 1) % (steps // protocol.evals) == 0 and number + 1 < steps:
                    losses(params, config, key)
            found.append(tuple(float(x) for x in losses(params, config, key)))
    return found


class Ours(NamedTuple):
    """The protocol's side of a task: seconds of compilation and of each rule, and each rule's requests and (validation, test) losses."""

    compilation: float
    seconds: list[float]
    asked: list[list[Any]]
    answers: list[list[tuple[float, float]]]


def main() -> None:
    """Print both times, their ratio and how far apart the losses are that both sides measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", nargs="*", default=RULES, help="names, or: standard")
    parser.add_argument("--tasks", nargs="*", default=TASKS, help="names, or: standard")
    parser.add_argument("--sample", type=int, help="how many of the rules are measured; all by default")
    parser.add_argument("--workers", type=int, default=1, help="processes of the protocol's side")
    chosen = parser.parse_args()
    cores = visible_cores()
    if not 1 <= chosen.workers <= len(cores):
        parser.error(f"--workers is {chosen.workers}, allowed: 1 to {len(cores)}, one for each core")
    if chosen.workers == 1:
        one_core()
    from discover.evaluate.measure import interpreted
    from discover.evaluate.presets import PRESETS
    from search_space import zoo

    standard = PRESETS["standard"]
    rules = [n for n in standard.rules if interpreted(zoo.program(n))] if chosen.rules == ["standard"] else list(chosen.rules)
    plans = [(p.spec, p.steps) for p in standard.tasks] if chosen.tasks == ["standard"] else [(name, STEPS) for name in chosen.tasks]
    count = min(chosen.sample or len(rules), len(rules))
    if count < 1:
        parser.error(f"--sample is {chosen.sample}, allowed: 1 to {len(rules)}")
    measured = [rules[i * len(rules) // count] for i in range(count)]
    several = cores[: chosen.workers] if chosen.workers > 1 else []
    pools = [ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), pin_process, (core,)) for core in several]
    totals = [_compare(task, steps, measured, rules, pools) for task, steps in plans]
    ours, theirs = (sum(column) for column in zip(*(t[:2] for t in totals), strict=True))
    work = sum(t[2] for t in totals)
    mean = math.exp(statistics.fmean(math.log(t[1] / t[0]) for t in totals))
    print(
        f"{work / ours:,.0f} against {work / theirs:,.0f} (rule × task × step)/s: {theirs / ours:.1f} × (gate {GATE:g}, "
        f"moonshot {MOONSHOT:g}), geometric mean over tasks {mean:.1f} ×; {len(measured)} of {len(rules)} rules measured; {machine()}"
    )


def _compare(task: str, steps: int, measured: list[str], rules: list[str], pools: list[Executor]) -> tuple[float, float, float]:
    """Seconds of the protocol and of the loop for all `rules`, from those that are measured, and the steps that were made."""
    from discover.evaluate.protocol import Protocol

    protocol, share = Protocol(), len(rules) / len(measured)
    clock = time.perf_counter if pools else time.process_time
    if pools:
        found = [f.result() for f in [pool.submit(_ours, task, steps, measured, rules, True) for pool in pools]]
    else:
        found = [_ours(task, steps, measured, rules, False)]
    theirs = 0.0
    for number, rule in enumerate(measured):
        begin = clock()
        loop = looped(task, steps, rule, found[0].asked[number], protocol)
        others = clock() - begin
        theirs += share * others
        seconds = statistics.fmean(f.seconds[number] for f in found)
        print(f"{task:26s} {rule:14s} {seconds:8.2f} s {others:8.2f} s   {_difference(found[0].answers[number], loop)}", flush=True)
    each = [f.compilation + share * sum(f.seconds) for f in found]
    ours = statistics.fmean(each) / len(each)  # at the same time they did the work as often as they are many
    print(f"{task}: {theirs / ours:.1f} ×, the interpreter's compilation {found[0].compilation:.1f} s", flush=True)
    return ours, theirs, len(rules) * 2.0 * protocol.trainings * steps


def _ours(task: str, steps: int, measured: list[str], rules: list[str], wall: bool) -> Ours:
    """The protocol on a task, with an interpreter for all `rules`, in seconds of the clock or of the processor."""
    from discover.evaluate.measure import Trainer
    from discover.evaluate.protocol import Protocol
    from search_space import zoo

    clock = time.perf_counter if wall else time.process_time
    trainer = Trainer(task, steps, Protocol(), SEED, tuple(map(zoo.text, rules)))
    compiling = _cells(trainer, measured[0], clock)[0]
    seconds, asked, answers = (list(column) for column in zip(*(_cells(trainer, rule, clock) for rule in measured), strict=True))
    return Ours(max(0.0, compiling - seconds[0]), seconds, asked, answers)


def _cells(trainer: Any, rule: str, clock: Callable[[], float]) -> tuple[float, list[Any], list[tuple[float, float]]]:
    """Seconds of the protocol for a rule, its requests, and (validation, test) losses of their members."""
    from discover.evaluate.jobs import hypers_of
    from discover.evaluate.trials import cells
    from search_space import zoo

    asked: list[Any] = []
    answers: list[tuple[float, float]] = []

    def measure(requests: Any) -> Any:
        found = trainer.measure(zoo.text(rule), requests)
        asked.extend(requests)
        answers.extend(pair for answer in found for pair in zip(answer.valid, answer.test, strict=True))
        return found

    begin = clock()
    cells(trainer.protocol, hypers_of(zoo.text(rule)), SEED, measure)
    return clock() - begin, asked, answers


def _difference(mine: list[tuple[float, float]], theirs: list[tuple[float, ...]]) -> str:
    """Median relative difference among trainings that ended on both sides, since chaotic ones make the largest say little; and failures."""
    pairs = [(a, b) for x, y in zip(mine, theirs, strict=True) for a, b in zip(x, y, strict=True)]
    ended = [abs(a - b) / max(abs(a), 1e-6) for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    apart = sum(math.isfinite(a) != math.isfinite(b) for a, b in pairs)
    return f"median difference {statistics.median(ended):.1e}" + (f", failed on one side only: {apart} of {len(pairs)}" if apart else "")


if __name__ == "__main__":
    main()
