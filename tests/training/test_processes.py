"""Several processes on one machine train one run together, by launch.py."""

import functools
import json
import multiprocessing
import os
import re
import signal
import time
import types
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from PIL import Image

from refvae_jax import run
from refvae_jax.errors import OthersMissing, UserError
from refvae_jax.training import checkpoint, processes
from refvae_jax.training.hosts.relay import free_port
from refvae_jax.training.hosts.stopping import StoppingPoint
from tests.conftest import xla_flags
from tests.training import run_member

SECONDS = 900  # For anything, on a busy machine.
SCORED = "it would score or draw"


class Member(NamedTuple):
    """A process of a run."""

    process: multiprocessing.process.BaseProcess
    output: Path

    def wait_for(self, words):
        """Until it prints a line that begins with this pattern."""
        until = time.monotonic() + SECONDS
        while not re.search(f"^{words}", self.output.read_text(), re.MULTILINE):
            assert self.process.is_alive() and time.monotonic() < until, self.output.read_text()
            time.sleep(0.1)

    def end(self):
        """(exit status, all that it has printed)."""
        self.process.join(SECONDS)
        said = self.output.read_text()
        assert self.process.exitcode is not None, said
        assert "Traceback" not in said and "stack trace" not in said, said
        return self.process.exitcode, said


@pytest.fixture(scope="module")
def start(emulator, tmp_path_factory):
    """start(workdir, *flags, devices, each) -> Members of a run of the quick start.

    `each` has for each of them what `run_member.launch` takes; its flags come after the others.
    """
    context, started = run_member.prepare(), []

    def start(workdir, *flags, devices=1, each=({}, {})):
        address, members = f"127.0.0.1:{free_port()}", []
        for index, how in enumerate(each):
            folder = tmp_path_factory.mktemp("member")
            environ = os.environ | xla_flags(xla_force_host_platform_device_count=devices)
            environ |= {
                "TMPDIR": str(folder),
                "JAX_COORDINATOR_ADDRESS": address,
                "JAX_NUM_PROCESSES": str(len(each)),
                "JAX_PROCESS_ID": str(index),
            }
            output = folder / "output"
            output.touch()
            command = ["--config=configs/quickstart.py:smoke", f"--workdir={workdir}", *flags]
            how = {**how, "flags": [*command, *how.get("flags", ())]}
            process = context.Process(
                target=run_member.launch, args=(output, dict(environ)), kwargs=how
            )
            process.start()
            members.append(Member(process, output))
        started.extend(members)
        return members

    yield start
    for member in started:
        member.process.kill()
        member.process.join()


@pytest.mark.slow
def test_a_run_in_a_bucket_that_was_stopped_and_killed_ends_as_one_that_was_not(
    start, bucket, tmp_path
):
    """By two processes with two devices each, twice, and by one; they have no disk in common."""
    first, second = start(
        bucket, devices=2, each=({"upload_seconds": 4}, {"signals": {5: signal.SIGTERM}})
    )
    first.wait_for("uploading")
    second.process.terminate()  # It has nothing to save, but stays.
    (status, said), (other, _) = first.end(), second.end()
    assert status == other == 0, said
    stopped = int(re.search("stopped by SIGTERM at step ([0-9]+)", said)[1])
    assert 5 < stopped < 10 and checkpoint.steps(bucket) == [stopped]

    first, second = start(
        bucket,
        "--config.parallel.silence_seconds=40",
        devices=2,
        each=({}, {"signals": {12: signal.SIGSTOP, 14: signal.SIGKILL}}),
    )
    first.wait_for("warning: process 1 .* has not answered")
    os.kill(second.process.pid, signal.SIGCONT)
    assert second.end()[0] == -signal.SIGKILL
    since = time.monotonic()
    status, said = first.end()
    assert status == OthersMissing.status and time.monotonic() - since < 120, said
    assert f"resuming at step {stopped}" in said and "died without a word" in said
    assert checkpoint.steps(bucket) == [stopped, 10]

    (alone,) = start(bucket, each=({},))
    status, said = alone.end()
    assert status == 0 and "resuming at step 10" in said and SCORED in said, said
    (whole,) = start(tmp_path, each=({},))  # Afterwards: its programs are compiled now.
    assert whole.end()[0] == 0
    together, by_one = (checkpoint.load(workdir, "last")[0] for workdir in (bucket, tmp_path))
    close = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-5)
    jax.tree.map(close, together, by_one)
    for row, expected in zip(
        *((w / "metrics.jsonl").read_text().splitlines() for w in (bucket, tmp_path)), strict=True
    ):
        assert json.loads(row) == pytest.approx(json.loads(expected), rel=1e-3)


@pytest.mark.slow
def test_a_replica_per_process(start, tmp_path):
    first, second = start(tmp_path, "--config.parallel.map=pmap", "--config.num_train_steps=2")
    (status, said), (other, said_by_other) = first.end(), second.end()
    assert status == other == 0, said + said_by_other
    assert SCORED in said and SCORED not in said_by_other
    assert checkpoint.steps(tmp_path) == [2] and (tmp_path / "metrics.jsonl").exists()


@pytest.mark.slow
def test_an_error_of_one_process_ends_both_with_a_sentence(start, tmp_path):
    with run.only_run(tmp_path):
        first, second = start(tmp_path, "--config.data.resolution=64")
        (status, said), (other, said_by_other) = first.end(), second.end()
    assert status == other == 2, said + said_by_other
    assert "decoder_widths is now" in said and "is now" not in said_by_other
    assert "Another run is using" in said and "Another process failed" in said_by_other


@pytest.mark.slow
def test_processes_with_another_config_or_code_end_with_a_sentence(start, tmp_path):
    unlike = {"flags": ["--config.data.train_split=train[512:1024]"], "code": "x"}
    for member in start(tmp_path, each=({}, unlike)):
        status, said = member.end()
        assert status == 2, said
        assert "config.data.train_split is 'train[:512]' and 'train[512:1024]'" in said
        assert re.search("the code of refvae_jax is '[0-9a-f]{12}' and 'x'", said)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_processes_with_other_images_end_with_a_sentence(start, tmp_path):
    """Of the same names and number, in the same folder of two hosts."""
    homes, rng = (tmp_path / "a", tmp_path / "b"), np.random.default_rng(0)
    for home in homes:
        for i in range(24):
            file = home / f"pictures/{i % 2}/{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(file)
    flags = ["--config.data.name=folder", "--config.data.dir=~/pictures", "--config.batch_size=2"]
    parts = ("train", "validation", "test")
    flags += [f"--config.data.{part}_split=train" for part in parts]
    run = tmp_path / "run"
    for member in start(run, *flags, each=[{"home": h} for h in homes]):
        status, said = member.end()
        assert status == 2 and "differ in their images: put copies of the same" in said, said
    assert checkpoint.steps(run) == []


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
