"""Particles over 1, 2 and 4 devices of one process, or over two processes, give the same estimates; run in processes of their own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

import numpy as np

COMMAND = [sys.executable, "-m", "tests.meta_train.test_sharding"]
FLAGS = "--xla_force_host_platform_device_count="


def test_numbers_of_devices_agree() -> None:
    done = subprocess.run(COMMAND, env=os.environ | {"XLA_FLAGS": f"{FLAGS}4"}, capture_output=True, text=True, check=True)
    one, two, four = json.loads(done.stdout.splitlines()[-1])
    assert len(one["gradients"]) == 3 and np.linalg.norm(one["gradients"][0]) > 0.1
    for other in (two, four):
        assert_equal(other, one)
        np.testing.assert_allclose(other["carry"], one["carry"], atol=1e-5)  # noise follows the guide, equal up to rounding
        np.testing.assert_allclose(other["guide"], one["guide"], atol=1e-6)


def test_two_processes_agree_with_one() -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"XLA_FLAGS": f"{FLAGS}1"}
    single = subprocess.run([*COMMAND, "alone"], env=environment, capture_output=True, text=True, check=True)
    pair = [
        subprocess.Popen([*COMMAND, port, number], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for number in ("0", "1")
    ]
    try:
        answers = [process.communicate(timeout=120) for process in pair]
    finally:
        for process in pair:
            process.kill()
    assert [process.returncode for process in pair] == [0, 0], answers
    for out, _ in answers:
        assert_equal(json.loads(out.splitlines()[-1]), json.loads(single.stdout.splitlines()[-1]))


def assert_equal(other: dict[str, Any], one: dict[str, Any]) -> None:
    np.testing.assert_allclose(other["gradients"], one["gradients"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(other["losses"], one["losses"], rtol=1e-6)
    assert other["inner_steps"] == one["inner_steps"] == [2 * 64 * 3] * 3


def estimates(devices: int) -> tuple[dict[str, Any], Any]:
    """Three estimates on the first devices of all processes, and the state after them."""
    import jax

    from meta_train.estimators.evolution import guided_es
    from meta_train.sharding import make_mesh, make_step, place, place_state
    from tests.meta_train.moving import Moving, theta

    mesh = make_mesh(devices)
    estimator = guided_es(Moving(length=7), 64, 3, 0.1, memory=1)
    start, state = place(theta(), mesh), place_state(estimator.init(theta(), 7), mesh)
    step, gradients, losses, steps = make_step(estimator, state, mesh), [], [], []
    for i in range(3):
        gradient, state, info = step(start, state, place(jax.random.key(i), mesh))
        gradients.append(gradient["step"].tolist())
        losses.append(float(info.loss))
        steps.append(int(info.inner_steps))
    return {"gradients": gradients, "losses": losses, "inner_steps": steps}, state


def main(arguments: list[str]) -> None:
    """One line of JSON: alone on one device; as process NUMBER of two at PORT; without arguments on 1, 2 and 4 devices."""
    if arguments == ["alone"]:
        print(json.dumps(estimates(1)[0]))
    elif arguments:
        from meta_train.sharding import join

        join(f"localhost:{arguments[0]}", processes=2, number=int(arguments[1]))
        print(json.dumps(estimates(2)[0]))
    else:
        results = [(found, state.particles.carry, state.guide) for found, state in map(estimates, (1, 2, 4))]
        print(json.dumps([found | {"carry": carry.tolist(), "guide": guide.tolist()} for found, carry, guide in results]))


if __name__ == "__main__":
    main(sys.argv[1:])
