"""Which images a folder holds, which splits they make and which class each is of.

    DIR/<class>/**                          one pool, from which all splits are taken
    DIR/{train,validation,test}/<class>/**  splits; validation (or val) and test may be missing
    DIR/{reference,unlabelled}/**           both may have class folders, for scoring only

`<class>` is the group in the group setting. With a reference class, the images of that class in
train are the reference and the other splits do without it.
"""

from pathlib import Path
from typing import NamedTuple

from refvae_jax.data.readers.scan import SUFFIXES, scan
from refvae_jax.errors import UserError, did_you_mean

SPLITS = ("train", "validation", "test")
SPLIT_OF = {name: name for name in SPLITS} | {"val": "validation"}  # Folder -> split.
Parts = tuple[str, ...]  # Of a path: folders and a name.


class File(NamedTuple):
    """An image of a folder."""

    path: str  # Relative to the folder, with forward slashes.
    kind: str  # Its class, "" if it has none.


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
    paths = [tuple(path.split("/")) for path in scan(folder).files]
    if not paths:
        raise UserError(f"{folder} holds no images ({', '.join(s[1:] for s in SUFFIXES)}).")
    tops = {path[0] for path in paths if len(path) > 1}
    if tops & {"reference", "unlabelled"}:
        return _two_sets(folder, paths, tops, reference_class)
    if "train" in tops and tops <= SPLIT_OF.keys() and not {"validation", "val"} <= tops:
        splits = {SPLIT_OF[top]: _files(paths, top) for top in SPLIT_OF if top in tops}
    else:
        _check_no_splits(folder, paths, tops)
        inside = [path for path in paths if len(path) > 1]
        splits = {"train": [_file(path, 0) for path in inside or paths]}
    return _divide_reference(folder, splits, reference_class) if reference_class else splits


def _check_no_splits(folder: Path, paths: list[Parts], tops: set[str]) -> None:
    """Raises UserError if folders that are to be classes hold classes themselves, like splits."""
    for top in sorted(tops & SPLIT_OF.keys()):
        if any(path[0] == top and len(path) > 2 for path in paths):
            others = ", ".join(f"{name}/" for name in sorted(tops - {top})) or "no other folder"
            raise UserError(
                f"{folder} has {top}/ with folders in it, as a split has, beside {others}: keep "
                f"train/, validation/ and test/ only, or class folders only."
            )


def _file(path: Parts, depth: int) -> File:
    """The class is the name of the folder at that depth."""
    return File("/".join(path), path[depth] if len(path) > depth + 1 else "")


def _files(paths: list[Parts], top: str) -> list[File]:
    return [_file(path, 1) for path in paths if path[0] == top and len(path) > 1]


def _two_sets(
    folder: Path, paths: list[Parts], tops: set[str], reference_class: str
) -> dict[str, list[File]]:
    missing = {"reference", "unlabelled"} - tops
    if missing:
        raise UserError(
            f"{folder} has images in one of reference/ and unlabelled/ only: put some into "
            f"{missing.pop()}/."
        )
    others = sorted(tops - {"reference", "unlabelled"})
    if others:
        raise UserError(
            f"{folder} has {others[0]}/ beside reference/ and unlabelled/, and nothing says what "
            f"its images are: move it out of there, or into unlabelled/."
        )
    if reference_class:
        raise UserError(
            f"{folder} has a folder reference/ already: leave --config.data.reference_class out."
        )
    return {"train": _files(paths, "unlabelled"), "reference": _files(paths, "reference")}


def _divide_reference(
    folder: Path, splits: dict[str, list[File]], reference_class: str
) -> dict[str, list[File]]:
    kinds = sorted({file.kind for file in splits["train"]})
    if reference_class not in kinds:
        raise UserError(
            f"{folder} has no class folder '{reference_class}' to take as the reference, but "
            f"{', '.join(kinds)}.{did_you_mean(reference_class, kinds)}"
        )
    chosen = [f._replace(kind="") for f in splits["train"] if f.kind == reference_class]
    others = {
        split: [file for file in files if file.kind != reference_class]
        for split, files in splits.items()
    }
    return others | {"reference": chosen}
