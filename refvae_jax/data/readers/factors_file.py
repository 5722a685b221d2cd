"""factors.csv: ground truth to score by, beside the images of a folder.

    path,azimuth,hair
    anna/0.png,12.5,black

The first column is the path relative to the folder. Each further one is a factor: continuous if all
its cells are numbers, categorical if most are words.
"""

import math
from collections.abc import Collection
from pathlib import Path

import numpy as np

from refvae_jax.data.readers.csv_lines import read_lines
from refvae_jax.data.readers.source import Factors, categorise, make_factors
from refvae_jax.errors import UserError

_TAKEN = ("label", "average")  # Of the class folders, and of the mean over all factors.


def no_factors(count: int) -> Factors:
    """The Factors of `count` images without ground truth."""
    return make_factors({}, {}, {}, count)


def read_factors(
    path: Path, wanted: list[str], *, needed: Collection[str], allowed: Collection[str]
) -> Factors:
    """Reads a factors.csv.

    Args:
      path: of the file.
      wanted: paths of the images whose factors are returned, in this order.
      needed: paths of the images that must have a row.
      allowed: those of the images that may have one.

    Returns:
      The Factors; without any factor if a wanted image, of those that need no row, has none.

    Raises:
      UserError: it is no CSV in UTF-8, rows and images do not match, a row has more or fewer
        cells than the first, or two columns have the same name, or one reserved for scores.
    """
    header, *lines = _read_table(path)
    row_of = {Path(line[0]).as_posix(): row for row, line in enumerate(lines)}
    _check_rows(path, row_of.keys(), len(lines), set(needed), set(allowed))
    if not row_of.keys() >= set(wanted):
        return no_factors(len(wanted))
    rows = np.array([row_of[name] for name in wanted], int)
    continuous, categorical, class_names = {}, {}, {}
    for place, name in enumerate(header[1:], 1):
        column = np.array([line[place] for line in lines])
        values = _as_numbers(column, path, name)
        if values is not None:
            continuous[name] = values[rows]
        else:
            classes, class_names[name] = categorise(column)
            categorical[name] = classes[rows]
    return make_factors(continuous, categorical, class_names, len(rows))


def _read_table(path: Path) -> list[list[str]]:
    """The cells of all lines; those of the first are distinct names."""
    lines = [cells for _, cells in read_lines(path)] or [[]]
    for name in lines[0][1:]:
        if "/" in name or name in _TAKEN:
            raise UserError(
                f"{path}, column {name!r}: a factor's name must contain no / and be none of "
                f"{', '.join(_TAKEN)}: rename it."
            )
    twice = sorted({name for name in lines[0] if lines[0].count(name) > 1})
    if twice:
        raise UserError(f"{path} has two columns {twice[0]!r}: rename one.")
    return lines


def _check_rows(
    path: Path, named: Collection[str], num_lines: int, needed: set[str], allowed: set[str]
) -> None:
    for problem, names in (
        ("lacks a row for", needed - set(named)),
        ("has a row for what is no image of the folder,", set(named) - allowed),
    ):
        if names:
            raise UserError(
                f"{path} {problem} {min(names)} ({len(names)} in all): the first column must hold "
                f"the paths of the images relative to the folder."
            )
    if len(named) < num_lines:
        raise UserError(f"{path} names {num_lines - len(named)} paths twice: remove them.")


def _as_numbers(column: np.ndarray, path: Path, name: str) -> np.ndarray | None:
    """float32 [N], or None if most cells are words; a few words among numbers raise UserError."""
    values = np.array([_as_number(cell) for cell in column], np.float32)
    known = np.isfinite(values)
    if known.all():
        return values
    if 2 * known.sum() > len(column):
        raise UserError(
            f"{path}, column {name!r}: {str(column[~known][0])!r} is no number, but most of the "
            f"column are ({(~known).sum()} cells in all): fill them in, or leave the column out."
        )
    return None


def _as_number(cell: str) -> float:
    """The cell's value; NaN if it is no number."""
    try:
        return float(cell)
    except ValueError:
        return math.nan
