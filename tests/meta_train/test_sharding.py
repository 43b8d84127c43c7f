"""Particles spread over 1, 2 and 4 devices give the same estimates; run in a process of its own, which has four."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np


def test_numbers_of_devices_agree() -> None:
    flags = "--xla_force_host_platform_device_count=4"
    command = [sys.executable, "-m", "tests.meta_train.test_sharding"]
    done = subprocess.run(command, env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True, check=True)
    one, two, four = json.loads(done.stdout.splitlines()[-1])
    assert len(one["gradients"]) == 3 and np.linalg.norm(one["gradients"][0]) > 0.1
    for other in (two, four):
        np.testing.assert_allclose(other["gradients"], one["gradients"], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(other["losses"], one["losses"], rtol=1e-6)
        assert other["inner_steps"] == one["inner_steps"] == [2 * 64 * 3] * 3
        np.testing.assert_allclose(other["carry"], one["carry"], atol=1e-5)  # noise follows the guide, equal up to rounding
        np.testing.assert_allclose(other["guide"], one["guide"], atol=1e-6)


def main() -> None:
    """Three estimates on each number of devices, as one line of JSON."""
    import jax

    from meta_train.estimators.evolution import guided_es
    from meta_train.sharding import make_mesh, make_step, place, place_state
    from tests.meta_train.moving import Moving, theta

    results = []
    for devices in (1, 2, 4):
        mesh = make_mesh(devices)
        estimator = guided_es(Moving(length=7), 64, 3, 0.1, memory=1)
        start, state = place(theta(), mesh), place_state(estimator.init(theta(), 7), mesh)
        step, gradients, losses, steps = make_step(estimator, state, mesh), [], [], []
        for i in range(3):
            gradient, state, info = step(start, state, place(jax.random.key(i), mesh))
            gradients.append(gradient["step"].tolist())
            losses.append(float(info.loss))
            steps.append(int(info.inner_steps))
        carry, guide = state.particles.carry.tolist(), state.guide.tolist()
        results.append({"gradients": gradients, "losses": losses, "inner_steps": steps, "carry": carry, "guide": guide})
    print(json.dumps(results))


if __name__ == "__main__":
    main()
