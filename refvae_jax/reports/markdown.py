"""Tables of scores as Markdown that also reads well in a terminal.

text = markdown([Table("digits", ["red", "average"], {"": rows}, chance, ["A sentence."])])
"""

import re
from collections.abc import Iterable
from typing import NamedTuple


class Cell(NamedTuple):
    """A mean over seeds and the half-width of its 95 % t-interval, None for a single seed."""

    mean: float
    half: float | None
    best: bool = False


class Row(NamedTuple):
    """A method after a number of steps; cells and paper have None where nothing is known."""

    method: str
    steps: int | None
    seeds: int | None
    cells: list[Cell | None]
    paper: list[float | None]


class Table(NamedTuple):
    """A table before it is text."""

    dataset: str  # `folder DIR` of the user's own images.
    columns: list[str]  # Headings.
    blocks: dict[str, list[Row]]
    chance: Row
    notes: list[str]  # Sentences below it.


def shown(value: float) -> str:
    """`.083`: three digits, no leading zero."""
    return re.sub(r"^(-?)0\.", r"\1.", f"{value:.3f}")


def cell_text(cell: Cell | None) -> str:
    """`**.083** ± .004`, with what is known of it."""
    if cell is None:
        return ""
    mean = f"**{shown(cell.mean)}**" if cell.best else shown(cell.mean)
    return mean if cell.half is None else f"{mean} ± {shown(cell.half)}"


def row_texts(row: Row) -> list[list[str]]:
    """The lines of a Row, as cells: ours, and the paper's below it where there is any."""
    counts = ["" if n is None else f"{n:,}" for n in (row.steps, row.seeds)]
    lines = [[row.method, *counts, *map(cell_text, row.cells)]]
    if any(figure is not None for figure in row.paper):
        figures = ("" if figure is None else f"*{shown(figure)}*" for figure in row.paper)
        lines.append(["*paper*", "", "", *figures])
    return lines


def markdown_table(table: Table) -> str:
    """A Table as Markdown whose columns are aligned in a terminal too."""
    lines = [["method", "steps", "seeds", *table.columns]]
    for heading, rows in table.blocks.items():
        if heading and rows:
            lines.append([heading, *[""] * (len(lines[0]) - 1)])
        lines += [line for row in rows for line in row_texts(row)]
    lines += row_texts(table.chance)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, [f":{'-' * (widths[0] - 1)}", *(f"{'-' * (w - 1)}:" for w in widths[1:])])
    texts = (
        [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        for line in lines
    )
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in texts)
    notes = "\n".join(f"- {note}" for note in table.notes)
    return f"## {table.dataset}\n\n{body}\n\n{notes}\n"


def markdown(tables: Iterable[Table]) -> str:
    """The [Table] as one Markdown text."""
    return "\n".join(map(markdown_table, tables))
