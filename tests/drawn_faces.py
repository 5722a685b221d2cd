"""Drawn faces in AffectNet's official layout, rotated, scaled and shifted at random.

In the image the left eye is red and the right one blue; the mouth's green encodes the expression.
"""

import csv

import numpy as np
from PIL import Image, ImageDraw

from refvae_jax.data.builders.affectnet_lists import OFFICIAL

GREEN = 30  # Of the mouth, for each number of expression.
SIZE = (200, 170)
LISTS, IMAGES = "Manually_Annotated_file_lists", "Manually_Annotated_Images"


def _ring(count, x, y, width, height):
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([x - width * np.cos(angle), y - height * np.sin(angle)], axis=1)


def template():
    """The 68 points of an upright face of radius one around (0, 0), y down."""
    jaw = np.linspace(0, np.pi, 17)
    across = np.linspace(-1, 1, 5)
    parts = [
        np.stack([-np.cos(jaw), np.sin(jaw)], axis=1),
        np.stack([-0.5 + 0.25 * across, np.full(5, -0.55)], axis=1),
        np.stack([0.5 + 0.25 * across, np.full(5, -0.55)], axis=1),
        np.stack([np.zeros(4), np.linspace(-0.3, 0.1, 4)], axis=1),
        np.stack([0.15 * across, np.full(5, 0.2)], axis=1),
        _ring(6, -0.4, -0.25, 0.15, 0.15),
        _ring(6, 0.4, -0.25, 0.15, 0.15),
        _ring(12, 0, 0.55, 0.35, 0.2),
        _ring(8, 0, 0.55, 0.2, 0.1),
    ]
    return np.concatenate(parts)


def pose(rng):
    """The landmarks of a face somewhere in the image, [68, 2] in pixels."""
    angle, radius = rng.uniform(-0.7, 0.7), rng.uniform(25, 55)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array(SIZE) / 2 + rng.uniform(-20, 20, 2)
    return radius * template() @ turn.T + middle


def draw(landmarks, expression, rng):
    """The image; its background is unique."""
    large = Image.new("RGB", (4 * SIZE[0], 4 * SIZE[1]), tuple(rng.integers(0, 60, 3).tolist()))
    pencil = ImageDraw.Draw(large)

    def fill(points, colour):
        pencil.polygon([tuple(point) for point in 4 * landmarks[points]], fill=colour)

    fill([*range(17), *range(26, 16, -1)], (128, 128, 128))
    fill(slice(36, 42), (255, 0, 0))
    fill(slice(42, 48), (0, 0, 255))
    fill(slice(48, 60), (0, GREEN * expression, 0))
    return large.reduce(4)


def cell(landmarks):
    """The landmarks as a cell of the lists."""
    return ";".join(f"{number:.2f}" for number in landmarks.ravel())


def make_rows(folder, name, counts, rng):
    """Draws `counts[expression]` faces each below the folder; returns the rows of their list."""
    rows = []
    for expression, count in counts.items():
        for i in range(count):
            path = f"{expression}/{name}{i}.png"
            landmarks = pose(rng)
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            draw(landmarks, expression, rng).save(folder / path)
            box = [*landmarks.min(axis=0).round(), *np.ptp(landmarks, axis=0).round()]
            rows.append([path, *box, cell(landmarks), expression, 0.1, -0.2])
    return rows


def write_list(path, rows, header=OFFICIAL):
    """Writes a list; a header of () leaves the first line out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows] if header else rows)


def make_affectnet(root, train=10, test=3, neutral=12):
    """Makes the official layout in a folder; returns {list: its rows}."""
    rng = np.random.default_rng(0)
    seven = range(1, 8)
    rows = {
        "training": make_rows(root / IMAGES, "a", {0: neutral} | dict.fromkeys(seven, train), rng),
        "validation": make_rows(root / IMAGES, "b", {0: 2} | dict.fromkeys(seven, test), rng),
    }
    # No face: neither image nor landmarks. And one face twice, one in both lists.
    rows["training"] += [["x/none.jpg", 0, 0, 0, 0, "NULL", 10, -2, -2], rows["training"][-1]]
    rows["training"].append(rows["validation"][-1])
    for name, lines in rows.items():
        write_list(root / LISTS / f"{name}.csv", lines)
    return rows
