"""The commands of docs/pods.md: they are valid, and start a run again exactly when they should."""

import os
import re
import signal
import subprocess
import textwrap
import time

import pytest
import yaml

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "pods.md").read_text()


def blocks(language):
    """The code blocks of a language on the page."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)
    assert found
    return [textwrap.dedent(block) for block in found]


def block(title):
    """The code block after a comment with its title."""
    return re.search(rf"<!-- {title} -->\n```\w+\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[1]


@pytest.fixture(scope="module")
def job():
    """The Job of the JobSet, as Kubernetes would read it."""
    job_set = yaml.safe_load(block("run.yaml"))
    (replicated,) = job_set["spec"]["replicatedJobs"]
    return replicated["template"]["spec"]


def container(job):
    (found,) = job["template"]["spec"]["containers"]
    return found


def check_shell(text):
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_command_is_valid_shell():
    for text in blocks("sh") + blocks("bash"):
        check_shell(text)
        for quoted in re.findall(r"--command=(['\"])(.*?)\1", text, re.DOTALL):
            check_shell(quoted[1].replace("\\$", "$"))


def test_the_flags_and_configs_on_the_page_exist():
    for path in re.findall(r"--config=([\w/.]+)", PAGE):
        assert (ROOT / path).is_file(), path
    from refvae_jax import config_rules

    for name in re.findall(r"--config\.([\w.]+)=", PAGE):
        assert name in {field.name for field in config_rules.FIELDS}, name


def test_the_job_has_as_many_pods_as_the_slice_has_hosts(job):
    pod = job["template"]["spec"]
    chips = container(job)["resources"]["limits"]["google.com/tpu"]
    across, down = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x")
    assert job["parallelism"] == job["completions"] == int(across) * int(down) // chips
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["containerName"] == container(job)["name"]
    assert job["backoffLimit"] == 0, "one pod alone cannot come back: all must be started again"


def put_program(folder, name, text):
    """A program that the shell finds before others of its name."""
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(("status", "stopped", "expected"), [
    (0, False, 0), (2, False, 2), (75, False, 75), (0, True, 75), (2, True, 2),
])  # fmt: skip
def test_a_pod_that_is_stopped_before_the_end_is_started_again(
    job, tmp_path, status, stopped, expected
):
    busy = "echo started; while true; do sleep .05; done" if stopped else ""
    put_program(tmp_path, "python", f"trap 'exit {status}' TERM\n{busy}\nexit {status}")
    shell = subprocess.Popen(
        [*container(job)["command"], *container(job)["args"]],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
    )
    if stopped:
        assert shell.stdout.readline() == "started\n"
        shell.send_signal(signal.SIGTERM)
    shell.communicate(timeout=30)
    assert shell.returncode == expected


def test_the_command_that_stops_a_tpu_pod_reaches_the_training(tmp_path):
    def command(says):
        (found,) = [
            c for _, c in re.findall(r"--command=(['\"])(.*?)\1", PAGE, re.DOTALL) if says in c
        ]
        return found.replace("\\$", "$").replace("/tmp/run.pid", f"{tmp_path}/run.pid")

    programs = tmp_path / "refvae_jax" / ".venv" / "bin"
    programs.mkdir(parents=True)
    training = "trap 'echo stopped; exit' TERM; echo $@; for i in {1..200}; do sleep .05; done"
    put_program(programs, "python", training)
    log = tmp_path / "refvae_jax" / "train.log"

    def wait_for(word):
        until = time.monotonic() + 8
        while not (log.exists() and word in log.read_text()):
            assert time.monotonic() < until, f"{word} is not in the log"
            time.sleep(0.02)

    for says, word in ("nohup", "launch.py"), ("kill -TERM", "stopped"):
        subprocess.run(["bash", "-c", command(says)], cwd=tmp_path, check=True)
        wait_for(word)


@pytest.mark.parametrize(("status", "scored", "requeued"), [
    (0, True, False), (0, False, True), (75, False, True), (2, False, False), (2, True, False),
    # Slurm's highest of 75 and a killed process; of one out of memory.
    (137, False, True), (253, False, True), (1, False, False),
])  # fmt: skip
def test_a_slurm_job_is_requeued_unless_it_is_done_or_must_be_fixed(
    tmp_path, status, scored, requeued
):
    script = block("run.sbatch")
    run = tmp_path / re.search(r"^run=(.*)$", script, re.MULTILINE)[1]
    run.mkdir(parents=True)
    if scored:
        (run / "results.json").touch()
    put_program(tmp_path, "srun", f"exit {status}")
    put_program(tmp_path, "scontrol", 'echo "$@"')
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "17"}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=os.environ | environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    assert done.stdout == ("requeue 17\n" if requeued else "")
