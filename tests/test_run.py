"""The command: one clear sentence and a non-zero exit for whatever the user can mend."""

import errno
import os
import resource
import subprocess
import sys

import pytest

from refvae_jax import run
from refvae_jax.errors import UserError

QUICK = "--config=configs/quickstart.py:smoke"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Which config?"),
        (["--config=configs/quikstart.py"], "Did you mean 'configs/quickstart.py'?"),
        (["--config=configs/quickstart.py:fast"], "has no form 'fast', only smoke"),
        ([QUICK, "--config.metod.k=3"], "no field 'metod'. Did you mean 'method'?"),
        ([QUICK, "--config.method.nane=mlvae"], "no field 'nane'. Did you mean 'name'?"),
        ([QUICK, "--config.batch_size=many"], "--config.batch_size=many"),
        ([QUICK, "--config.batch_size=5000"], "5000"),
        ([QUICK, "--config.method.name=gmva"], "Did you mean 'gmvae'?"),
        ([QUICK, "--config.data.name=mnst"], "Did you mean 'mnist'"),
        ([QUICK, "--config.data.grouped_fraction=1.5"], "between 0 and 1"),
        ([QUICK, "--mode=fly"], "mode"),
        ([QUICK, "train"], "Unexpected argument 'train'"),
        ([QUICK, "--mode=eval"], "no usable checkpoint"),
    ],
)
def test_one_sentence_and_status_2(launch, tmp_path, arguments, words):
    result = launch(*arguments, f"--workdir={tmp_path}/run")
    assert result.returncode == 2, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")


def test_unprepared_data_says_what_to_run(launch, tmp_path):
    # A proxy that refuses every connection: no network, wherever the test runs.
    env = {
        "TFDS_DATA_DIR": str(tmp_path / "empty"),
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    result = launch("--config=configs/mnist_gmvae.py:smoke", f"--workdir={tmp_path}/run", env=env)
    assert result.returncode == 2, result.stderr
    assert "tfds build mnist" in result.stderr and "Traceback" not in result.stderr


def test_workdir_of_another_config_is_refused_with_the_difference(workdir, config):
    before = (workdir / "config.json").read_bytes()
    config.method.k = 3.0
    with pytest.raises(UserError, match=r"config\.method\.k was 2\.0, is 3\.0"):
        run.run(config, workdir)
    assert (workdir / "config.json").read_bytes() == before


def test_workdir_in_use_is_refused(tmp_path):
    code = (
        "import sys; from pathlib import Path; from refvae_jax import run\n"
        "with run.locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="Another run is using"), run.locked(tmp_path):
        pass
    holder.kill()  # However it ends, the lock goes with it.
    holder.wait()
    with run.locked(tmp_path):
        pass


def test_workdir_below_a_file_or_read_only_is_explained(config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write to"):
        run.run(config, tmp_path / "file" / "run")


@pytest.mark.parametrize("code", run.DISK_ERRORS)
def test_every_disk_error_becomes_a_sentence(tmp_path, code):
    with pytest.raises(UserError, match="already saved are untouched"):
        with run.disk_errors_explained(tmp_path):
            raise OSError(code, os.strerror(code), "some/file")
    with pytest.raises(UserError, match=os.strerror(code)):
        with run.disk_errors_explained(tmp_path):
            raise ValueError(f"RESOURCE_EXHAUSTED: write failed: {os.strerror(code)}")


def test_other_errors_keep_their_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), run.disk_errors_explained(tmp_path):
        raise ZeroDivisionError
    with pytest.raises(OSError, match="Interrupted"), run.disk_errors_explained(tmp_path):
        raise OSError(errno.EINTR, "Interrupted")


def test_disk_full_in_a_save_keeps_what_was_saved(workdir, config):
    """A limit on the size of files stands in for the full disk."""
    config.num_train_steps = 30
    code = (
        "import resource, sys, signal\n"
        "from configs import quickstart\n"
        "from refvae_jax import run\n"
        "from refvae_jax.errors import UserError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "config = quickstart.get_config('smoke')\n"
        "config.num_train_steps = 30\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try: run.run(config, sys.argv[1])\n"
        "except UserError as error: print(error)\n"
        "else: print('no error')\n"
    )
    env = os.environ | {"JAX_COMPILATION_CACHE_DIR": "/nonexistent"}
    result = subprocess.run(
        [sys.executable, "-c", code, str(workdir)],
        capture_output=True,
        text=True,
        timeout=300,
        env=env,
        cwd=os.path.dirname(os.path.dirname(__file__)),
    )
    assert "Cannot write to" in result.stdout and "File too large" in result.stdout, result.stderr
    from refvae_jax import checkpoint

    assert checkpoint.load(workdir)[2] == 20
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_distributed_arguments():
    assert run.distributed_arguments({}) is None
    assert run.distributed_arguments({"SLURM_NTASKS": "1"}) is None
    assert run.distributed_arguments({"SLURM_NTASKS": "8"}) == {}
    assert run.distributed_arguments({"TPU_WORKER_HOSTNAMES": "a,b"}) == {}
    assert run.distributed_arguments({"TPU_WORKER_HOSTNAMES": "a"}) is None
    by_hand = {
        "JAX_COORDINATOR_ADDRESS": "host:1234",
        "JAX_NUM_PROCESSES": "2",
        "JAX_PROCESS_ID": "1",
    }
    expected = {"coordinator_address": "host:1234", "num_processes": 2, "process_id": 1}
    assert run.distributed_arguments(by_hand) == expected
    with pytest.raises(UserError, match="JAX_NUM_PROCESSES"):
        run.distributed_arguments({"JAX_COORDINATOR_ADDRESS": "host:1234"})
