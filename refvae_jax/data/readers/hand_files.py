"""The files that a data set is prepared from, which users may fetch by hand.

TFDS, and our builders, look for them by name in downloads/manual of the data directory, else among
earlier downloads, else on the network.
"""

import contextlib
import hashlib
import json
import socket
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from refvae_jax.data.readers.source import MANUAL_DIR

_LISTED = 12  # Files named in a message.


class HandFile(NamedTuple):
    """A file that a set is prepared from."""

    path: Path  # Where it belongs if it is fetched by hand.
    url: str
    size: int | None  # In bytes; None if it is not known.
    sha256: str | None


def needed(builder: Any) -> list[HandFile]:
    """The files that a builder, or one of its configs, is prepared from."""
    folder = Path(builder.data_dir_root) / MANUAL_DIR
    files = {
        info.filename: HandFile(folder / info.filename, url, int(info.size), info.checksum)
        for url, info in (builder.url_infos or {}).items()
        if _is_named(info)
    }
    for name, url in getattr(builder, "ARCHIVES", {}).items():
        files[name] = HandFile(folder / name, url, None, None)
    return [files[name] for name in sorted(files)]


def _is_named(info: Any) -> bool:
    """Whether TFDS knows the name of a file; it looks for no others in downloads/manual."""
    return bool(getattr(info, "filename", None))


def _downloaded(builder: Any) -> set[str]:
    """The URLs of earlier downloads."""
    folder = Path(builder.data_dir_root, "downloads")
    urls: set[str] = set()
    # Older and newer versions of TFDS; without its .INFO TFDS does not use a download.
    for info in (*folder.glob("*.INFO"), *(folder / builder.name).rglob("*.INFO")):
        with contextlib.suppress(OSError, ValueError):
            urls |= set(json.loads(info.read_text()).get("urls", ()))
    return urls


def missing(builder: Any) -> list[HandFile]:
    """Those that are neither there nor downloaded before."""
    downloaded = _downloaded(builder)
    return [f for f in needed(builder) if not f.path.exists() and f.url not in downloaded]


def damage(file: HandFile) -> str:
    """What is wrong with a file fetched by hand, as a phrase; "" if nothing is known to be."""
    if not file.path.is_file() or file.sha256 is None:
        return ""
    size = file.path.stat().st_size
    if size != file.size:
        return f"{size:,} bytes instead of {file.size:,}"
    with file.path.open("rb") as opened:
        right = hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256
    return "" if right else "its SHA-256 is another one"


def damaged_message(builder: Any) -> str:
    """Which files fetched by hand are damaged, and what to do; "" if none is."""
    wrong = {file: phrase for file in needed(builder) if (phrase := damage(file))}
    if not wrong:
        return ""
    found = _listed([f"{file.path} ({phrase})" for file, phrase in wrong.items()])
    return (
        f"Damaged, or of another set than '{builder.name}': {found}. Fetch "
        f"{_names(list(wrong))} again from {_where(builder, list(wrong))}, and run this again."
    )


def advice(builder: Any) -> str:
    """Which files to put where, to be read after a colon; "" if that would not help."""
    folder = Path(builder.data_dir_root) / MANUAL_DIR
    files, absent = needed(builder), missing(builder)
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        instructions = " ".join(builder.MANUAL_DOWNLOAD_INSTRUCTIONS.split())
        return f"put what TFDS asks for into {folder} ({instructions}) and run this again"
    if not absent:
        return ""
    put = f"put {_names(files)} from {_where(builder, files)} into {folder}"
    if len(files) > 1:
        put += f", which lacks {_names(absent) if len(absent) < len(files) else 'all of them'},"
    return f"{put} and run this again"


def _names(files: list[HandFile]) -> str:
    return _listed([file.path.name for file in files])


def _listed(words: list[str]) -> str:
    """`a, b and c`, cut after _LISTED."""
    rest = [f"{len(words) - _LISTED} more"] if len(words) > _LISTED else []
    *first, last = [*words[:_LISTED], *rest]
    return f"{', '.join(first)} and {last}" if first else last


def _where(builder: Any, files: list[HandFile]) -> str:
    """The URL of a file, the one folder of several, or else the page of the set."""
    if len(files) == 1:
        return files[0].url
    folders = {file.url.removesuffix(file.path.name) for file in files}
    (folder,) = folders if len(folders) == 1 else ("",)
    return folder if folder.endswith("/") else builder.info.homepage


def check_reachable(builder: Any) -> None:
    """Raises ConnectionError if no missing file can be downloaded; TFDS would try for minutes."""
    absent = missing(builder)
    if len(builder.BUILDER_CONFIGS) > 1 and len(absent) < len(needed(builder)):
        return  # This config may need only those that are there.
    if builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        return  # All may be there, under names that TFDS does not list.
    nameless = {url for url, info in (builder.url_infos or {}).items() if not _is_named(info)}
    urls = {file.url for file in absent} | (nameless - _downloaded(builder))
    hosts = sorted({urlsplit(url).hostname or "" for url in urls} - {""})
    if not hosts or urllib.request.getproxies():
        return  # Nothing to download, or a proxy may serve it.
    for host in hosts:
        try:
            socket.getaddrinfo(host, 443)
        except OSError:
            continue
        return
    raise ConnectionError(f"no network: {hosts[0]} has no address")
