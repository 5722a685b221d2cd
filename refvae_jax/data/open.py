"""Opens a data set, whichever way it is stored: in a folder of images, in arrays or by TFDS.

source = Source(name="mnist", data_dir="/data", split="train", resolution=32)
reader = open_source(source, spare_dir, fetched_dir)
for rows, images in reader.batches(): ...
"""

import functools
from pathlib import Path

from refvae_jax.buckets import is_bucket
from refvae_jax.console import LOGGER
from refvae_jax.data.readers import bucket_folder
from refvae_jax.data.readers.array_files import state_of
from refvae_jax.data.readers.arrays import open_array_set
from refvae_jax.data.readers.folder import open_folder
from refvae_jax.data.readers.scan import scan
from refvae_jax.data.readers.source import ARRAYS_DATASET, FOLDER_DATASET, Reader, Source
from refvae_jax.data.readers.tfds import open_set
from refvae_jax.errors import UserError


def open_source(source: Source, spare_dir: Path, fetched_dir: Path) -> Reader:
    """Finds a data set, prepares it if need be, and checks that it can be used.

    Args:
      source: what to read.
      spare_dir: where the package's own sets are prepared if source.data_dir is read-only.
      fetched_dir: where images in a bucket are fetched to.

    Raises:
      UserError: if the set or its split is unknown, cannot be prepared or is empty, or does not
        have the features asked for; while reading, if too many images cannot be used.
      OSError: if the disk is full or read-only.
    """
    if source.name == FOLDER_DATASET and is_bucket(source.data_dir):
        folder = bucket_folder.fetch(source.data_dir, fetched_dir)
        reader = open_folder(source._replace(data_dir=str(folder)))
        return reader._replace(data_path=source.data_dir)
    if source.name == FOLDER_DATASET:
        return open_folder(source)
    if source.name == ARRAYS_DATASET:
        return open_array_set(source)
    if source.value_range:
        raise UserError(f"data.value_range is of own images, and {source.name} is a set: drop it.")
    _register_builders()
    if is_bucket(source.data_dir):
        folder = bucket_folder.fetch_tfds(source.data_dir, source.name, fetched_dir)
        source = source._replace(data_dir=str(folder))
    return open_set(source, spare_dir)


def _register_builders() -> None:
    """Lets TFDS know the builders of this package; late, because TFDS takes seconds to import."""
    from refvae_jax.data.builders import affectnet, cars3d, digits5k, reference_mnist  # noqa: F401


def fingerprint(name: str, data_dir: str, data_path: str) -> str | None:
    """Returns a text that changes when the data do; None if they are gone or out of reach.

    Args:
      name: of the set.
      data_dir: as of its Source.
      data_path: as of its Reader.
    """
    if is_bucket(data_dir):
        return _fingerprint_in_bucket(name, data_dir)
    try:
        if name == FOLDER_DATASET:
            return scan(Path(data_path)).digest
        if name == ARRAYS_DATASET:
            return state_of(Path(data_path))
        info = Path(data_path, "dataset_info.json").stat()
    except OSError:
        return None  # A cache outlives the data that it was made from.
    return f"{info.st_size} {info.st_mtime_ns}"


@functools.cache  # So a bucket that is out of reach is waited for once per process.
def _fingerprint_in_bucket(name: str, data_dir: str) -> str | None:
    try:
        if name == FOLDER_DATASET:
            return bucket_folder.digest(bucket_folder.listing(data_dir))
        return bucket_folder.digest(bucket_folder.tfds_listing(data_dir, name))
    except UserError as error:
        LOGGER.warning(f"{error} Until then the images that were decoded before are used.")
        return None
