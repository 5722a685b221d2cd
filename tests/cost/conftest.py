"""Commands in a process of their own: they choose the devices that JAX sees."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="session")
def verb():
    """verb(*arguments, status=0) -> CompletedProcess of `python -m refvae_jax ...`."""

    def run(*arguments, status=0):
        result = subprocess.run(
            [sys.executable, "-m", "refvae_jax", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == status, result.stderr[-3000:]
        return result

    return run
