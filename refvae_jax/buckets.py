"""Folders in buckets of Google Cloud Storage, as paths: gs://BUCKET/FOLDER.

path = bucket_path("gs://bucket/run")   # has the methods of pathlib.Path that read and write
check_reachable(path)                   # or a sentence that says what is wrong
upload({"a.txt": Path("a.txt")}, path)

An object appears whole or not at all, and is never appended to or renamed. Requests that fail are
repeated for half a minute, those that nothing answers for four.
"""

import base64
import errno
import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from refvae_jax.errors import UserError, explain_disk_errors

# By default etils.epath reads buckets through TensorFlow, where that is installed: seconds to
# import, and other errors than those that are explained here. It asks once, at the first path.
os.environ.setdefault("EPATH_USE_TF", "false")
# Of kinds of buckets that need no other treatment here; it would ask the network for each bucket.
os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")

_SILENT = 30  # Seconds without a byte after which a request is given up, and repeated.
_FIRST = 60  # Seconds for the first request, repetitions included.
_LARGE = 2**24  # Bytes from which on an object is sent in parts of this size, a request each.
_SIDE_BY_SIDE = 8  # Uploads.
_SCHEME = "gs://"
_WRITE_THIS = "name a folder, or gs://BUCKET/FOLDER"
_MANGLED = re.compile(r"(gs|gcs|s3|az|hf|hdfs|https?|file):/(?!/)")


def is_bucket(path: str | os.PathLike) -> bool:
    """Whether a path is that of a bucket: one of pathlib never has two slashes in a row."""
    return str(path).startswith(_SCHEME)


def check_scheme(text: str) -> None:
    """Raises UserError for an address that is neither a local path nor gs://BUCKET/FOLDER."""
    if found := _MANGLED.match(text):
        raise UserError(f"{text} has one slash after {found[1]}:, not two: {_WRITE_THIS}.")
    scheme, found_scheme, rest = text.partition("://")
    if not found_scheme or "/" in scheme:
        return
    if scheme != "gs":
        raise UserError(f"{text} cannot be used, since {scheme}:// is unknown: {_WRITE_THIS}.")
    if not rest or rest.startswith("/"):
        raise UserError(f"{text} names no bucket: {_WRITE_THIS}.")


def split(path: str | os.PathLike) -> tuple[str, str]:
    """(BUCKET, FOLDER/NAME) of gs://BUCKET/FOLDER/NAME, the second of which may be empty."""
    bucket, _, name = str(path).removeprefix(_SCHEME).partition("/")
    return bucket, name


def bucket_path(text: str | os.PathLike) -> Path:
    """The path of gs://BUCKET/FOLDER.

    It is an `etils.epath.Path`, which has the methods of pathlib's but `absolute` and `resolve`;
    `mkdir` is not needed, and `rename` and `open("a")` must not be used.

    Raises:
      UserError: it is another address, or gcsfs is not installed.
    """
    check_scheme(str(text))
    file_system(text)
    from etils import epath

    return cast(Path, epath.Path(text))


def file_system(path: str | os.PathLike) -> Any:
    """The gcsfs.GCSFileSystem of all buckets.

    Raises:
      UserError: it is not installed.
    """
    try:
        import aiohttp
        import fsspec
        import gcsfs  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"{path} is in a bucket, and reading those needs gcsfs: run `pip install gcsfs`, or "
            f"install this package with its extra [gcs]."
        ) from error
    # For epath, too. A listing that was kept would hide what another process writes.
    silent = aiohttp.ClientTimeout(sock_connect=_SILENT, sock_read=_SILENT)
    settings = {"use_listings_cache": False, "requests_timeout": silent}
    for scheme in ("gs", "gcs"):
        fsspec.config.conf[scheme] = settings | fsspec.config.conf.get(scheme, {})
    # It prints a traceback for each error that it raises, and a warning where no account is found.
    for name in ("gcsfs", "google.auth"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return fsspec.filesystem("gs", finalize_on_close=True)


def check_reachable(path: Path) -> None:
    """Raises UserError, within two minutes, unless objects of the bucket can be listed."""
    files = file_system(path)
    bucket, folder = split(path)
    place = ("b/{}/o", bucket)
    with explain_disk_errors({}):
        try:
            files.call("GET", *place, prefix=f"{folder}/", maxResults=1, timeout=_FIRST)
        except FileNotFoundError as error:
            said = f"There is no bucket {bucket!r}: make it, or correct {path}."
            raise UserError(said) from error


def details_below(folder: Path) -> dict[str, dict[str, Any]]:
    """{name relative to the folder: what the bucket knows of it} of all objects below it, sorted.

    Without names that would lead out of a folder that they are copied to.
    """
    prefix = "/".join([*filter(None, split(folder)), ""])
    found = file_system(folder).find(str(folder), detail=True)
    details = {name.removeprefix(prefix): found[name] for name in sorted(found)}
    return {name: info for name, info in details.items() if ".." not in name.split("/")}


def files_below(folder: Path) -> list[str]:
    """The names, relative to the folder, of all objects below it, sorted."""
    return list(details_below(folder))


def write_bytes(path: Path, content: bytes, **conditions: str) -> dict[str, Any]:
    """Writes one object in one request; returns what the bucket knows of it then.

    Args:
      path: of the object.
      content: its bytes.
      conditions: of the request, such as ifGenerationMatch="0": only if there is none.

    Raises:
      FileExistsError: a condition does not hold.
      OSError: the bucket received other bytes.
    """
    files = file_system(path)
    bucket, name = split(path)
    # The bytes as they are: gcsfs itself puts them between lines of MIME, and a server may take a
    # carriage return at their end for a part of the line that follows.
    _, answer = files.call(
        "POST",
        f"{files.base.replace('/storage/', '/upload/storage/')}b/{bucket}/o",
        uploadType="media",
        name=name,
        headers={"Content-Type": "application/octet-stream"},
        data=content,
        **conditions,
    )
    made = json.loads(answer)
    md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    if made.get("md5Hash", md5) != md5:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
    return made


def upload(
    files: Mapping[str, Path], folder: Path, check_ours: Callable[[], None] = lambda: None
) -> None:
    """Writes {relative name: local file} below a folder of a bucket, side by side.

    Args:
      files: that nobody writes to meanwhile.
      folder: in a bucket.
      check_ours: called before each file; no other is begun once it has raised.
    """

    def put(name: str) -> None:
        check_ours()
        if files[name].stat().st_size < _LARGE:
            write_bytes(folder / name, files[name].read_bytes())
        else:
            file_system(folder).put_file(str(files[name]), f"{folder}/{name}", chunksize=_LARGE)

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        for _ in pool.map(put, files):
            pass


def download(names: Iterable[str], folder: Path, into: Path) -> None:
    """Reads objects, named relative to a folder of a bucket, to the same names below `into`."""
    names = list(names)
    for parent in {(into / name).parent for name in names}:
        parent.mkdir(parents=True, exist_ok=True)
    if names:
        targets = [str(into / name) for name in names]
        file_system(folder).get([f"{folder}/{name}" for name in names], targets)


def delete(folder: Path, first: str) -> None:
    """Removes all objects below a folder, that of the name `first` before the others."""
    files, names = file_system(folder), files_below(folder)
    for some in ([n for n in names if n == first], [n for n in names if n != first]):
        if some:
            files.rm([f"{folder}/{name}" for name in some])


def move(folder: Path, target: Path, first: str) -> None:
    """Copies all objects below a folder to another one, and then deletes them as `delete` does."""
    names = files_below(folder)
    for name in names:
        file_system(folder).cp_file(f"{folder}/{name}", f"{target}/{name}")
    delete(folder, first)
