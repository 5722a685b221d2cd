"""TensorFlow starts silently; its messages appear if it cannot start."""

import os
import subprocess
import sys

import pytest

from refvae_jax.data.readers import tf_cpu
from refvae_jax.data.readers.tf_cpu import stderr_held_back


@pytest.mark.slow
def test_tensorflow_starts_silently():
    program = (
        "from refvae_jax.data.readers.tf_cpu import import_tensorflow as i; print(i().add(1, 2))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "shape=()" in done.stdout, done.stderr
    assert done.stderr == ""


def test_output_held_back_is_dropped(capfd):
    with stderr_held_back():
        os.write(2, b"noise")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_what_python_prints_meanwhile_is_seen(capfd, monkeypatch):
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)  # As outside of pytest.
    monkeypatch.setattr(tf_cpu, "_stderr", tf_cpu._stderr.__wrapped__)
    with stderr_held_back():
        os.write(2, b"noise")
        print("error", file=sys.stderr)
    assert capfd.readouterr().err == "error\n"


def test_an_exception_prints_the_output_held_back(capfd):
    with pytest.raises(ImportError), stderr_held_back():
        os.write(2, b"no such library")
        raise ImportError
    assert capfd.readouterr().err == "no such library"
