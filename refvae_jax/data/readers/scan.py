"""Walks through a folder of images, once per process.

scan(folder).files  # ("anna/0.png", "anna/1.png", ...)
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from refvae_jax.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
FACTORS_FILE = "factors.csv"
_SETTLED = 2_000_000_000  # ns after which any further change shows in a folder's modification time.


class Scan(NamedTuple):
    """What a walk found: the images, and what shows later changes."""

    files: tuple[str, ...]  # Images, relative to the folder, with forward slashes, in fixed order.
    digest: str  # Changes when a file is added, removed or written.
    times: dict[str, int]  # Modification time of each folder, and of factors.csv, in ns.


_scans: dict[Path, Scan] = {}  # The last one of each folder in this process.


def scan(folder: Path) -> Scan:
    """Returns what is below a folder: images and its factors.csv, through symbolic links too.

    Hidden files and folders are left out. A run opens the folder for five splits or more, and
    looking at 200,000 files takes a second on a disk and minutes on a network, so one walk serves
    them all, unless files were added, removed or replaced, or factors.csv changed. An image
    overwritten in place is noticed by the next process.

    Raises:
      UserError: a symbolic link that leads back to a folder around it or to itself, or a name not
        in UTF-8.
      OSError: if the folder is gone.
    """
    known = _scans.get(folder)
    if known and _times(known.times) == known.times:
        return known
    now = time.time_ns()
    found = _scan(str(folder))
    if now - max(found.times.values()) > _SETTLED:
        _scans[folder] = found
    return found


def _times(paths: Iterable[str]) -> dict[str, int]:
    """Modification time in ns of each of the paths that still exist."""
    times = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            times[path] = os.stat(path).st_mtime_ns
    return times


def _scan(folder: str) -> Scan:
    total, files, times = hashlib.sha256(), [], {}
    prefix = len(os.path.join(folder, ""))
    for entry in _walk(folder, (), times):
        info = entry.stat(follow_symlinks=os.path.exists(entry.path))  # A link may lead nowhere.
        total.update(f"{entry.path}\n{info.st_size} {info.st_mtime_ns}\n".encode())
        path = entry.path[prefix:].replace(os.sep, "/")
        if path == FACTORS_FILE:
            times[entry.path] = info.st_mtime_ns
        else:
            files.append(path)
    return Scan(tuple(files), total.hexdigest(), times)


def _walk(
    folder: str, around: tuple[tuple[int, int], ...], times: dict[str, int]
) -> Iterator[os.DirEntry]:
    """Yields the files; adds each folder's time to `times`, read before its entries."""
    info = os.stat(folder)
    times[folder] = info.st_mtime_ns
    identity = (info.st_dev, info.st_ino)
    if identity in around:
        raise UserError(
            f"{folder} is a symbolic link to a folder that it lies in, so its images never end: "
            f"remove the link."
        )
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name.startswith((".", "__MACOSX")):
            continue
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            raise UserError(
                f"The name {os.fsencode(entry.name)!r} in {folder} is not in UTF-8: rename it."
            ) from None
        if _is_folder(entry):
            yield from _walk(entry.path, (*around, identity), times)
        elif entry.name.lower().endswith(SUFFIXES) or (entry.name == FACTORS_FILE and not around):
            yield entry


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        raise UserError(
            f"{entry.path} cannot be followed ({error.strerror}): remove or fix the link."
        ) from error
