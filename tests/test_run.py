"""The command: one clear sentence and a non-zero exit for whatever the user can mend."""

import errno
import os
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
        ([QUICK, "--config.data.name=mnst"], "did you mean '"),
        ([QUICK, "--config.data.grouped_fraction=1.5"], "from 0 to 1"),
        ([QUICK, "--mode=fly"], "mode"),
        ([QUICK, "train"], "Unexpected argument 'train'"),
        ([QUICK, "--mode=eval"], "There is no run in"),
    ],
)
def test_one_sentence_and_status_2(launch, tmp_path, arguments, words):
    result = launch(*arguments, f"--workdir={tmp_path}/run")
    assert result.returncode == 2, result.stderr
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")


def test_workdir_of_another_config_is_refused_with_the_difference(workdir, config):
    before = (workdir / "config.json").read_bytes()
    config.method.k = 3.0
    with pytest.raises(UserError, match=r"config\.method\.k was 2\.0, is 3\.0"):
        run.run(config, workdir)
    assert (workdir / "config.json").read_bytes() == before


def test_a_bad_first_try_does_not_claim_the_workdir(tmp_path, config):
    config.batch_size = 5_000
    with pytest.raises(UserError, match="batch_size is 5000"):
        run.run(config, tmp_path)
    config.batch_size = 32
    run.check_same_run(config, tmp_path)


@pytest.mark.parametrize("mode", ["eval", "figures"])
def test_other_modes_refuse_another_config_too(workdir, config, mode):
    config.method.name = "mlvae"
    with pytest.raises(UserError, match="'gmvae', is 'mlvae'"):
        run.run(config, workdir, mode)


def test_batch_that_does_not_divide_among_the_devices(launch, tmp_path):
    env = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}
    result = launch(QUICK, f"--workdir={tmp_path}/run", env=env)
    assert result.returncode == 2 and "--config.batch_size=30" in result.stderr


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
    words = pytest.raises(UserError, match="already saved are untouched")
    with words, run.disk_errors_explained(tmp_path):
        raise OSError(code, os.strerror(code), "some/file")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, errno.EROFS])
def test_a_librarys_words_for_a_full_disk_too(tmp_path, code):
    with pytest.raises(UserError, match=os.strerror(code)), run.disk_errors_explained(tmp_path):
        raise ValueError(f"RESOURCE_EXHAUSTED: write failed: {os.strerror(code)}")


def test_other_errors_keep_their_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), run.disk_errors_explained(tmp_path):
        raise ZeroDivisionError
    with pytest.raises(OSError, match="Interrupted"), run.disk_errors_explained(tmp_path):
        raise OSError(errno.EINTR, "Interrupted")


DISK_FULL = """
import resource, signal, sys
import jax.numpy as jnp, optax
from refvae_jax import checkpoint, run, state
from refvae_jax.errors import UserError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
params = {"model": jnp.linspace(0, 1, 100_000) ** 0.3}
now = state.create({"params": params, "mutable": {"model": {}}}, {"model": optax.sgd(1.0)})
try:
    with run.disk_errors_explained(sys.argv[1]):
        checkpoints = checkpoint.Checkpoints(sys.argv[1], 5, 0)
        checkpoints.save(now._replace(step=jnp.array(1)), {}, None)
        checkpoints._manager.wait_until_finished()
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        checkpoints.save(now._replace(step=jnp.array(2)), {}, None)
        checkpoints.close()
except UserError as error:
    print(error)
"""


def test_disk_full_in_a_save_keeps_what_was_saved(tmp_path):
    """A limit on the size of files stands in for the full disk."""
    from refvae_jax.training import checkpoint

    result = subprocess.run(
        [sys.executable, "-c", DISK_FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Cannot write to" in result.stdout and "File too large" in result.stdout, result.stderr
    assert "Exception in thread" not in result.stderr
    assert checkpoint.load(tmp_path)[2] == 1


def test_distributed_arguments():
    assert run.distributed_arguments({}) is None
    assert run.distributed_arguments({"SLURM_NTASKS": "1"}) is None
    assert run.distributed_arguments({"SLURM_NTASKS": "8"}) == {}
    assert run.distributed_arguments({"TPU_WORKER_HOSTNAMES": "a,b"}) == {}
    assert run.distributed_arguments({"TPU_WORKER_HOSTNAMES": "a"}) is None
    on_tpu = {"TPU_ML_PLATFORM": "JAX"}  # JAX has found chips: the cloud knows the hosts.
    assert run.distributed_arguments(on_tpu) == {}
    assert run.distributed_arguments(on_tpu | {"TPU_PROCESS_ADDRESSES": "local"}) is None
    assert run.distributed_arguments(on_tpu | {"JAX_PLATFORMS": "cpu"}) is None
    assert run.distributed_arguments(on_tpu | {"TPU_SKIP_MDS_QUERY": "1"}) is None
    by_hand = {
        "JAX_COORDINATOR_ADDRESS": "host:1234",
        "JAX_NUM_PROCESSES": "2",
        "JAX_PROCESS_ID": "1",
    }
    expected = {"coordinator_address": "host:1234", "num_processes": 2, "process_id": 1}
    assert run.distributed_arguments(by_hand) == expected
    with pytest.raises(UserError, match="JAX_NUM_PROCESSES"):
        run.distributed_arguments({"JAX_COORDINATOR_ADDRESS": "host:1234"})
    with pytest.raises(UserError, match="JAX_PROCESS_ID is 2"):
        run.distributed_arguments(by_hand | {"JAX_PROCESS_ID": "2"})


def test_a_slurm_job_without_srun(launch, tmp_path):
    result = launch(QUICK, f"--workdir={tmp_path}", env={"SLURM_NTASKS": "4", "SLURM_JOB_ID": "5"})
    assert result.returncode == 2, result.stderr
    assert "start python with srun" in result.stderr and "Traceback" not in result.stderr
