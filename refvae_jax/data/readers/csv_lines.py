"""CSV files, line by line: factors.csv and AffectNet's lists."""

import csv
from collections.abc import Iterator
from pathlib import Path

from refvae_jax.errors import UserError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def read_lines(path: Path, separator: str = ",") -> Iterator[tuple[str, list[str]]]:
    """Yields ("FILE, line N", cells) of each line that is not blank, the first one included.

    Args:
      path: of the file.
      separator: between cells; spaces behind it are dropped.

    Raises:
      UserError: it is no CSV in UTF-8, or a line has more or fewer cells than the first.
    """
    width = None
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
            # Spreadsheets end a file with lines of nothing but commas.
            for cells in (cells for cells in reader if any(map(str.strip, cells))):
                where = f"{path}, line {reader.line_num}"
                width = width or len(cells)
                if len(cells) != width:
                    raise UserError(
                        f"{where}: {len(cells)} cells where the first line has {width}, with "
                        f"{SEPARATORS[separator]} between them: put a cell that contains one into "
                        f"double quotes, write numbers as 12.5, and fill gaps in."
                    )
                yield where, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read as CSV in UTF-8 ({error}): save it in that format."
        ) from error
