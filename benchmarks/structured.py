"""Structured L2O and a free LSTM, trained on small LASSO, used on it scaled by 10 and from a far start: `python -m benchmarks.structured`.

Both get the same training: backpropagation through truncated unrolls, equal steps, equal instances. The structured one (arXiv
2305.18577) must still converge where the free coordinate LSTM does not. About two CPU minutes.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any, NamedTuple

ROWS, COLUMNS, NONZERO = 20, 40, 4
PENALTY = 0.1
BATCH, TRUNCATION, TRUNCATIONS, RATE = 16, 20, 5, 3e-3
TEST_INSTANCES, TEST_STEPS = 64, 500
CONVERGED = 1e-3
"""Convergence is a median relative gap to the optimum of at most this much at the end."""


class Lasso(NamedTuple):
    """½ |A x − b|² + l1 · Σ|x|; A f32[R, C] with columns of length 1."""

    a: Any
    b: Any
    l1: Any


def draw(key: Any, scale: float = 1.0) -> Lasso:
    """A sparse solution seen through a random matrix; `scale` multiplies data and penalty, and with them the solution."""
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(key, 3)
    a = jax.random.normal(keys[0], (ROWS, COLUMNS))
    a = a / jnp.linalg.norm(a, axis=0)
    x = jax.random.normal(keys[1], (COLUMNS,)) * jax.random.permutation(keys[2], jnp.arange(COLUMNS) < NONZERO)
    return Lasso(a, scale * (a @ x), jnp.asarray(scale * PENALTY, jnp.float32))


def objective(problem: Lasso, x: Any) -> Any:
    import jax.numpy as jnp

    return 0.5 * jnp.sum((problem.a @ x - problem.b) ** 2) + problem.l1 * jnp.sum(jnp.abs(x))


def curvature(problem: Lasso) -> Any:
    """L, the largest eigenvalue of AᵀA."""
    import jax.numpy as jnp

    return jnp.linalg.norm(problem.a, 2) ** 2


def optimum(problem: Lasso) -> Any:
    """By 5000 steps of FISTA."""
    import jax
    import jax.numpy as jnp

    rate = 1.0 / curvature(problem)

    def body(carry: Any, _: Any) -> Any:
        x, y, t = carry
        moved = y - rate * (problem.a.T @ (problem.a @ y - problem.b))
        new = jnp.sign(moved) * jnp.maximum(jnp.abs(moved) - rate * problem.l1, 0.0)
        later = 0.5 * (1.0 + jnp.sqrt(1.0 + 4.0 * t * t))
        return (new, new + (t - 1.0) / later * (new - x), later), None

    zeros = jnp.zeros(COLUMNS)
    (x, _, _), _ = jax.lax.scan(body, (zeros, zeros, jnp.ones(())), None, length=5000)
    return objective(problem, x)


def transformation(optimizer: Any, theta: Any, problem: Lasso) -> Any:
    """With the learning rate that the architecture is meant for: 1 / L for the structured one."""
    rate = 1.0 / curvature(problem) if optimizer.base == "structured" else optimizer.rate
    return optimizer.transform(theta, learning_rate=rate)


def steps(optimizer: Any, theta: Any, problem: Lasso, carry: Any, count: int) -> tuple[Any, Any]:
    """`count` steps from (x, state), and the objective after each: f32[count]. The free LSTM sees a subgradient of all of it."""
    import jax
    import jax.numpy as jnp

    tx = transformation(optimizer, theta, problem)

    def body(carry: Any, _: Any) -> Any:
        x, state = carry
        g = problem.a.T @ (problem.a @ x - problem.b)
        g = g if optimizer.base == "structured" else g + problem.l1 * jnp.sign(x)
        updates, state = tx.update(g, state, x, l1=problem.l1)
        return (x + updates, state), objective(problem, x + updates)

    return jax.lax.scan(body, carry, None, length=count)


def train(optimizer: Any, outer_steps: int, seed: int = 0) -> Any:
    """Theta after Adam on the mean of log F(x_t) / F(0) over truncations of 20 steps, instances drawn anew after 100 steps."""
    import jax
    import jax.numpy as jnp
    import optax

    outer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(RATE, max(outer_steps, 1))))
    outer = optax.apply_if_finite(outer, 10**6)

    @jax.jit
    def episode(theta: Any, state: Any, key: Any) -> Any:
        problems = jax.vmap(draw)(jax.random.split(key, BATCH))
        x = jnp.zeros((BATCH, COLUMNS))
        carry = x, jax.vmap(lambda p, x: transformation(optimizer, theta, p).init(x))(problems, x)

        def loss(theta: Any, carry: Any) -> Any:
            carry, curve = jax.vmap(lambda p, c: steps(optimizer, theta, p, c, TRUNCATION))(problems, carry)
            return jnp.mean(jnp.log(curve / jax.vmap(objective)(problems, jnp.zeros((BATCH, COLUMNS)))[:, None])), carry

        def truncation(held: Any, _: Any) -> Any:
            theta, state, carry = held
            (value, carry), gradient = jax.value_and_grad(loss, has_aux=True)(theta, carry)
            updates, state = outer.update(gradient, state)
            return (optax.apply_updates(theta, updates), state, carry), value

        (theta, state, _), values = jax.lax.scan(truncation, (theta, state, carry), None, length=TRUNCATIONS)
        return theta, state, values[-1]

    theta = optimizer.init(jax.random.key(seed))
    state, key, value = outer.init(theta), jax.random.key(seed + 1), float("nan")
    for number in range(outer_steps // TRUNCATIONS):
        theta, state, value = episode(theta, state, jax.random.fold_in(key, number))
    return theta, float(value)


def gap(optimizer: Any, theta: Any, problems: Lasso, best: Any, start: float) -> list[float]:
    """Relative gaps to the optimum after 20, 100 and 500 steps, median over instances."""
    import jax
    import jax.numpy as jnp

    @jax.jit
    def curves(problems: Lasso) -> Any:
        def one(problem: Lasso) -> Any:
            x = jnp.full(COLUMNS, start)
            return steps(optimizer, theta, problem, (x, transformation(optimizer, theta, problem).init(x)), TEST_STEPS)[1]

        return jax.vmap(one)(problems)

    gaps = (curves(problems) - best[:, None]) / best[:, None]
    return [float(x) for x in jnp.median(jnp.nan_to_num(gaps, nan=jnp.inf), 0)[jnp.asarray([19, 99, TEST_STEPS - 1])]]


def main() -> None:
    """Print a line for each optimizer and kind of problem, and whether the claim holds."""
    import jax

    from meta_train.architectures.coordinate_lstm import CoordinateLSTM
    from meta_train.architectures.structured import StructuredLSTM

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outer-steps", type=int, default=1000)
    outer_steps = parser.parse_args().outer_steps
    kinds = {"as trained": (1.0, 0.0), "scaled by 10": (10.0, 0.0), "started at 10": (1.0, 10.0)}
    free, structured = CoordinateLSTM(), StructuredLSTM()
    keys = jax.random.split(jax.random.key(999), TEST_INSTANCES)
    unseen = {scale: jax.vmap(partial(draw, scale=scale))(keys) for scale in (1.0, 10.0)}
    best = {scale: jax.jit(jax.vmap(optimum))(problems) for scale, problems in unseen.items()}
    print("median relative gap to the optimum after 20, 100, 500 steps")
    measured = {}
    for name, optimizer, outer in (("structured", structured, outer_steps), ("untrained", structured, 0), ("free LSTM", free, outer_steps)):
        began = time.process_time()
        theta, value = train(optimizer, outer)
        print(f"{name}: last training loss {value:.4f}, {time.process_time() - began:.0f} CPU s", flush=True)
        for kind, (scale, start) in kinds.items():
            measured[name, kind] = gap(optimizer, theta, unseen[scale], best[scale], start)
            print(f"  {kind:14s} " + " ".join(f"{x:10.2e}" for x in measured[name, kind]), flush=True)
    holds = all(measured["structured", k][-1] <= CONVERGED for k in kinds)
    fails = all(measured["free LSTM", k][-1] > CONVERGED for k in list(kinds)[1:])
    print(f"structured converges everywhere: {holds}; the free LSTM does not on scaled and shifted problems: {fails}")


if __name__ == "__main__":
    main()
