"""Parts of a split by its groups, written behind its name with an @.

    train@groups[:90%]           the images of nine tenths of the groups
    test@members[50%:]           the second half of the images of each group
    test@balanced                as many images of each group as the smallest one has
    train@groups[90%:]@balanced  one after the other

The split before the first @ is in TFDS's language. The groups and images of a part are a fixed
draw: [:90%] and [90%:] of the same split never overlap, in any run, and a larger share contains a
smaller one.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from refvae_jax.data.order import make_rng, place_in_group
from refvae_jax.errors import UserError

HELD_OUT = ("validation", "test")
_PART = re.compile(r"(groups|members)\[(?:(\d+)%)?:(?:(\d+)%)?\]|(balanced)")
_DRAW = 0  # The seed of the draw: changing it changes every data set that is divided by it.


class Part(NamedTuple):
    """One selection: from the share `start` to the share `stop` of `unit`."""

    unit: str  # "groups", "members" or "balanced".
    start: float
    stop: float


def parse(expression: str) -> tuple[str, list[Part]]:
    """Divides "BASE@PART@PART" into the split BASE and its Parts.

    Raises:
      UserError: if a part has another form.
    """
    base, *words = expression.split("@")
    return base, [_parse_part(word, expression) for word in words]


def _parse_part(word: str, expression: str) -> Part:
    found = _PART.fullmatch(word)
    start, stop = (0, 100) if not found else (int(found[2] or 0), int(found[3] or 100))
    if not found or not start < stop <= 100:
        raise UserError(
            f"The split '{expression}' cannot be read: after an @ write groups[:90%], "
            f"members[50%:] or balanced, with shares in whole percent."
        )
    return Part(found[1] or found[4], start / 100, stop / 100)


def select(labels: np.ndarray, parts: list[Part]) -> np.ndarray:
    """Returns the rows of a split that its Parts leave, in the order of the split.

    Args:
      labels: int [N], the group of each image of the split.
      parts: applied one after the other.

    Returns:
      int64 [M], increasing.
    """
    rows = np.arange(len(labels))
    for part in parts:
        rows = rows[_chosen(labels[rows], part)]
    return rows


def _chosen(labels: np.ndarray, part: Part) -> np.ndarray:
    """Returns bool [N]: the images that belong to a Part."""
    if part.unit == "groups":
        groups = make_rng(_DRAW, "groups").permutation(np.unique(labels))
        first, last = (round(share * len(groups)) for share in part[1:])
        return np.isin(labels, groups[first:last])
    place, size = place_in_group(labels, make_rng(_DRAW, part.unit))
    if part.unit == "balanced":
        return place < size.min(initial=len(labels))
    return (place >= np.rint(part.start * size)) & (place < np.rint(part.stop * size))


def resolve(expression: str, available: Collection[str], hold_out: float, unit: str) -> str:
    """Takes validation and test from train, where a data set lacks them.

    Train shrinks by as much. Expressions that slice, such as "train[:90%]", and sets that have both
    splits stay as they are.

    Args:
      expression: of a split.
      available: the splits that the data set has.
      hold_out: share of train that each missing split gets; 0 = none.
      unit: "groups" or "members": what is divided.

    Returns:
      The expression in terms of the available splits.
    """
    missing = [name for name in HELD_OUT if name not in available]
    base, at, rest = expression.partition("@")
    percent = round(100 * hold_out)
    if not percent or base not in ("train", *missing) or not missing or "train" not in available:
        return expression
    first = 100 - percent * len(missing)
    start = 0 if base == "train" else first + percent * missing.index(base)
    stop = first if base == "train" else start + percent
    return f"train@{unit}[{start}%:{stop}%]{at}{rest}"
