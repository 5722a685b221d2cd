"""Two processes on one machine train one run together."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

import refvae_jax


def test_two_processes_train_the_run_of_one(trained, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "launch.py",
                "--config=configs/quickstart.py:smoke",
                f"--workdir={tmp_path}",
            ],
            cwd=os.path.dirname(os.path.dirname(__file__)),
            env=os.environ
            | {
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": str(index),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=280)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)
    assert "content/label" in outputs[0] and "content/label" not in outputs[1]
    for alone, together in zip(
        *((w / "metrics.jsonl").read_text().splitlines() for w in (trained, tmp_path)), strict=True
    ):
        assert json.loads(together) == pytest.approx(json.loads(alone), rel=1e-2)
    one, two = (refvae_jax.load(workdir) for workdir in (trained, tmp_path))
    images = one.sample(20, seed=0)
    alone, together = one.encode(images), two.encode(images)
    for name, latent in alone.items():
        spread = np.ptp(latent.mean)
        np.testing.assert_allclose(together[name].mean, latent.mean, atol=0.05 * spread)
    assert (tmp_path / "results.json").exists() and (tmp_path / "figures" / "swaps.png").exists()
