"""factors.csv: ground truth to score by, beside the images of a folder.

    path,azimuth,hair
    anna/0.png,12.5,black

The first column is the path relative to the folder. Each further one is a factor: continuous if all
its cells are numbers, categorical if most are words. Commas, semicolons or tabs may separate the
cells, and where it is not commas, a column may have decimal commas.
"""

import functools
import math
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np

from refvae_jax.console import LOGGER
from refvae_jax.data.readers.csv_lines import SEPARATORS, read_lines
from refvae_jax.data.readers.source import Factors, categorise, make_factors
from refvae_jax.errors import UserError

_TAKEN = ("label", "average")  # Of the class folders, and of the mean over all factors.
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")  # 1,234 may be 1.234 as well as 1234.


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
        cells than the first, two columns have the same name, or one reserved for scores, or it is
        unclear which number a cell is.
    """
    image_named = _image_names(allowed)
    separator = _separator(path, image_named, set(allowed))
    header, *lines = _read_table(path, separator)
    row_of = {image_named(line[0]): row for row, line in enumerate(lines)}
    _check_rows(path, row_of.keys(), len(lines), set(needed), set(allowed))
    if not row_of.keys() >= set(wanted):
        return no_factors(len(wanted))
    rows = np.array([row_of[name] for name in wanted], int)
    continuous, categorical, class_names = {}, {}, {}
    with_commas = []
    for place, name in enumerate(header[1:], 1):
        column = np.array([line[place] for line in lines])
        values = _as_numbers(column, f"{path}, column {name!r}", separator)
        if values is not None:
            continuous[name] = values[rows]
            with_commas += [name] * any("," in cell for cell in column)
        else:
            classes, class_names[name] = categorise(column)
            categorical[name] = classes[rows]
    _mention(path, separator, tuple(with_commas))
    return make_factors(continuous, categorical, class_names, len(rows))


def _image_names(images: Collection[str]) -> Callable[[str], str]:
    """A function from a cell to the path of the image that it names, or to a path of no image."""
    known = {name.strip(): name for name in images} | {name: name for name in images}

    def image_named(cell: str) -> str:
        name = Path(cell).as_posix()
        # Windows writes anna\0.png.
        return known.get(name) or known.get(name.strip().replace("\\", "/"), name)

    return image_named


def _separator(path: Path, image_named: Callable[[str], str], images: set[str]) -> str:
    """The one of SEPARATORS whose first cells name the most images: names may contain others."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return ","  # `read_lines` reports it.

    def named(separator: str) -> int:
        firsts = (line.split(separator)[0].strip().strip('"') for line in text.splitlines())
        return sum(image_named(first) in images for first in firsts)

    return max(SEPARATORS, key=named)


@functools.cache
def _mention(path: Path, separator: str, with_commas: tuple[str, ...]) -> None:
    """Reports once how a table was read, if not as commas and decimal points say."""
    ways = [f"{SEPARATORS[separator]} between cells"] * (separator != ",")
    ways += [f"decimal commas in {', '.join(map(repr, with_commas))}"] * bool(with_commas)
    if ways:
        LOGGER.info(f"{path} is read with {' and '.join(ways)}")


def _read_table(path: Path, separator: str) -> list[list[str]]:
    """The cells of all lines, without spaces around them; those of the first are distinct names."""
    lines = [[cell.strip() for cell in cells] for _, cells in read_lines(path, separator)] or [[]]
    _check_distinct(lines[0], path)
    check_names(lines[0][1:], path)
    return lines


def check_names(names: Sequence[str], where: str | Path) -> None:
    """Raises UserError unless these are distinct names that factors may have."""
    _check_distinct(names, where)
    for name in names:
        if not name or "/" in name or name in _TAKEN:
            raise UserError(
                f"{where}, column {name!r}: a factor's name must not be empty, contain no / and be "
                f"none of {', '.join(_TAKEN)}: rename it."
            )


def _check_distinct(names: Sequence[str], where: str | Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{where} has two columns {twice[0]!r}: rename one.")


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
                f"the paths of the images relative to the folder, and commas, semicolons or tabs "
                f"must separate it from the others."
            )
    if len(named) < num_lines:
        raise UserError(f"{path} names {num_lines - len(named)} paths twice: remove them.")


def _as_numbers(column: np.ndarray, where: str, separator: str) -> np.ndarray | None:
    """float32 [N], or None if most cells are words; a few words among numbers raise UserError."""
    values = np.array([_as_number(cell) for cell in column], np.float32)
    known = np.isfinite(values)
    if not known.all() and 2 * known.sum() <= len(column):
        return None
    _check_decimal_commas(column[known], where, separator)
    if not known.all():
        raise UserError(
            f"{where}: {str(column[~known][0])!r} is no number, but most of the "
            f"column are ({(~known).sum()} cells in all): fill them in, or leave the column out."
        )
    return values


def _check_decimal_commas(numbers: np.ndarray, where: str, separator: str) -> None:
    """Raises UserError if commas may not be decimal ones, or other cells have a point.

    They may divide thousands, or, where commas also separate the cells, the parts of a word.
    """
    with_comma = [cell for cell in numbers if "," in cell]
    if not with_comma:
        return
    cell = str(with_comma[0])
    if all(_THOUSANDS.fullmatch(cell) for cell in with_comma):
        raise UserError(
            f"{where}: {cell!r} may be {cell.replace(',', '.')} or {cell.replace(',', '')}: write "
            f"the numbers of the column without commas."
        )
    if with_point := [cell for cell in numbers if "." in cell]:
        raise UserError(
            f"{where}: {cell!r} has a decimal comma and {str(with_point[0])!r} a decimal point: "
            f"write all numbers of the column with points."
        )
    if separator == ",":
        raise UserError(
            f"{where}: {cell!r} may be the number {cell.replace(',', '.')} or a word: write "
            f"numbers with points and words without commas."
        )


def _as_number(cell: str) -> float:
    """The cell's value, with a decimal point or comma; NaN if it is no number."""
    try:
        return float(cell.replace(",", ".", 1))
    except ValueError:
        return math.nan
