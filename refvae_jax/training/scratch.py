"""Folders on the local disk for what is on its way to a bucket, or from there.

with scratch_folder() as folder: ...    # in $TMPDIR, removed at the end

A process that is killed leaves its folders, with a whole checkpoint perhaps: the next one on the
same machine that needs such a folder removes them.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from refvae_jax.bucket_lock import machine


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Gives a new folder and removes it at the end, and before that those of dead processes."""
    # By machine too: containers may share the disk, but not the numbers of their processes.
    prefix = f"refvae-{hashlib.sha256(machine().encode()).hexdigest()[:8]}-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if _is_dead(left.name.removeprefix(prefix).partition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)  # Or it is another user's.
    with tempfile.TemporaryDirectory(prefix=f"{prefix}{os.getpid()}-") as folder:
        yield Path(folder)


def _is_dead(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:  # Of another user.
        return False
    return False
