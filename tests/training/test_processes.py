"""Two processes on one machine train one run together."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

import refvae_jax
from refvae_jax import run
from refvae_jax.errors import UserError
from refvae_jax.training import processes
from tests.conftest import ROOT

CONFIG = "--config=configs/quickstart.py:smoke"


def run_two(workdir, *flags, second=()):
    """Runs the quick start in two processes of one run: [(exit status, output)].

    `second` are flags of the second process alone.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    pair = [
        subprocess.Popen(
            [sys.executable, "launch.py", CONFIG, f"--workdir={workdir}", *flags, *more],
            cwd=ROOT,
            env=os.environ
            | {
                "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # As the tests here.
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": "2",
                "JAX_PROCESS_ID": str(index),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index, more in enumerate([(), second])
    ]
    try:
        outputs = [process.communicate(timeout=280)[0] for process in pair]
    finally:
        for process in pair:
            process.kill()
    return [(process.returncode, out) for process, out in zip(pair, outputs, strict=True)]


@pytest.mark.slow
def test_two_processes_train_the_run_of_one(trained, tmp_path):
    (first, first_output), (second, second_output) = run_two(tmp_path)
    assert first == second == 0, first_output + second_output
    assert "content/label" in first_output and "content/label" not in second_output
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


@pytest.mark.slow
def test_a_replica_per_process(tmp_path):
    for status, said in run_two(tmp_path, "--config.parallel.map=pmap"):
        assert status == 0, said
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) > 1


@pytest.mark.slow
def test_an_error_of_one_process_ends_both_with_a_sentence(tmp_path):
    with run.only_run(tmp_path):
        (first, first_output), (second, second_output) = run_two(
            tmp_path, "--config.data.resolution=64"
        )
    assert first == second == 2, first_output + second_output
    assert "decoder_widths is now" in first_output and "is now" not in second_output
    assert "Another run is using" in first_output and "Another process failed" in second_output
    assert "Traceback" not in first_output + second_output


@pytest.mark.slow
def test_processes_with_other_images_end_with_a_sentence(tmp_path):
    for status, said in run_two(tmp_path, second=["--config.data.train_split=train[512:1024]"]):
        assert status == 2, said
        assert "differ in their config or their images" in said and "Traceback" not in said
    assert not (tmp_path / "metrics.jsonl").exists()


def test_distributed_arguments():
    assert processes.distributed_arguments({}) is None
    assert processes.distributed_arguments({"SLURM_NTASKS": "1"}) is None
    assert processes.distributed_arguments({"SLURM_NTASKS": "8"}) == {}
    assert processes.distributed_arguments({"TPU_WORKER_HOSTNAMES": "a,b"}) == {}
    assert processes.distributed_arguments({"TPU_WORKER_HOSTNAMES": "a"}) is None
    on_tpu = {"TPU_ML_PLATFORM": "JAX"}  # JAX has found chips: the cloud knows the hosts.
    assert processes.distributed_arguments(on_tpu) == {}
    assert processes.distributed_arguments(on_tpu | {"TPU_PROCESS_ADDRESSES": "local"}) is None
    assert processes.distributed_arguments(on_tpu | {"JAX_PLATFORMS": "cpu"}) is None
    assert processes.distributed_arguments(on_tpu | {"TPU_SKIP_MDS_QUERY": "1"}) is None
    by_hand = {
        "JAX_COORDINATOR_ADDRESS": "host:1234",
        "JAX_NUM_PROCESSES": "2",
        "JAX_PROCESS_ID": "1",
    }
    expected = {"coordinator_address": "host:1234", "num_processes": 2, "process_id": 1}
    assert processes.distributed_arguments(by_hand) == expected
    with pytest.raises(UserError, match="JAX_NUM_PROCESSES"):
        processes.distributed_arguments({"JAX_COORDINATOR_ADDRESS": "host:1234"})
    with pytest.raises(UserError, match="JAX_PROCESS_ID is 2"):
        processes.distributed_arguments(by_hand | {"JAX_PROCESS_ID": "2"})


@pytest.mark.slow
def test_a_slurm_job_without_srun(launch, tmp_path):
    result = launch(CONFIG, f"--workdir={tmp_path}", env={"SLURM_NTASKS": "4", "SLURM_JOB_ID": "5"})
    assert result.returncode == 2, result.stderr
    assert "start python with srun" in result.stderr and "Traceback" not in result.stderr
