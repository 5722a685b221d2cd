"""Failed file operations: one sentence that names the path and what works, and nothing else."""

import errno
import gc
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
from pathlib import Path
from types import SimpleNamespace

import pytest

from refvae_jax.errors import (
    UserError,
    disk_problem,
    exit_status,
    explain_disk_errors,
    repeat_lost_interrupts,
    report_disk_errors_once,
)

PLACES = {Path("/run"): "choose another --workdir", Path("/run/cache"): "choose another cache"}


def explained(error, places=PLACES):
    with pytest.raises(UserError) as caught, explain_disk_errors(places):
        raise error
    return str(caught.value)


# Listed or not: what a network disk, a broken one or a typing error can raise.
@pytest.mark.parametrize(
    "code", ["ENOSPC", "EACCES", "ENOTDIR", "ENOENT", "EIO", "ESTALE", "ELOOP", "EROFS"]
)
@pytest.mark.parametrize("filename", [None, "/run/some/file"])
def test_every_disk_error_becomes_a_sentence(code, filename):
    number = getattr(errno, code)
    message = explained(OSError(number, os.strerror(number), filename))
    assert f"Cannot use {filename or '/run'}: {os.strerror(number)}. " in message
    assert message.endswith("hoose another --workdir.")


def test_numpys_error_without_a_number_too():
    assert explained(OSError("10 requested and 3 written")).startswith(
        "Cannot use /run: 10 requested and 3 written. "
    )


@pytest.mark.parametrize(
    ("filename", "advice"),
    [
        ("/run/file", "Choose another --workdir."),
        ("/run/cache/x/file", "Choose another cache."),
        ("/run", "Choose another --workdir."),
        ("/", "Choose another --workdir, or choose another cache."),
        ("/runs/file", "Make sure that it exists and that you may read and write it."),
    ],
)
def test_the_advice_is_that_of_the_place(filename, advice):
    assert explained(OSError(errno.EACCES, "Permission denied", filename)).endswith(advice)


def test_a_full_disk_can_be_emptied():
    full = OSError(errno.ENOSPC, "No space left on device", "/tmp/x")
    assert explained(full).endswith("device. Free space there.")
    assert explained(full, {Path("/tmp"): "go"}).endswith("device. Free space there, or go.")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_a_librarys_words_for_a_failed_write_too(code):
    message = explained(ValueError(f"RESOURCE_EXHAUSTED: write failed: {os.strerror(code)}"))
    assert message.startswith(f"Cannot use /run: {os.strerror(code)}")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_tensorstores_number_too(code):
    assert os.strerror(code) in explained(ValueError(f"Failed [os_error_code='{code}']"))


def numbered(*names):
    return [OSError(getattr(errno, name), "text", "/run/file") for name in names]


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError(),
        *numbered("EINTR", "ECONNREFUSED", "ENOTCONN", "EHOSTUNREACH", "ETIMEDOUT"),
        *numbered("ENOMEM", "EMFILE", "ENFILE"),
        TimeoutError("timed out"),
        socket.gaierror(-2, "Name or service not known"),
        ssl.SSLError(1, "certificate verify failed"),
        urllib.error.URLError("no host given"),
        OSError("libcusolver.so.11: cannot open shared object file: No such file or directory"),
        OSError("cannot write mode F as PNG"),
        FileNotFoundError("no such data set"),
        OSError("could not get source code"),
        RuntimeError("UNAVAILABLE: open(/dev/accel0): Permission denied"),
    ],
    ids=repr,
)
def test_other_errors_stay_as_they_are(error):
    assert not disk_problem(error)
    with pytest.raises(type(error)), explain_disk_errors(PLACES):
        raise error


def test_a_command_prints_the_sentence(capsys, tmp_path):
    assert exit_status((tmp_path / "none").read_text) == 2
    message = capsys.readouterr().err
    assert message == (
        f"error: Cannot use {tmp_path}/none: No such file or directory. Make sure that it exists "
        f"and that you may read and write it.\n"
    )


@pytest.fixture
def printed(monkeypatch):
    """What hooks and logs print after `report_disk_errors_once`, which is undone at the end."""
    found = []
    monkeypatch.setattr(threading, "excepthook", found.append)
    monkeypatch.setattr(sys, "unraisablehook", found.append)
    handler = logging.Handler()
    handler.emit = found.append
    for name in ("absl", "asyncio"):
        monkeypatch.setattr(logging.getLogger(name), "filters", [])
        monkeypatch.setattr(logging.getLogger(name), "handlers", [handler])
    report_disk_errors_once()
    return found


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail_in_thread(module, error):
    """Raises an error in a thread that runs code of that module."""
    functions = {"__name__": module, "error": error}
    exec("def target(): raise error", functions)
    thread = threading.Thread(target=functions["target"])
    thread.start()
    thread.join()


@pytest.mark.parametrize(
    ("error", "prints"),
    [
        (FULL, False),
        (ValueError("RESOURCE_EXHAUSTED: No space left on device"), False),
        (ValueError("another mistake"), True),
    ],
)
def test_threads_leave_disk_errors_to_the_main_thread(printed, error, prints):
    fail_in_thread("orbax.checkpoint.futures", error)
    for name in ("absl", "asyncio"):
        logging.getLogger(name).error("a save failed", exc_info=error)
    assert len(printed) == 3 * prints
    logging.getLogger("absl").error("no exception")
    assert len(printed) == 3 * prints + 1


def test_threads_of_others_print_their_errors(printed):
    full = OSError(errno.ENOSPC, "a new one, without FULL's traceback")
    fail_in_thread("refvae_jax.data.pipeline", full)
    assert [thread.exc_value for thread in printed] == [full]


@pytest.mark.parametrize(
    ("error", "prints"),
    [(RuntimeError("Event loop is closed"), False), (FULL, False), (RuntimeError("other"), True)],
)
def test_so_do_objects_that_are_closed_late(printed, error, prints):
    sys.unraisablehook(SimpleNamespace(exc_value=error))
    assert len(printed) == prints


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_that_is_lost_in_a_garbage_collection_comes_again(monkeypatch, number, raised):
    def handle(*_):
        raise raised

    def raise_once(*_):
        gc.callbacks.remove(raise_once)
        raise raised

    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    repeat_lost_interrupts()
    before = signal.signal(number, handle)
    try:
        gc.callbacks.append(raise_once)
        gc.collect()  # Python drops what a callback raises.
        with pytest.raises(raised):
            time.sleep(10)
    finally:
        signal.signal(number, before)


DISK_FULL = """
import logging, pathlib, resource, signal, sys
import jax.numpy as jnp, optax
from refvae_jax.errors import UserError, explain_disk_errors, report_disk_errors_once
from refvae_jax.training import checkpoint, state

logging.getLogger("absl").setLevel(logging.ERROR)
report_disk_errors_once()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
params = {"model": {str(i): jnp.linspace(0, 1, 10_000 + i) ** 0.3 for i in range(20)}}
now = state.create({"params": params, "mutable": {"model": {}}}, {"model": optax.sgd(1.0)})
try:
    with explain_disk_errors({pathlib.Path(sys.argv[1]): "go"}):
        checkpoints = checkpoint.Checkpoints(sys.argv[1], 5, 0)
        checkpoints.save(now._replace(step=jnp.array(1)), {}, None)
        checkpoints._manager.wait_until_finished()
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        checkpoints.save(now._replace(step=jnp.array(2)), {}, None)
        checkpoints.close()
except UserError as error:
    print(error)
"""


@pytest.mark.slow
def test_disk_full_in_a_save_keeps_what_was_saved(tmp_path):
    """A limit on the size of files stands in for the full disk."""
    from refvae_jax.training import checkpoint

    result = subprocess.run(
        [sys.executable, "-c", DISK_FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stdout == f"Cannot use {tmp_path}: File too large. Free space there, or go.\n"
    assert result.stderr == ""
    assert checkpoint.load(tmp_path)[2] == 1
