"""Several processes of one run: how they come together, what they must agree on, how they end.

status = end_together(command)   # runs the command; other processes learn how it ended
join(os.environ, config, about)  # before the first use of a device
with all_or_none(): ...          # if one process raises here, all raise
check_agreed(value, "advice")    # UserError unless all have the same value
with stop_on_sigterm() as asked: ...
with undisturbed(): ...          # no end of another process ends this one before
"""

import contextlib
import functools
import os
import shlex
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from refvae_jax.errors import UserError
from refvae_jax.training import launches
from refvae_jax.training.hosts.cluster import VARIABLES, find_place, how_to_start
from refvae_jax.training.hosts.lifeline import Lifeline
from refvae_jax.training.hosts.meeting import Meeting
from refvae_jax.training.hosts.roster import Patience

_SEEN_SECONDS = 10.0  # After which a file of one host is seen on the others: NFS caches folders.

_lifeline: Lifeline | None = None  # None of a single process.


def is_main() -> bool:
    """Whether this is the process that writes and reports."""
    return jax.process_index() == 0


def join(environ: Mapping[str, str], config: ConfigDict, about: Mapping[str, Any]) -> None:
    """Makes this process one of the run's processes, see `cluster.find_place`.

    Args:
      environ: of this process.
      config: of the run: how long to wait for others.
      about: {what: value ready for JSON} that all must have in common, beside the code.

    Raises:
      UserError: there are others, but nothing says where; or they are missing, or are about
        something else.
    """
    global _lifeline
    place = find_place(environ)
    if place is None:
        if jax.process_count() > 1:  # A TPU knows its hosts by itself; saving needs more than that.
            raise UserError(
                f"These devices belong to {jax.process_count()} hosts: on each of them set "
                f"{', '.join(VARIABLES)}."
            )
        return
    patience = Patience(config.parallel.start_seconds, config.parallel.silence_seconds)
    command = shlex.join(["python", *sys.argv])
    advice = functools.partial(how_to_start, place=place, environ=environ, command=command)
    _lifeline = Lifeline(Meeting(place, {**about, **code()}, patience, advice), patience)
    _lifeline.join()
    # See `stopping`; and its handler would swallow a SIGTERM outside the step loop.
    jax.config.update("jax_enable_preemption_service", False)
    address = f"127.0.0.1:{_lifeline.meeting.service_port}"
    jax.distributed.initialize(
        coordinator_address=address,
        coordinator_bind_address=address,
        num_processes=place.num_processes,
        process_id=place.process_id,
        local_device_ids=place.devices,
        cluster_detection_method="deactivate",
        initialization_timeout=round(patience.start) + 60,
        # The lifeline notices sooner, and says it in words.
        heartbeat_timeout_seconds=round(2 * patience.silence) + 100,
    )
    jax.devices()  # Every process must be there before the first may use its own devices.


def code() -> dict[str, str]:
    """{what: version} of what the numbers of a run depend on, this package by its files."""
    versions = {f"the version of {name}": v for name, v in launches.library_versions().items()}
    return versions | {"the code of refvae_jax": launches.code_digest()}


def end_together(command: Callable[[], int]) -> int:
    """Runs a command; the processes of a run come to their end together.

    Args:
      command: returns the exit status; SystemExit is taken for a SIGTERM, which stops all.

    Returns:
      The exit status, of a single process; several end here.
    """
    stopped = False
    try:
        status = command()
    except SystemExit as stop:
        if _lifeline is None:
            raise
        status, stopped = int(stop.code or 0), True
    except Exception:
        if _lifeline is None:
            raise
        _lifeline.wait_for_verdict()
        traceback.print_exc()
        status = 1
    if _lifeline is None:
        return status
    while True:
        try:
            status = _lifeline.leave(status, stopped)
            break
        except SystemExit:  # A SIGTERM while it waits for the others.
            stopped = True
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # JAX would wait for processes that have failed.


@contextlib.contextmanager
def all_or_none() -> Iterator[None]:
    """If one process raises here, all raise, so none blocks; waits until all have come here."""
    error = None
    try:
        yield
    except Exception as met:
        error = met
    if _lifeline and not all(_lifeline.gather(error is None)):
        raise error or UserError("Another process failed: its output says why.")
    if error:
        raise error


def check_agreed(value: Any, advice: str) -> None:
    """Raises UserError with this advice unless all processes have the same JSON-ready value."""
    if _lifeline and any(other != value for other in _lifeline.gather(value)):
        raise UserError(advice)


def check_shared(workdir: Path) -> None:
    """Raises UserError unless all processes see the same folder, in which process 0 may write."""
    if _lifeline is None:
        return
    mark = workdir / f".seen-{_lifeline.meeting.run_id}"
    with all_or_none():
        if is_main():
            mark.write_bytes(b"")
    with all_or_none():
        until = time.monotonic() + _SEEN_SECONDS
        while not mark.exists():
            if time.monotonic() > until:
                raise UserError(
                    f"--workdir={workdir} on host {socket.gethostname()} is not the folder of that "
                    f"name that process 0 uses: name one that all hosts share, or gs://BUCKET/RUN."
                )
            time.sleep(0.1)
    if is_main():
        mark.unlink()


@contextlib.contextmanager
def stop_on_sigterm() -> Iterator[Callable[[int], bool]]:
    """Gives asked(step), whether to stop after this step, on which all processes agree.

    A SIGTERM to any of them asks. It must be called at every step. All leave together, so one that
    has nothing to save cannot be stopped, and stop the others, while another one saves. A SIGTERM
    that came after the last step takes effect then.
    """
    received, stopping = threading.Event(), threading.Event()

    def ask(*_: Any) -> None:
        received.set()
        if _lifeline:
            _lifeline.ask_to_stop()

    def asked(step: int) -> bool:
        if _lifeline.stopping.reached(step) if _lifeline else received.is_set():
            stopping.set()
        return stopping.is_set()

    previous = signal.signal(signal.SIGTERM, ask)
    try:
        yield asked
        if _lifeline:
            _lifeline.gather(None)
    finally:
        signal.signal(signal.SIGTERM, previous)
    if received.is_set() and not stopping.is_set():
        signal.raise_signal(signal.SIGTERM)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Whatever becomes of the other processes, this one is not ended before."""
    with _lifeline.saving if _lifeline else contextlib.nullcontext():
        yield
