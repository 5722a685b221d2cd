"""Finds and prepares TFDS's builders; a clear error where it cannot."""

import errno
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from refvae_jax.data.readers.hand_files import advice, check_reachable, damaged_message
from refvae_jax.data.readers.source import Source
from refvae_jax.errors import UserError, did_you_mean

_OFFLINE = ("digits5k", "reference_mnist")  # Our own sets that may need no download.
# Errors of the disk stay OSErrors; any other OSError of a download is the network's.
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def prepared_builder(tfds: ModuleType, source: Source, spare_dir: Path) -> Any:
    """The TFDS builder of a set, prepared if need be.

    Args:
      tfds: the module tensorflow_datasets.
      source: names the set.
      spare_dir: where sets that need no download are prepared if source.data_dir is read-only.

    Raises:
      UserError, OSError: see `open.open_source`.
    """
    builder = _find_builder(tfds, source)
    offline = builder.name in _OFFLINE
    if offline and not builder.is_prepared() and not _writable(source.data_dir):
        source = source._replace(data_dir=str(spare_dir))
        builder = _find_builder(tfds, source)
    if not builder.is_prepared():
        try:
            _prepare(tfds, builder, source)
        except UserError:
            builder = _find_builder(tfds, source)
            if not builder.is_prepared():  # Nor by another process at the same time.
                raise
    return builder


def _find_builder(tfds: ModuleType, source: Source) -> Any:
    base = source.name.split(":")[0].split("/")[0]
    try:
        return tfds.builder(source.name, data_dir=source.data_dir)
    except tfds.core.registered.DatasetNotFoundError:
        known = sorted(tfds.list_builders(with_community_datasets=False))
        raise UserError(
            f"There is no data set '{source.name}'.{did_you_mean(base, known)} Set "
            f"--config.data.name to a name that TFDS knows or to a set prepared in "
            f"{source.data_dir}."
        ) from None
    except (ValueError, AssertionError) as error:
        raise UserError(
            f"Data set '{source.name}' cannot be opened: set --config.data.name to NAME, "
            f"NAME:VERSION or NAME/CONFIG:VERSION. ({_reason(error)})"
        ) from error


def _writable(directory: str) -> bool:
    """Whether a directory, which need not exist yet, can be written."""
    path = Path(directory)
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    # Root may write anywhere, but a directory that is read-only for everyone is left alone.
    return os.access(existing, os.W_OK) and bool(existing.stat().st_mode & 0o222)


def _prepare(tfds: ModuleType, builder: Any, source: Source) -> None:
    if not _writable(builder.data_dir):
        raise UserError(
            f"Data set '{source.name}' is not prepared in {source.data_dir}, which is read-only: "
            f"set TFDS_DATA_DIR or --config.data.dir to a directory that holds it, or that can be "
            f"written to."
        )
    try:
        check_reachable(builder)
        tfds.display_progress_bar(sys.stderr.isatty())
        builder.download_and_prepare()
    except Exception as error:
        _close_progress_bars()
        if isinstance(error, UserError):  # From one of our builders, more precise.
            raise
        if failed := _disk_error(error, source.data_dir):
            raise failed from error
        if _is_ours(builder) and not isinstance(error, OSError | ValueError):
            raise  # A mistake in the builder, not in what it reads.
        raise UserError(
            damaged_message(builder)
            or f"Data set '{source.name}' is not in {source.data_dir} and could not be prepared: "
            f"{_advice(builder, source)}, or set TFDS_DATA_DIR or --config.data.dir to a directory "
            f"that holds it. ({_reason(error)})"
        ) from error


def _close_progress_bars() -> None:
    """Closes TFDS's bars, which would print themselves after the error message."""
    from tqdm import tqdm

    for bar in list(tqdm._instances):
        bar.close()


def _disk_error(error: Exception, data_dir: str) -> OSError | None:
    """An OSError that names a path if the disk failed; None after other errors."""
    code = error.errno if isinstance(error, OSError) else None
    # TFDS's own check, and what TensorFlow says of a failed write.
    if any(words in str(error) for words in ("Not enough disk space", os.strerror(errno.ENOSPC))):
        code = errno.ENOSPC
    if code not in _DISK_ERRORS:
        return None
    return OSError(code, os.strerror(code), getattr(error, "filename", None) or data_dir)


def _advice(builder: Any, source: Source) -> str:
    if files := advice(builder):
        return files
    if _is_ours(builder):
        return "run this once where that can be written"
    build = f"tfds build {source.name} --data_dir={source.data_dir}"
    return f"run `{build}` where it can be downloaded"


def _is_ours(builder: Any) -> bool:
    return type(builder).__module__.startswith("refvae_jax.")


def check_split(builder: Any, source: Source) -> None:
    """Raises UserError unless the set has the split, and images in it."""
    splits = builder.info.splits
    known = ", ".join(f"{name} ({info.num_examples})" for name, info in splits.items())
    try:
        count = splits[source.split].num_examples
    except (ValueError, KeyError, AssertionError) as error:
        raise UserError(
            f"Data set '{source.name}' has no split '{source.split}': set data.train_split, "
            f"data.validation_split and data.test_split to expressions like 'train[:90%]' over "
            f"{known}. ({_reason(error)})"
        ) from error
    if not count:
        raise UserError(
            f"Split '{source.split}' of data set '{source.name}' is empty: choose a range within "
            f"{known}."
        )


def _reason(error: Exception) -> str:
    """The error's type and the first line of its message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
