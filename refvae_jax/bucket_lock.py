"""One writer at a time in a folder of a bucket: an object that its holder renews.

with held(path, when_taken=refuse) as lease:
    lease.check()    # before each object written: raises if another run has taken the folder over

The object is created only if it is absent, and renewed and removed only if it is still the holder's
(its generation tells). One that nobody has renewed for STALE_SECONDS is taken over, at once if its
holder was a process of this machine that is gone, or if it never had one. Ages are taken from the
bucket's clock alone.
"""

import contextlib
import email.utils
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from refvae_jax.buckets import file_system, split, write_bytes
from refvae_jax.console import LOGGER
from refvae_jax.errors import UserError

RENEW_SECONDS = 15
STALE_SECONDS = 60
# Goes on while a process is stopped and, where the system has such a clock, while it sleeps.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

_held_here: set[str] = set()  # Runs of this process that hold a lock.


class Taken(NamedTuple):
    """A lock object as it was read."""

    generation: str
    age: float  # In seconds, since it was last renewed.
    owner: dict[str, Any]
    is_copy: bool  # The empty lock file of a run on a disk, which came here with a copy of it.


def machine() -> str:
    """Names the machine, and the container on it, since when it was started."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def is_gone(owner: dict[str, Any]) -> bool:
    """Whether the owner was a process of this machine that has ended."""
    if owner.get("machine") != machine():
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:  # Of another user.
        return False
    # This one's number, but of a process before it.
    return owner["pid"] == os.getpid() and owner["run"] not in _held_here


class LockObject:
    """The requests for one lock object, each of which depends on the object's generation."""

    def __init__(self, path: Path) -> None:
        self._path, self._files = path, file_system(path)
        self._bucket, self._name = split(path)

    def read(self) -> Taken | None:
        """The object, or None if there is none."""
        place = ("b/{}/o/{}", self._bucket, self._name)
        try:
            headers, about = self._files.call("GET", *place)
            found = json.loads(about)
            _, owner = self._files.call("GET", *place, alt="media")
        except FileNotFoundError:
            return None
        now = email.utils.parsedate_to_datetime(headers["Date"])
        age = (now - datetime.fromisoformat(found["updated"])).total_seconds()
        try:
            content = dict(json.loads(owner))
        except (ValueError, TypeError):
            content = {}
        return Taken(found["generation"], age, content, is_copy=not owner)

    def write(self, owner: dict[str, Any], generation: str) -> str | None:
        """Replaces that generation, "0" for none; the new one, or None if it was another one."""
        try:
            made = write_bytes(self._path, json.dumps(owner).encode(), ifGenerationMatch=generation)
        except FileExistsError:
            # Or the answer to such a request, a moment ago, was lost.
            there = self.read()
            ours = there and there.owner.get("run") == owner["run"]
            return there.generation if there and ours else None
        return made["generation"]

    def remove(self, generation: str) -> None:
        """Removes that generation, if it is there."""
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            self._files.call(
                "DELETE", "b/{}/o/{}", self._bucket, self._name, ifGenerationMatch=generation
            )


class Lease:
    """A lock object that this process holds and a thread renews."""

    def __init__(self, lock: LockObject, owner: dict[str, Any], generation: str, place: Path):
        self._lock, self._owner, self._place = lock, owner, place
        self._generation: str | None = generation
        self._renewed = time.clock_gettime(_CLOCK)
        self._one_at_a_time = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew_regularly, daemon=True)
        self._thread.start()

    def _renew(self, after: float = 0) -> None:
        """Renews the lease if the last time is so many seconds ago."""
        with self._one_at_a_time:
            since = time.clock_gettime(_CLOCK)
            if self._generation is not None and since >= self._renewed + after:
                self._owner["renewed"] += 1
                self._generation = self._lock.write(self._owner, self._generation)
                self._renewed = since

    def _renew_regularly(self) -> None:
        while not self._ended.wait(RENEW_SECONDS):
            # The bucket may be out of reach for a while; `check` says so where it matters.
            with contextlib.suppress(Exception):
                self._renew()

    def check(self) -> None:
        """Renews the lease, unless it was renewed so recently that it cannot be stale.

        Raises:
          UserError: another run has taken the folder over.
        """
        self._renew(after=STALE_SECONDS / 4)
        if self._generation is None:
            raise UserError(
                f"Another run took over {self._place} while this one gave no sign of life for "
                f"{STALE_SECONDS} seconds: this one ends."
            )

    def release(self) -> None:
        """Stops the thread and removes the object, if it is still held."""
        self._ended.set()
        self._thread.join()
        # A bucket that cannot be reached leaves a lock that goes stale.
        with self._one_at_a_time, contextlib.suppress(Exception):
            if self._generation is not None:
                self._lock.remove(self._generation)


def _take(lock: LockObject, owner: dict[str, Any], when_taken: Callable[[], None]) -> str:
    """The generation of the object, made by this owner; waits for one that may be stale."""
    watched: Taken | None = None
    while True:
        if (made := lock.write(owner, "0")) is not None:
            return made
        found = lock.read()
        if found is None:
            continue  # Released just now.
        if found.age > STALE_SECONDS or found.is_copy or is_gone(found.owner):
            if (made := lock.write(owner, found.generation)) is not None:
                return made
            continue
        if watched and watched.generation != found.generation:
            when_taken()  # It is alive.
        if watched is None:
            LOGGER.info(
                f"another run, on {found.owner.get('host', 'an unknown host')}, used this folder "
                f"{found.age:.0f} s ago: waiting up to {STALE_SECONDS} s to see whether it still "
                f"does"
            )
        watched = found
        time.sleep(2)


@contextlib.contextmanager
def held(path: Path, when_taken: Callable[[], None]) -> Iterator[Lease]:
    """Holds the lock object at `path`.

    Args:
      path: of the object, in a bucket.
      when_taken: called, and must raise, if another process holds it and is alive.
    """
    lock = LockObject(path)
    owner: dict[str, Any] = {
        "host": socket.gethostname(),
        "machine": machine(),
        "pid": os.getpid(),
        "run": uuid.uuid4().hex,
        "renewed": 0,
    }
    lease = Lease(lock, owner, _take(lock, owner, when_taken), path.parent)
    _held_here.add(owner["run"])
    try:
        yield lease
    finally:
        lease.release()
        _held_here.remove(owner["run"])
