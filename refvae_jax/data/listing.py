"""Which images a folder holds, which splits they make and which class each is of.

    DIR/<class>/**                          one pool, from which all splits are taken
    DIR/{train,validation,test}/<class>/**  splits; validation and test may be missing
    DIR/{reference,unlabelled}/**           unlabelled may have class folders, for scoring only

`<class>` is the group in the group setting. With a reference class, the images of that class in
train are the reference and the other splits do without it.
"""

import difflib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from refvae_jax.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
SPLITS = ("train", "validation", "test")
FACTORS_FILE = "factors.csv"


class File(NamedTuple):
    """An image of a folder."""

    path: str  # Relative to the folder, with forward slashes.
    kind: str  # Its class, "" if it has none.


def walk(folder: Path) -> Iterator[os.DirEntry]:
    """Yields the images below a folder, and its factors.csv, through symbolic links too.

    Hidden files and folders are left out.

    Raises:
      UserError: a symbolic link that leads back to a folder around it, or a name not in UTF-8.
    """
    yield from _walk(folder, ())


def _walk(folder: Path, around: tuple[tuple[int, int], ...]) -> Iterator[os.DirEntry]:
    info = os.stat(folder)
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
        if entry.is_dir():
            yield from _walk(Path(entry.path), (*around, identity))
        elif entry.name.lower().endswith(SUFFIXES) or (entry.name == FACTORS_FILE and not around):
            yield entry


def digest(folder: Path) -> str:
    """Returns what changes when a file is added, removed or written.

    Raises:
      OSError: if the folder is gone.
    """
    total = hashlib.sha256()
    for entry in walk(folder):
        info = entry.stat()
        total.update(f"{entry.path}\n{info.st_size} {info.st_mtime_ns}\n".encode())
    return total.hexdigest()


def list_images(folder: Path) -> list[str]:
    """Returns the paths of all images, relative to the folder, in a fixed order."""
    paths = (Path(entry.path).relative_to(folder).as_posix() for entry in walk(folder))
    return [path for path in paths if path != FACTORS_FILE]


def list_splits(folder: Path, reference_class: str) -> dict[str, list[File]]:
    """Returns the files of each split that the folder has: some of SPLITS, and "reference".

    Args:
      folder: laid out as above.
      reference_class: the class whose images are the reference, "" if there is none.

    Raises:
      UserError: no images, or a layout that cannot be understood.
    """
    if not folder.is_dir():
        raise UserError(
            f"There is no folder {folder}: set --config.data.dir to that of the images."
        )
    paths = [Path(path) for path in list_images(folder)]
    if not paths:
        raise UserError(f"{folder} holds no images ({', '.join(s[1:] for s in SUFFIXES)}).")
    tops = {path.parts[0] for path in paths if len(path.parts) > 1}
    if tops & {"reference", "unlabelled"}:
        return _two_sets(folder, paths, tops, reference_class)
    if "train" in tops and tops <= set(SPLITS):
        splits = {top: _files(paths, top) for top in SPLITS if top in tops}
    else:
        inside = [path for path in paths if len(path.parts) > 1]
        splits = {"train": [_file(path, 0) for path in inside or paths]}
    return _divide_reference(folder, splits, reference_class) if reference_class else splits


def _file(path: Path, depth: int) -> File:
    """The class is the name of the folder at that depth."""
    return File(path.as_posix(), path.parts[depth] if len(path.parts) > depth + 1 else "")


def _files(paths: list[Path], top: str) -> list[File]:
    return [_file(path, 1) for path in paths if path.parts[0] == top and len(path.parts) > 1]


def _two_sets(
    folder: Path, paths: list[Path], tops: set[str], reference_class: str
) -> dict[str, list[File]]:
    missing = {"reference", "unlabelled"} - tops
    if missing:
        raise UserError(
            f"{folder} has images in one of reference/ and unlabelled/ only: put some into "
            f"{missing.pop()}/."
        )
    if reference_class:
        raise UserError(
            f"{folder} has a folder reference/ already: leave --config.data.reference_class out."
        )
    reference = [file._replace(kind="") for file in _files(paths, "reference")]
    return {"train": _files(paths, "unlabelled"), "reference": reference}


def _divide_reference(
    folder: Path, splits: dict[str, list[File]], reference_class: str
) -> dict[str, list[File]]:
    kinds = sorted({file.kind for file in splits["train"]})
    if reference_class not in kinds:
        near = difflib.get_close_matches(reference_class, kinds, n=1, cutoff=0.0)
        raise UserError(
            f"{folder} has no class folder '{reference_class}' to take as the reference: "
            f"did you mean '{near[0]}'?"
        )
    chosen = [f._replace(kind="") for f in splits["train"] if f.kind == reference_class]
    others = {
        split: [file for file in files if file.kind != reference_class]
        for split, files in splits.items()
    }
    return others | {"reference": chosen}
