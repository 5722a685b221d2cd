"""The folder of one checkpoint, here or in a bucket: its digests, what is wrong with it, copies.

    checkpoints/<step>/**               what Orbax writes
    checkpoints/<step>/MANIFEST.json    {relative path: SHA-256} of those files

Here a folder is written beside its place and renamed into it. Nothing in a bucket can be renamed:
there the manifest is written last, and a folder without one is no checkpoint: its save was cut
short or, if METADATA is there, its manifest was lost.
"""

import contextlib
import errno
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from refvae_jax import buckets
from refvae_jax.buckets import is_bucket
from refvae_jax.files import naming
from refvae_jax.training.run_folder import CHECKPOINT_DIR, MANIFEST, steps
from refvae_jax.training.scratch import scratch_folder

METADATA = "_CHECKPOINT_METADATA"  # Orbax's; in a bucket written last but one.
_OF_DAMAGE = (errno.ENOENT, errno.ENOTDIR, errno.EIO)


def _digest(path: Path) -> str:
    """SHA-256 of a file; of Orbax's own metadata, without the time that the rename adds to it."""
    if path.name == METADATA:
        content = json.loads(path.read_text())
        content.pop("commit_timestamp_nsecs", None)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    """{relative path: digest} of every file below the folder but the manifest itself."""
    # Not there yet when the manifest is written.
    later = (folder / MANIFEST, folder / "commit_success.txt")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path not in later)
    return {str(path.relative_to(folder)): _digest(path) for path in files}


def write_manifest(folder: Path) -> None:
    """Writes the digests of all files of a local folder."""
    (folder / MANIFEST).write_text(json.dumps(_digests(folder)))


def damage(folder: Path) -> str:
    """What is wrong with a local folder, as a phrase; "" if every file is as written.

    Raises:
      OSError: of another kind than a missing file or a failing disk, so that nothing is known.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        found = _digests(folder)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in _OF_DAMAGE:
            raise
        return f"its files cannot be read ({type(error).__name__})"
    wrong = [n for n in sorted(manifest.keys() | found.keys()) if manifest.get(n) != found.get(n)]
    return f"{wrong[0]} is not as it was written" if wrong else ""


@contextlib.contextmanager
def local_copy(folder: Path) -> Iterator[Path]:
    """A checkpoint on the local disk: the folder itself, or a copy of one in a bucket.

    What the manifest lists is copied and nothing else, since an upload that was cut short may have
    left objects of the same step. What is missing is missing in the copy, too: see `damage`.

    Raises:
      OSError and others: the bucket cannot be read, or the local disk cannot be written.
    """
    if not is_bucket(folder):
        yield folder
        return
    with scratch_folder() as scratch:
        copy = scratch / CHECKPOINT_DIR / folder.name
        there = set(buckets.files_below(folder))
        # Only what is there decides what is damaged: an error on the way is raised.
        with naming(copy):
            buckets.download({MANIFEST} & there, folder, copy)
            buckets.download(sorted(_listed(copy) & there), folder, copy)
        yield copy


def _listed(folder: Path) -> set[str]:
    """The files that the manifest of a local folder lists; none if it is missing or damaged."""
    try:
        return set(json.loads((folder / MANIFEST).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return set()


def move_aside(folder: Path, target: Path) -> None:
    """Moves a checkpoint to another place, in the place of what is there."""
    if is_bucket(folder):
        buckets.delete(target, first=MANIFEST)
        buckets.move(folder, target, first=MANIFEST)
        return
    target.parent.mkdir(exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    folder.rename(target)


def remove(folder: Path) -> None:
    """Removes a checkpoint; where a kill may stop that, it is no checkpoint from the start."""
    if is_bucket(folder):
        buckets.delete(folder, first=MANIFEST)
    else:
        shutil.rmtree(folder)


def half_written(workdir: Path) -> list[Path]:
    """The folders of saves that a kill cut short, so that they were never committed."""
    root = workdir / CHECKPOINT_DIR
    if not is_bucket(workdir):
        return list(root.glob("*orbax-checkpoint-tmp*"))
    whole = set(map(str, steps(workdir)))
    names = {name.partition("/")[0] for name in buckets.files_below(root)}
    return [root / name for name in sorted(names - whole)]
