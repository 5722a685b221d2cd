"""What evaluation would compute again for every run, kept on disk for runs that share it all.

path = path_of("judges", settings, *arrays)     # for these, this code and this machine
keep(path, lambda file: np.savez(file, *leaves), "the judges")
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import jax
import numpy as np

from refvae_jax.console import LOGGER
from refvae_jax.files import atomic, cache_folder
from refvae_jax.training.launches import code_digest, library_versions

KEPT = 50  # Files of a folder; the oldest go.


def path_of(folder: str, settings: Any, *arrays: np.ndarray) -> Path:
    """The file, in a folder of the user's cache, of what depends on these, see `digest`."""
    return cache_folder(folder) / digest(settings, *arrays)


def digest(settings: Any, *arrays: np.ndarray) -> str:
    """24 letters that differ if the settings, the arrays, the code or the machine do.

    Args:
      settings: ready for JSON.
      arrays: of any shapes and types.
    """
    device = jax.devices()[0]
    here = [platform.node(), device.platform, device.device_kind, platform.machine()]
    # Numbers of another compiler, or of the same one told otherwise, may be rounded otherwise.
    told = {name: repr(value) for name, value in jax.config.values.items() if "cache" not in name}
    shapes = [(array.shape, str(array.dtype)) for array in arrays]
    flags = os.environ.get("XLA_FLAGS")
    everything = [settings, code_digest(), library_versions(), here, told, flags, shapes]
    found = hashlib.sha256(json.dumps(everything, sort_keys=True).encode())
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()[:24]


def keep(path: Path, write: Callable[[IO[bytes]], Any], what: str) -> None:
    """Writes a file by write(file), and removes the oldest beside it; warns where it cannot."""
    try:
        with atomic(path) as temporary, temporary.open("wb") as file:
            write(file)
        files = sorted(path.parent.glob("[!.]*"), key=lambda file: file.stat().st_mtime)
        for old in files[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError as error:
        LOGGER.warning(f"{what} cannot be kept for the next evaluation: {error}")
