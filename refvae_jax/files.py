"""Files that are whole or not there: atomic writes, JSON, appended lines, locks, caches.

with atomic(path) as temporary:
    temporary.write_text("all or nothing")
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock
import platformdirs


def user_path(text: str | Path) -> Path:
    """The Path of what a user wrote; `~` is the home folder, which no shell fills in after `=`."""
    return Path(os.path.expanduser(text))  # Path.expanduser raises for a user that is not there.


@contextlib.contextmanager
def naming(path: str | Path, instead_of: str | Path | None = None) -> Iterator[None]:
    """Adds the path to OSErrors that name none, as those of a failed write.

    Args:
      path: to name.
      instead_of: a temporary path that users do not know.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(instead_of)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _beside(path: Path) -> Path:
    """A temporary path in the same folder, of this process."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`, which replaces it if the block succeeds.

    Creates the folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        with naming(path, instead_of=temporary):
            yield temporary
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # Not there, or what went wrong before.
            temporary.unlink()


def check_writable(path: Path) -> None:
    """Raises OSError unless a file can be written at `path`; creates the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    with naming(path, instead_of=temporary):
        temporary.touch()
        temporary.unlink()


def write_json(value: Any, path: str | Path) -> None:
    """Writes a JSON file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def append_json_line(row: dict[str, Any], path: str | Path) -> None:
    """Adds one JSON line, out of this process's hands before it returns: a kill cannot lose it."""
    with naming(path), open(path, "a") as file:
        file.write(json.dumps(row) + "\n")


def read_json_lines(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl file; [] if there is no such file."""
    path = Path(path)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextlib.contextmanager
def locked(path: str | Path, when_taken: Callable[[], None]) -> Iterator[None]:
    """Holds a lock file; the system releases the lock of a dead process.

    Args:
      path: of the lock file; its folder must exist.
      when_taken: called if another process holds the lock; waits for it unless this raises.
    """
    lock = filelock.FileLock(path)
    with naming(path):
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            when_taken()
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def cache_folder(name: str) -> Path:
    """The user's folder for caches of this kind, such as ~/.cache/refvae_jax/data."""
    return platformdirs.user_cache_path("refvae_jax") / name
