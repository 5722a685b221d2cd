"""Shared by all tests: caches of their own, a small config, one trained run."""

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from configs import quickstart
from refvae_jax.files import user_path
from tests import bucket_emulator

ROOT = Path(__file__).parent.parent


def pytest_configure():
    # The workers of pytest-xdist fill the cores. Their threads would only wait for each other, and
    # those of OpenMP and OpenBLAS spin while they wait. Libraries read it when they are loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """Tests that need a trained run are slow: training, scoring and drawing it takes a minute."""
    for item in items:
        if "trained" in item.fixturenames:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def own_caches(tmp_path_factory):
    """Decoded data, prepared data and compiled programs of the tests, apart from the user's.

    All workers of pytest-xdist and the commands they start have them in common. Here compiling is
    quick: XLA's programs are the same, but LLVM does not optimise their machine code. Commands
    compile as users do.
    """
    import jax

    from refvae_jax.training.devices import use_compilation_cache

    root = tmp_path_factory.getbasetemp()
    root = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / "own_caches"
    before = dict(os.environ)
    os.environ["XDG_CACHE_HOME"] = str(root / "xdg")
    os.environ["TFDS_DATA_DIR"] = str(root / "tfds")
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    jax.config.update("jax_disable_most_optimizations", True)
    (root / "tfds").mkdir(parents=True, exist_ok=True)
    use_compilation_cache()
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def emulator(own_caches):
    """A bucket server, which gs:// addresses lead to from now on, here and in commands."""
    with bucket_emulator.running() as environ:
        os.environ.update(environ)
        yield


@pytest.fixture
def bucket(emulator):
    """The path of a new folder in a bucket."""
    return user_path(f"gs://{bucket_emulator.BUCKET}/{uuid.uuid4().hex}")


@pytest.fixture
def optimised():
    """Compiles here as commands do, where their results must be the same to the bit."""
    import jax

    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(autouse=True)
def printed_log():
    """The package's log as lines on stdout, as the commands print it."""
    from refvae_jax import console

    console.install()


@pytest.fixture
def config():
    """The quick start in its smoke form: 20 steps of seconds."""
    return quickstart.get_config("smoke")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A workdir trained to the end, evaluated and drawn. Copy it before changing it."""
    from refvae_jax.run import run

    workdir = tmp_path_factory.mktemp("trained")
    run(quickstart.get_config("smoke"), workdir)
    return workdir


@pytest.fixture
def workdir(trained, tmp_path):
    """A copy of the trained run, to be damaged or continued."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def parse(monkeypatch):
    """parse(*arguments) -> the config that launch.py would run, and what it tells of it."""

    from absl import flags
    from ml_collections import config_flags

    from refvae_jax import command_line

    def from_command_line(*arguments):
        values = flags.FlagValues()
        flag = config_flags.DEFINE_config_file("config", flag_values=values)
        argv = ["launch.py", *arguments]
        monkeypatch.setattr(sys, "argv", argv)  # Read by the flag of a config file too.
        return command_line.from_command_line(argv, flag, values)

    return from_command_line


@pytest.fixture(scope="session")
def launch():
    """launch(*arguments, env={}) -> CompletedProcess of `python launch.py ...`."""

    def start(*arguments, env=()):
        return subprocess.run(
            [sys.executable, "launch.py", *arguments],
            cwd=ROOT,
            env=os.environ | dict(env),
            capture_output=True,
            text=True,
            timeout=300,
        )

    return start
