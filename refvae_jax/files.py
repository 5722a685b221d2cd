"""Files that are whole or not there: atomic writes, JSON, appended lines, locks, caches.

with atomic(path) as temporary:
    temporary.write_text("all or nothing")

Where a path is asked for, it may be one of a bucket, as `user_path` makes it.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import platformdirs

from refvae_jax import buckets
from refvae_jax.buckets import is_bucket


def user_path(text: str | Path) -> Path:
    """The path of what a user wrote: of a file here, or of gs://BUCKET/FOLDER in a bucket.

    `~` is the home folder, which no shell fills in after `=`.

    Raises:
      UserError: it is an address of another kind, or gcsfs, which reads buckets, is missing.
    """
    buckets.check_scheme(str(text))
    if is_bucket(text):
        return buckets.bucket_path(text)
    return Path(os.path.expanduser(text))  # Path.expanduser raises for a user that is not there.


def as_path(path: str | Path) -> Path:
    """The path as an object, of a bucket too; "~" is no more than a name here."""
    return buckets.bucket_path(path) if is_bucket(path) else Path(path)


def full_path(text: str | Path) -> Path:
    """The one path that a file has whatever it is called by: absolute, links followed."""
    path = user_path(text)
    return path if is_bucket(path) else path.resolve()


def exists(path: Path) -> bool:
    """Whether it is there; False where that cannot be seen."""
    return path.exists() if is_bucket(path) else os.path.exists(path)


def is_dir(path: Path) -> bool:
    """Whether it is a folder; False where that cannot be seen."""
    return path.is_dir() if is_bucket(path) else os.path.isdir(path)


def subfolders(path: Path) -> list[Path]:
    """The folders directly in a folder, sorted; none where it is none itself."""
    if not is_dir(path):
        return []
    # An object beside them is no harm: nothing lies in it.
    return sorted(path.iterdir() if is_bucket(path) else path.glob("*/"))


def make_dir(path: Path) -> None:
    """Makes a folder and those around it, unless they are there; a bucket needs none."""
    if not is_bucket(path):
        path.mkdir(parents=True, exist_ok=True)


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

    Creates the folder. For a bucket the temporary path is on the local disk.
    """
    path = as_path(path)
    if is_bucket(path):
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder, path.name)
            buckets.upload({path.name: Path(folder, path.name)}, path.parent)
        return
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
    """Raises OSError unless a file can be written at `path`; creates the folder.

    Raises:
      UserError: it is in a bucket that cannot be reached.
    """
    if is_bucket(path):
        buckets.check_reachable(path)
    make_dir(path.parent)
    temporary = _beside(path)
    with naming(path, instead_of=temporary):
        temporary.write_bytes(b"")
        temporary.unlink()


def check_appendable(path: Path) -> None:
    """Raises OSError unless lines can be added to the file at `path`, which it creates here."""
    if is_bucket(path):
        return check_writable(path)
    with naming(path), path.open("a"):
        return None


def write_json(value: Any, path: str | Path) -> None:
    """Writes a JSON file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n")


def append_json_line(row: dict[str, Any], path: str | Path) -> None:
    """Adds one JSON line, out of this process's hands before it returns: a kill cannot lose it."""
    line = json.dumps(row) + "\n"
    path = as_path(path)
    if is_bucket(path):  # Objects cannot be appended to.
        before = path.read_bytes() if path.exists() else b""
        buckets.write_bytes(path, before + line.encode())
        return
    with naming(path), open(path, "a") as file:
        file.write(line)


def read_json_lines(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a .jsonl file; [] if there is no such file."""
    path = as_path(path)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@contextlib.contextmanager
def growing_array(
    path: Path, most: int, shape: tuple[int, ...], dtype: np.dtype
) -> Iterator[Callable[[np.ndarray], None]]:
    """Gives a function that adds rows, [b, *shape], to a new .npy file.

    Plain writes: a full disk raises OSError, where a memory map would kill the process.

    Args:
      path: of the file.
      most: rows that it may get.
      shape: of a row.
      dtype: of the array.
    """
    count = 0
    with open(path, "wb") as file:

        def write_header(rows: int) -> None:
            descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
            header = {"descr": descr, "fortran_order": False, "shape": (rows, *shape)}
            np.lib.format.write_array_header_1_0(file, header)

        def append(rows: np.ndarray) -> None:
            nonlocal count
            file.write(np.ascontiguousarray(rows, dtype).tobytes())
            count += len(rows)

        write_header(most)
        yield append
        file.seek(0)
        write_header(count)  # That of `most` rows has room for any smaller count.
        file.flush()
        os.fsync(file.fileno())


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


def never_lost() -> None:
    """What `bucket_lock.Lease.check` is for a local lock: no living process loses it."""


def cache_folder(name: str) -> Path:
    """The user's folder for caches of this kind, such as ~/.cache/refvae_jax/data."""
    return platformdirs.user_cache_path("refvae_jax") / name
