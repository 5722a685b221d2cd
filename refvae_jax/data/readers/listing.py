"""The images of a folder, their splits and their classes, from its layout.

    DIR/<class>/**                          one pool, from which all splits are taken
    DIR/{train,validation,test}/<class>/**  splits; validation (or val) and test may be missing
    DIR/{reference,unlabelled}/**           both may have class folders, for scoring only

`<class>` is the group in the group setting. With a reference class, its images in train become the
split "reference", and the class is left out of all other splits.
"""

from pathlib import Path
from typing import NamedTuple

from refvae_jax.data.readers.array_files import are_arrays, check_not_single
from refvae_jax.data.readers.scan import SUFFIXES, scan
from refvae_jax.data.readers.source import ARRAYS_DATASET
from refvae_jax.errors import UserError, did_you_mean

SPLITS = ("train", "validation", "test")
SPLIT_OF = {name: name for name in SPLITS} | {"val": "validation"}  # Folder -> split.
Parts = tuple[str, ...]  # A path in parts: folders and a name.


class File(NamedTuple):
    """An image of a folder."""

    path: str  # Relative to the folder, with forward slashes.
    class_name: str  # "" if it has none.


def list_splits(folder: Path, reference_class: str) -> dict[str, list[File]]:
    """Returns the files of each split that the folder has: some of SPLITS, and "reference".

    Args:
      folder: laid out as above.
      reference_class: the class whose images are the reference, "" if there is none.

    Raises:
      UserError: no images, or a layout that is none of these.
    """
    if not folder.is_dir():
        _check_no_arrays(folder)
        raise UserError(
            f"There is no folder {folder}: set --config.data.dir to that of the images."
        )
    paths = [tuple(path.split("/")) for path in scan(folder).files]
    if not paths:
        _check_no_arrays(folder)
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


def _check_no_arrays(path: Path) -> None:
    """Raises UserError if arrays were named in place of a folder of images."""
    check_not_single(path)
    if are_arrays(path):
        raise UserError(
            f"{path} holds arrays, not image files: set --config.data.name={ARRAYS_DATASET}."
        )


def _check_no_splits(folder: Path, paths: list[Parts], tops: set[str]) -> None:
    """Raises UserError if folders taken for classes hold folders themselves, as splits do."""
    for top in sorted(tops & SPLIT_OF.keys()):
        if any(path[0] == top and len(path) > 2 for path in paths):
            others = ", ".join(f"{name}/" for name in sorted(tops - {top})) or "no other folder"
            raise UserError(
                f"{folder} has {top}/ with folders in it, as a split has, beside {others}: keep "
                f"train/, validation/ and test/ only, or class folders only."
            )


def _file(path: Parts, depth: int) -> File:
    """The File of a path; its class is the folder at that depth."""
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
            f"{folder} has {others[0]}/ beside reference/ and unlabelled/, and it is unclear what "
            f"its images are: move it elsewhere, or into unlabelled/."
        )
    if reference_class:
        raise UserError(
            f"{folder} has a folder reference/ already: drop --config.data.reference_class."
        )
    return {"train": _files(paths, "unlabelled"), "reference": _files(paths, "reference")}


def _divide_reference(
    folder: Path, splits: dict[str, list[File]], reference_class: str
) -> dict[str, list[File]]:
    names = sorted({file.class_name for file in splits["train"]})
    if reference_class not in names:
        raise UserError(
            f"{folder} has no class folder '{reference_class}' to take as the reference."
            f"{did_you_mean(reference_class, names)}"
        )
    chosen = [f._replace(class_name="") for f in splits["train"] if f.class_name == reference_class]
    others = {
        split: [file for file in files if file.class_name != reference_class]
        for split, files in splits.items()
    }
    return others | {"reference": chosen}
