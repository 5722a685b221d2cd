"""AffectNet's lists: the faces, their landmarks and their splits.

faces = read_faces(Path("training.csv"))
rows = divide(faces)["unlabelled"]
"""

import hashlib
import itertools
from array import array
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from refvae_jax.data.readers.csv_lines import read_lines
from refvae_jax.errors import UserError

# By their number in the column `expression`.
EXPRESSIONS = (
    "neutral",
    "happiness",
    "sadness",
    "surprise",
    "fear",
    "disgust",
    "anger",
    "contempt",
)
LAST_EXPRESSION = 10  # 8 none, 9 uncertain, 10 no face.
NUM_LANDMARKS = 68
OFFICIAL = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
# Sizes of the paper.
UNLABELLED, REFERENCE = 150_000, 10_000
FOLD = 500  # Of each expression.
# A fold's share of an expression that has fewer training faces than five folds; chosen.
FOLD_SHARE = 0.2


class Faces(NamedTuple):
    """Faces of a list."""

    path: list[str]  # N paths below the folder of the images.
    expression: np.ndarray  # int8 [N], a place in EXPRESSIONS
    landmarks: np.ndarray  # float32 [N, 68, 2], (x, y) in pixels of the image

    def take(self, rows: np.ndarray) -> "Faces":
        """Some of the faces."""
        return Faces([self.path[r] for r in rows], self.expression[rows], self.landmarks[rows])


def read_faces(path: Path, without: Collection[str] = ()) -> Faces:
    """Reads training.csv or validation.csv.

    Rows that show none of EXPRESSIONS are left out, and all rows of a path but the first.

    Args:
      path: of the list.
      without: paths of images to leave out.

    Raises:
      UserError: it cannot be read, lacks a column or has an invalid cell.
    """
    columns = ("subDirectory_filePath", "expression", "facial_landmarks")
    paths, expressions, landmarks = {}, array("b"), array("f")
    for where, (name, expression, points) in _read_cells(path, columns, OFFICIAL):
        number = _number_of(expression, where)
        if number < len(EXPRESSIONS) and name not in paths and name not in without:
            paths[name] = None
            expressions.append(number)
            landmarks.extend(_coordinates(points, where))
    return _faces(paths, expressions, landmarks)


def read_reference(path: Path) -> Faces:
    """Reads a list of neutral faces, columns `path` and `landmarks`; a path counts once.

    Raises:
      UserError: as of read_faces.
    """
    paths, landmarks = {}, array("f")
    for where, (name, points) in _read_cells(path, ("path", "landmarks")):
        if name not in paths:
            paths[name] = None
            landmarks.extend(_coordinates(points, where))
    return _faces(paths, array("b", bytes(len(paths))), landmarks)


def _faces(paths: Collection[str], expressions: array, landmarks: array) -> Faces:
    points = np.frombuffer(landmarks, np.float32).reshape(-1, NUM_LANDMARKS, 2)
    return Faces(list(paths), np.frombuffer(expressions, np.int8), points)


def _read_cells(
    path: Path, columns: tuple[str, ...], official: tuple[str, ...] = ()
) -> Iterator[tuple[str, list[str]]]:
    """Yields ("FILE, line N", cells of the columns) of each row.

    The official validation.csv has been distributed without its first line: a list whose first line
    names none of the `official` columns, but has as many cells, is read as having these columns.
    """
    lines = read_lines(path)
    first_line = next(lines, ("", []))
    _, first = first_line
    headless = len(first) == len(official) and not set(first) & set(official)
    header = list(official) if headless else first
    missing = [name for name in columns if name not in header]
    if missing:
        raise UserError(
            f"{path} has no column '{missing[0]}': its first line must name the columns, including "
            f"{', '.join(columns)}, with commas between them."
        )
    places = [header.index(name) for name in columns]
    for where, cells in itertools.chain([first_line] if headless else [], lines):
        yield where, [cells[place] for place in places]


def _number_of(cell: str, where: str) -> int:
    number = int(cell) if cell.strip().isdecimal() else -1
    if not 0 <= number <= LAST_EXPRESSION:
        raise UserError(
            f"{where}: expression {cell!r} is no whole number from 0 to {LAST_EXPRESSION}."
        )
    return number


def _coordinates(cell: str, where: str) -> list[float]:
    """The 2 x 68 numbers of a cell."""
    try:
        numbers = [float(word) for word in cell.split(";")]
    except ValueError:
        numbers = []
    if len(numbers) != 2 * NUM_LANDMARKS or not np.isfinite(numbers).all():
        raise UserError(
            f"{where}: the landmarks {cell[:40]!r} are not {NUM_LANDMARKS} pairs x;y of numbers, "
            f"all joined by semicolons."
        )
    return numbers


def drawn(paths: list[str], draw: str = "") -> np.ndarray:
    """A fixed random order of files, int64 [N]: by the hashes of their paths.

    So the order of the list, and further rows, do not change the order of the files.

    Args:
      paths: of the N files.
      draw: different draws give independent orders.
    """
    hashes = [hashlib.blake2b(p.encode(), digest_size=8, key=draw.encode()).digest() for p in paths]
    return np.array(sorted(range(len(paths)), key=hashes.__getitem__), int)


def divide(faces: Faces) -> dict[str, np.ndarray]:
    """The rows of training.csv that go to each split, {split: int64 [M]}, in random order."""
    order = drawn(faces.path)
    parts = {"probe_fit": [], "validation": [], "unlabelled": []}
    expression = faces.expression[order]
    for number in range(1, len(EXPRESSIONS)):
        rows = order[expression == number]
        fold = min(FOLD, int(FOLD_SHARE * len(rows)))
        for part, taken in zip(parts.values(), np.split(rows, [fold, 2 * fold]), strict=True):
            part.append(taken)
    divided = {split: np.concatenate(part) for split, part in parts.items()}
    # A new draw: in the first one the faces of a rare expression that are left after its folds come
    # last, and most would be cut off.
    rest = divided["unlabelled"]
    again = drawn([faces.path[row] for row in rest], "unlabelled")
    divided["unlabelled"] = rest[again[:UNLABELLED]]
    divided["reference"] = order[expression == 0][:REFERENCE]
    return divided


def test_fold(faces: Faces) -> np.ndarray:
    """The rows of validation.csv that are tested: up to FOLD of each expression but neutral."""
    order = drawn(faces.path)
    expression = faces.expression[order]
    folds = [order[expression == number][:FOLD] for number in range(1, len(EXPRESSIONS))]
    return np.concatenate(folds)


def check_classes(fit: Faces, test: Faces) -> None:
    """Raises UserError unless two expressions are in both folds: a classifier needs two classes."""
    shown = [sorted({EXPRESSIONS[number] for number in fold.expression}) for fold in (fit, test)]
    if len(set(shown[0]) & set(shown[1])) < 2:
        found, tested = (", ".join(names) or "none" for names in shown)
        raise UserError(
            f"Fewer than two of the seven expressions are in both lists: training.csv has five or "
            f"more faces of {found}, validation.csv has {tested}. Take more rows of each."
        )
