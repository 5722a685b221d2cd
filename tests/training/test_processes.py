"""Two processes on one machine train one run together."""

import json
import os
import signal
import subprocess
import sys
import time
import types

import numpy as np
import pytest

import refvae_jax
from refvae_jax import run
from refvae_jax.errors import OthersMissing, UserError
from refvae_jax.training import processes
from refvae_jax.training.hosts.relay import free_port
from refvae_jax.training.hosts.stopping import StoppingPoint
from tests.conftest import ROOT

CONFIG = "--config=configs/quickstart.py:smoke"


def start_process(command, address, index, number=2, devices=1, **environ):
    """Starts a process of a run; its output is one stream."""
    settings = {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # As the tests here.
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": str(number),
        "JAX_PROCESS_ID": str(index),
    }
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | settings | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run_two(workdir, *flags, second=(), devices=1, environs=({}, {})):
    """Runs the quick start in two processes of one run: [(exit status, output)].

    `second` are flags of the second process alone, `environs` settings of each.
    """
    address = f"127.0.0.1:{free_port()}"
    command = ["launch.py", CONFIG, f"--workdir={workdir}", *flags]
    pair = [
        start_process([*command, *more], address, index, devices=devices, **environs[index])
        for index, more in enumerate([(), second])
    ]
    try:
        outputs = [process.communicate(timeout=400)[0] for process in pair]
    finally:
        for process in pair:
            process.kill()
    return [(process.returncode, out) for process, out in zip(pair, outputs, strict=True)]


@pytest.mark.slow
def test_two_hosts_without_a_common_disk_train_the_run_of_one(trained, bucket, tmp_path):
    """Two devices each, the workdir in a bucket."""
    own_cache = [f"--config.data.cache_dir={tmp_path / 'cache'}"]
    temporary = [tmp_path / "a", tmp_path / "b"]
    for folder in temporary:
        folder.mkdir()
    (first, first_output), (second, second_output) = run_two(
        bucket, devices=2, second=own_cache, environs=[{"TMPDIR": str(t)} for t in temporary]
    )
    assert first == second == 0, first_output + second_output
    assert "content/label" in first_output and "content/label" not in second_output
    for alone, together in zip(
        *((w / "metrics.jsonl").read_text().splitlines() for w in (trained, bucket)), strict=True
    ):
        assert json.loads(together) == pytest.approx(json.loads(alone), rel=1e-2)
    one, two = (refvae_jax.load(workdir) for workdir in (trained, bucket))
    images = one.sample(20, seed=0)
    alone, together = one.encode(images), two.encode(images)
    for name, latent in alone.items():
        spread = np.ptp(latent.mean)
        np.testing.assert_allclose(together[name].mean, latent.mean, atol=0.05 * spread)
    assert (bucket / "results.json").exists() and (bucket / "figures" / "swaps.png").exists()


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
def test_processes_with_other_configs_end_with_a_sentence(tmp_path):
    (status, said), other = run_two(tmp_path, second=["--config.data.train_split=train[512:1024]"])
    assert status == other[0] == 2, said
    words = "config.data.train_split is 'train[:512]' and 'train[512:1024]'"
    for output in (said, other[1]):
        assert words in output and "Traceback" not in output
    assert not any(tmp_path.iterdir())


@pytest.fixture
def start_run():
    """start_run(workdir, num_steps, number, devices) -> processes of a run of `run_member`."""
    started = []

    def start(workdir, num_steps, number=1, devices=1):
        address = f"127.0.0.1:{free_port()}"
        command = ["-m", "tests.training.run_member", str(workdir), str(num_steps)]
        new = [start_process(command, address, index, number, devices) for index in range(number)]
        started.extend(new)
        return new

    yield start
    for process in started:
        process.kill()
        process.wait()


def wait_for(process, words):
    """The first line of its output that begins with these words."""
    line = next((line for line in process.stdout if line.startswith(words)), "")
    assert line, f"it ended without saying {words}"
    return line.strip()


def end(process):
    """(exit status, the rest of its output)."""
    output = process.communicate(timeout=120)[0]
    return process.returncode, output


@pytest.mark.slow
def test_sigterm_to_one_of_two_saves_and_any_number_of_processes_resumes(start_run, tmp_path):
    first, second = start_run(tmp_path / "run", 1_000_000, number=2, devices=2)
    wait_for(first, "from 0"), wait_for(second, "from 0")
    second.send_signal(signal.SIGTERM)
    stopped = wait_for(first, "at "), wait_for(second, "at ")
    assert stopped[0] == stopped[1]
    assert end(first)[0] == end(second)[0] == 0
    step = int(stopped[0].split()[1])
    num_steps = step + 3
    (alone,) = start_run(tmp_path / "run", num_steps, devices=4)
    wait_for(alone, f"from {step}")
    (whole,) = start_run(tmp_path / "whole", num_steps, devices=1)
    assert end(alone)[0] == end(whole)[0] == 0
    expected = np.load(tmp_path / "whole" / "1.npy")
    np.testing.assert_allclose(np.load(tmp_path / "run" / "4.npy"), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_death_of_process_0_ends_the_other_without_a_stack_dump(start_run, tmp_path):
    first, second = start_run(tmp_path, 1_000_000, number=2)
    wait_for(first, "from 0"), wait_for(second, "from 0")
    first.kill()
    since = time.monotonic()
    status, output = end(second)
    assert status == OthersMissing.status and time.monotonic() - since < 30
    assert "process 0" in output and "died without a word" in output
    assert "Traceback" not in output and "stack trace" not in output, output


@pytest.mark.slow
def test_a_slurm_job_without_srun(launch, tmp_path):
    result = launch(CONFIG, f"--workdir={tmp_path}", env={"SLURM_NTASKS": "4", "SLURM_JOB_ID": "5"})
    assert result.returncode == 2, result.stderr
    assert "start python with srun" in result.stderr and "Traceback" not in result.stderr


@pytest.fixture
def of_two(monkeypatch):
    """of_two(other) makes this the second of two processes, whose first gives the value `other`."""

    def make(other):
        gather = lambda value: [value if other is None else other, value]  # noqa: E731
        meeting = types.SimpleNamespace(run_id="x")
        monkeypatch.setattr(
            processes, "_lifeline", types.SimpleNamespace(gather=gather, meeting=meeting)
        )
        monkeypatch.setattr(processes, "is_main", lambda: False)

    return make


@pytest.fixture
def outside():
    """The signals that reach the handler from before `stop_on_sigterm`."""
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    yield came
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("stopping", [False, True])
def test_a_sigterm_while_another_process_saves_waits_for_it(monkeypatch, outside, stopping):
    """It has no effect on a run that stops, else an effect afterwards."""
    point, seen = StoppingPoint(), []

    def gather(value):
        signal.raise_signal(signal.SIGTERM)
        seen.extend(["waited", *outside])

    lifeline = types.SimpleNamespace(gather=gather, stopping=point, ask_to_stop=lambda: None)
    monkeypatch.setattr(processes, "_lifeline", lifeline)
    if stopping:
        point.decide([2, 1])
    with processes.stop_on_sigterm() as asked:
        assert [asked(step) for step in (2, 3)] == [False, stopping]
    assert seen == ["waited"] and outside == [signal.SIGTERM] * (not stopping)


def test_a_sigterm_after_the_last_step_of_a_single_process_waits_for_its_save(outside):
    with processes.stop_on_sigterm() as asked:
        assert not asked(1)
        signal.raise_signal(signal.SIGTERM)
        assert not outside
    assert outside == [signal.SIGTERM]
    with processes.stop_on_sigterm() as asked:
        signal.raise_signal(signal.SIGTERM)
        assert asked(1)
    assert len(outside) == 1


def test_what_processes_must_agree_on(of_two):
    of_two({"digest": "abc"})
    processes.check_agreed({"digest": "abc"}, "advice")
    with pytest.raises(UserError, match="advice"):
        processes.check_agreed({"digest": "abd"}, "advice")


def test_a_failure_of_another_process_is_one_here(of_two):
    of_two(False)
    with pytest.raises(UserError, match="Another process failed"), processes.all_or_none():
        pass


def test_a_workdir_that_is_not_shared(of_two, tmp_path, monkeypatch):
    of_two(None)
    monkeypatch.setattr(processes, "_SEEN_SECONDS", 0.2)
    with pytest.raises(UserError, match="is not the folder of that name that process 0 uses"):
        processes.check_shared(tmp_path)
    monkeypatch.setattr(processes, "is_main", lambda: True)
    processes.check_shared(tmp_path)
    assert not any(tmp_path.iterdir())
