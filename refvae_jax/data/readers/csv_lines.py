"""CSV files, line by line: factors.csv and AffectNet's lists."""

import csv
from collections.abc import Iterator
from pathlib import Path

from refvae_jax.errors import UserError


def read_lines(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yields ("FILE, line N", cells) of each line that is not empty, the first one included.

    Raises:
      UserError: it is no CSV in UTF-8, or a line has more or fewer cells than the first.
    """
    width = None
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for cells in filter(None, reader):
                where = f"{path}, line {reader.line_num}"
                width = width or len(cells)
                if len(cells) != width:
                    raise UserError(
                        f"{where}: {len(cells)} cells where the first line has {width}."
                    )
                yield where, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read as CSV in UTF-8 ({error}): save it in that format."
        ) from error
