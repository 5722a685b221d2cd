"""Images in a bucket, fetched to the local disk before they are decoded.

folder = fetch("gs://bucket/images", root)    # root/bucket/images, as it is in the bucket now
digest(listing("gs://bucket/images"))         # changes when the images do
data_dir = fetch_tfds("gs://bucket/tfds", "mnist", root)    # root/bucket/tfds, with that set
digest(tfds_listing("gs://bucket/tfds", "mnist"))

Each host fetches for itself. Objects that are there as they were last time are not fetched again.
"""

import contextlib
import functools
import hashlib
import json
import sys
from pathlib import Path

from refvae_jax import buckets
from refvae_jax.console import LOGGER
from refvae_jax.data.readers.scan import FACTORS_FILE, SUFFIXES
from refvae_jax.errors import UserError
from refvae_jax.files import write_json

FETCHED = "buckets"  # The folder of the user's cache that all of them are fetched into.
_INDEX = ".fetched.json"  # {name: mark}; hidden, so it is no part of the folder of images.
_AT_A_TIME = 1_000  # Objects between two notes of what is there.


@functools.cache
def listing(address: str) -> dict[str, str]:
    """{relative name: mark} of the images and factors.csv below an address, in fixed order.

    The mark of an object changes with its content. Asked once per process: of a large folder it
    takes a request for each thousand objects.

    Raises:
      UserError: there is no such bucket, or it may not be read.
    """
    marks = _marks(address)
    is_image = {name: name.lower().endswith(SUFFIXES) for name in marks}
    return {name: marks[name] for name in marks if is_image[name] or name == FACTORS_FILE}


@functools.cache
def tfds_listing(data_dir: str, name: str) -> dict[str, str]:
    """As `listing`, of a set in a TFDS data directory; arguments as of `fetch_tfds`."""
    name, _, version = name.partition(":")
    marks = _marks(f"{data_dir.rstrip('/')}/{name}")
    return {n: mark for n, mark in marks.items() if not version or version in n.split("/")}


def _marks(address: str) -> dict[str, str]:
    """As `listing`, of all objects that are not hidden."""
    path = buckets.bucket_path(address)
    buckets.check_reachable(path)
    return {
        name: f"{info['size']} {info.get('md5Hash') or info['generation']}"
        for name, info in buckets.details_below(path).items()
        if not _is_hidden(name)
    }


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def digest(marks: dict[str, str]) -> str:
    """Changes when one of the listed objects is added, removed or replaced by another one."""
    return hashlib.sha256(json.dumps(marks).encode()).hexdigest()


def fetch(address: str, root: Path) -> Path:
    """Makes a folder below `root` that holds what a folder in a bucket holds; returns its path.

    Raises:
      UserError: there are no images, or as of `listing`.
      OSError: the local disk cannot be written.
    """
    marks = listing(address)
    if not marks:
        raise UserError(f"{address} holds no images ({', '.join(s[1:] for s in SUFFIXES)}).")
    return _fetch(address, marks, root)


def fetch_tfds(data_dir: str, name: str, root: Path) -> Path:
    """Makes a TFDS data directory below `root` that holds a set as a bucket's directory does.

    Args:
      data_dir: the directory, gs://BUCKET/FOLDER.
      name: of the set, as TFDS takes it: NAME, NAME:VERSION or NAME/CONFIG:VERSION.
      root: of the local disk.

    Returns:
      The local directory. A set that the bucket lacks is not there either: TFDS will prepare it.

    Raises:
      UserError, OSError: as of `fetch`.
    """
    marks = tfds_listing(data_dir, name)
    name = name.partition(":")[0]
    folder = root / "/".join(buckets.split(data_dir))
    if marks:
        _fetch(f"{data_dir.rstrip('/')}/{name}", marks, root)
    else:
        LOGGER.info(f"{data_dir} holds no {name}: it is prepared in {folder}")
    return folder


def _fetch(address: str, marks: dict[str, str], root: Path) -> Path:
    """Makes `root`/BUCKET/FOLDER hold the objects of these marks, and no others of before."""
    from tqdm import tqdm

    folder = root / "/".join(buckets.split(address))
    have: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        have = json.loads((folder / _INDEX).read_text())
    for name in have.keys() - marks.keys():
        (folder / name).unlink(missing_ok=True)
    have = {name: mark for name, mark in have.items() if marks.get(name) == mark}
    missing = [name for name in marks if name not in have or not (folder / name).is_file()]
    # None: shown if stderr is a terminal.
    with tqdm(total=len(missing), desc=f"Fetching {address}", file=sys.stderr, disable=None) as bar:
        for start in range(0, len(missing), _AT_A_TIME):
            names = missing[start : start + _AT_A_TIME]
            buckets.download(names, buckets.bucket_path(address), folder)
            have |= {name: marks[name] for name in names}
            write_json(have, folder / _INDEX)
            bar.update(len(names))
    write_json(have, folder / _INDEX)
    return folder
