"""Why a split has too few images, and which division of the set gives enough to all parts.

check_enough(rows, label, source, available, "the folder")
"""

from collections.abc import Collection

import numpy as np

from refvae_jax.data.readers.partition import HELD_OUT, parse, resolve, select
from refvae_jax.data.readers.source import ARRAYS_DATASET, Source
from refvae_jax.errors import UserError, counted

UNITS = ("members", "groups")
PERCENTS = range(5, 50, 5)  # Shares to hold out that are tried.


def check_enough(
    rows: np.ndarray, label: np.ndarray, source: Source, available: Collection[str], place: object
) -> None:
    """Raises UserError, with a division that works if there is one, for a split of too few images.

    That is none, or one of a test split that is held out: exchanging codes takes two.

    Args:
      rows: int [M], the images of the split.
      label: int [N], the groups of all images that it is taken from.
      source: names the split and how a set is divided.
      available: the splits that the set has.
      place: of these images, for messages.
    """
    held_out = resolve(source.split, available, source.hold_out, source.split_by) != source.split
    needed = 2 if held_out and source.split.partition("@")[0] == "test" else 1
    if len(rows) >= needed:
        return
    state = f"has {counted(len(rows), 'image')} and needs {needed}" if len(rows) else "is empty"
    start = f"Split '{source.split}' of {place} {state}:"
    if not len(label):
        left_out = [f"the class '{name}'" for name in source.exclude]
        left_out += [f"the reference class '{source.reference_class}'"] * bool(
            source.reference_class
        )
        beside = f" beside {', '.join(left_out)}" if left_out else ""
        raise UserError(
            f"{start} there are no images{beside}; put some there, or choose another split."
        )
    sizes = np.unique(label, return_counts=True)[1]
    have = (
        f"({counted(len(label), 'image')} in {counted(len(sizes), 'group')}, the largest of "
        f"{sizes.max()})"
    )
    if not held_out:
        raise UserError(
            f"{start} too few images for the shares behind the @ {have}; choose others, or add "
            f"images."
        )
    found = working_division(label, source, available)
    units = {"members": "the members of each group", "groups": "the groups"}[source.split_by]
    why = f"{start} too few images to hold out {source.hold_out:g} of {units} {have}"
    if found is None:
        raise UserError(f"{why}, and no other share works; {_what_is_enough(sizes, source.name)}.")
    unit, percent = found
    flags = f"--config.data.hold_out={percent / 100:g}"
    flags += f" --config.data.split_by={unit}" * (unit != source.split_by)
    raise UserError(f"{why}; set {flags}.")


def _what_is_enough(sizes: np.ndarray, dataset: str) -> str:
    """What can be divided; sizes: int [G], of the groups; dataset: data.name."""
    if len(sizes) == 1:
        return "put eight or more images there"
    advice = "put four or more images into each of four groups"
    if sizes.max() > 1:
        return advice
    in_arrays = dataset == ARRAYS_DATASET
    merge = "leave out the array `label`" if in_arrays else "put all images into one folder"
    return f"{advice}, or {merge} and set a method without groups, such as --config.method.name=vae"


def working_division(
    label: np.ndarray, source: Source, available: Collection[str]
) -> tuple[str, int] | None:
    """(unit, percent held out) with which all parts have enough images; None if there is none.

    Those that leave two groups to train on, one with two images, go before others; then comes what
    is near to the division that the source asks for.
    """
    units = sorted(UNITS, key=lambda unit: unit != source.split_by)
    percents = sorted(PERCENTS, key=lambda percent: abs(percent - 100 * source.hold_out))
    second_best = None
    for unit, percent in ((unit, percent) for unit in units for percent in percents):
        wanted = source._replace(hold_out=percent / 100, split_by=unit)
        if not _works(label, wanted, available):
            continue
        sizes = np.unique(_part(label, "train", wanted, available), return_counts=True)[1]
        if len(sizes) > 1 and sizes.max() > 1:
            return unit, percent
        second_best = second_best or (unit, percent)
    return second_best


def can_be_halved(label: np.ndarray) -> bool:
    """Whether probes can learn from half of the members of these groups, and test on the others.

    Args:
      label: int [N], the groups of the test images.
    """
    learn, test = (label[select(label, parse(f"@members[{p}]")[1])] for p in (":50%", "50%:"))
    sizes = np.unique(learn, return_counts=True)[1]
    return bool(sizes.max(initial=0) > 1 and np.isin(test, learn).sum() > 1)


def _part(label: np.ndarray, split: str, source: Source, available: Collection[str]) -> np.ndarray:
    """The groups of the images of a split that is taken from a set of groups `label`."""
    _, parts = parse(resolve(split, available, source.hold_out, source.split_by))
    return label[select(label, parts)]


def _works(label: np.ndarray, source: Source, available: Collection[str]) -> bool:
    """Whether a division gives all parts enough images to train on and to score with."""
    missing = [name for name in HELD_OUT if name not in available]
    names = dict.fromkeys(("train", *missing, source.split))
    parts = {name: _part(label, name, source, available) for name in names}
    test = parts.get("test")
    if not all(map(len, parts.values())) or (test is not None and len(test) < 2):
        return False
    if test is not None and (source.split_by == "groups" or "@" in source.split):
        return can_be_halved(test)
    return True
