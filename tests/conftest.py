"""Shared by all tests: caches of their own, a small config, one trained run."""

import contextlib
import mmap
import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import filelock
import jaxlib
import pytest

from configs import quickstart
from refvae_jax.files import user_path
from tests import bucket_emulator

ROOT = Path(__file__).parent.parent
# XLA's flags for programs that compile in half of the time and run slower.
QUICK_TO_COMPILE = {
    "xla_cpu_use_fusion_emitters": "false",
    "xla_cpu_opt_preset": "CPU_OPT_PRESET_FAST_COMPILE",
}


def xla_flags(**more):
    """The environment's XLA_FLAGS, and these."""
    flags = [f"--{name}={value}" for name, value in more.items()]
    return {"XLA_FLAGS": " ".join([*os.environ.get("XLA_FLAGS", "").split(), *flags])}


def known_to_xla(flag):
    """Whether this XLA has the flag: there is no list to ask for, and an unknown one ends it."""
    library = Path(jaxlib.__file__).with_name("libjax_common.so")
    if not library.exists():
        return False
    with (
        library.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        return content.find(f"{flag}\0".encode()) >= 0


def pytest_configure(config):
    # The workers of pytest-xdist fill the cores. Their threads would only wait for each other, and
    # those of OpenMP and OpenBLAS spin while they wait. Libraries read it when they are loaded.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if "PYTEST_XDIST_WORKER" not in os.environ:  # Workers get the environment of the first process.
        os.environ |= xla_flags(**{f: v for f, v in QUICK_TO_COMPILE.items() if known_to_xla(f)})
    config.option.loadscopereorder = False  # The order is ours, see below.


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that at the end no worker waits long for another.

    Tests that need a trained run are slow: training, scoring and drawing it takes a minute.
    """
    slow = set()
    for item in items:
        if "trained" in item.fixturenames:
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow"):
            slow.add(item.path)
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def of_all_workers(tmp_path_factory):
    """The session's folder that the workers of pytest-xdist have in common."""
    root = tmp_path_factory.getbasetemp()
    return root.parent if "PYTEST_XDIST_WORKER" in os.environ else root


@pytest.fixture(scope="session", autouse=True)
def own_caches(of_all_workers):
    """Decoded data, prepared data and compiled programs of the tests, apart from the user's.

    All workers and the commands they start have them in common. Compiling is quick: XLA's programs
    are the same, but for QUICK_TO_COMPILE, and LLVM does not optimise their machine code.
    """
    import jax

    from refvae_jax.training.devices import use_compilation_cache

    root = of_all_workers / "own_caches"
    before = dict(os.environ)
    os.environ["XDG_CACHE_HOME"] = str(root / "xdg")
    os.environ["TFDS_DATA_DIR"] = str(root / "tfds")
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # Of commands.
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


@contextlib.contextmanager
def _optimised():
    import jax

    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS")
        jax.config.update("jax_disable_most_optimizations", False)
        yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def optimised():
    """LLVM optimises, here and in commands, as it does for users."""
    with _optimised():
        yield


@pytest.fixture(scope="module")
def all_optimised():
    """`optimised` for a file whose tests compute for longer than they compile."""
    with _optimised():
        yield


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
def trained(of_all_workers):
    """A workdir trained to the end, evaluated and drawn. Copy it before changing it."""
    from refvae_jax.run import run

    workdir = of_all_workers / "trained"
    with filelock.FileLock(of_all_workers / "trained.lock"):
        if not workdir.exists():
            begun = of_all_workers / "begun"
            run(quickstart.get_config("smoke"), begun)
            begun.rename(workdir)
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
