"""The embedded digits, prepared once per test session in a directory of its own."""

import pytest

from configs import default
from refvae_jax import console


@pytest.fixture(autouse=True)
def printed_log():
    """What the package logs is printed, as by a command."""
    before = console.LOGGER.handlers, console.LOGGER.level, console.LOGGER.propagate
    console.install()
    yield
    console.LOGGER.handlers, console.LOGGER.level, console.LOGGER.propagate = before


@pytest.fixture(scope="session")
def digits_dir(tmp_path_factory):
    """A TFDS data directory that holds digits5k."""
    import tensorflow_datasets as tfds

    from refvae_jax.data.builders.digits5k import Digits5k

    tfds.disable_progress_bar()
    directory = str(tmp_path_factory.mktemp("tfds"))
    Digits5k(data_dir=directory).download_and_prepare()
    return directory


@pytest.fixture
def config(digits_dir, tmp_path):
    """The config.data of a run, with a fresh cache."""
    data = default.get_config().data
    data.update({"dir": digits_dir, "cache_dir": str(tmp_path / "cache"), "grouped_fraction": 0.5})
    return data
