"""Encodes image files: mean and logvar of each latent, as a .npz or a .csv.

    python -m refvae_jax encode runs/quickstart-s0 pictures/ --out=codes.npz

A .npz holds `path` and, for each latent, `content_mean` and `content_logvar`, [N, D]; a .csv a row
per image with the columns `path`, `content_mean_0`, ... Both are written chunk by chunk.
"""

import argparse
import contextlib
import csv
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from refvae_jax.apply import arguments
from refvae_jax.apply.reading import Inputs
from refvae_jax.buckets import is_bucket
from refvae_jax.console import LOGGER
from refvae_jax.data.readers.image_files import find_images
from refvae_jax.errors import UserError, counted
from refvae_jax.files import atomic, check_writable, growing_array
from refvae_jax.model import Model

Columns = dict[str, np.ndarray]  # {"path": [b], "content_mean": [b, D], ...}


def codes(model: Model, inputs: Inputs) -> Iterator[Columns]:
    """Yields the columns of each chunk, the paths first."""
    text = f"<U{max(map(len, inputs.names))}"
    for rows, images in inputs.chunks():
        columns = {"path": np.array([inputs.names[row] for row in rows], text)}
        for name, q in model.encode(images[:, 0]).items():
            columns[f"{name}_mean"], columns[f"{name}_logvar"] = map(np.asarray, q)
        yield columns


def write_npz(chunks: Iterator[Columns], most: int, out: Path) -> None:
    """Packs the columns, of up to `most` rows, after each has grown in a file of its own."""
    beside = None if is_bucket(out) else out.parent  # Where there is room for it.
    with tempfile.TemporaryDirectory(prefix=".codes-", dir=beside) as scratch:
        with contextlib.ExitStack() as stack:
            append: dict[str, Callable[[np.ndarray], None]] = {}
            for columns in chunks:
                for name, values in columns.items():
                    if name not in append:
                        path = Path(scratch, f"{name}.npy")
                        new = growing_array(path, most, values.shape[1:], values.dtype)
                        append[name] = stack.enter_context(new)
                    append[name](values)
        with atomic(out) as temporary, zipfile.ZipFile(temporary, "w") as packed:
            for name in append:
                packed.write(Path(scratch, f"{name}.npy"), f"{name}.npy")


def write_csv(chunks: Iterator[Columns], most: int, out: Path) -> None:
    """Writes a row per image, numbers with the nine digits that give back each float32."""
    del most
    with atomic(out) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer, header = csv.writer(file), []
        for columns in chunks:
            paths, *numbers = columns.values()
            if not header:
                names = list(columns)[1:]
                header = [
                    f"{name}_{i}"
                    for name, values in zip(names, numbers, strict=True)
                    for i in range(values.shape[1])
                ]
                writer.writerow(["path", *header])
            for path, row in zip(paths, np.concatenate(numbers, axis=1).tolist(), strict=True):
                writer.writerow([path, *(f"{x:.9g}" for x in row)])


WRITERS = {".npz": write_npz, ".csv": write_csv}


def encode(model: Model, options: argparse.Namespace) -> None:
    """Encodes the images of the options into their `out`.

    Raises:
      UserError: no images, none that can be read, or an `out` of another kind.
    """
    out = options.out
    if out.suffix.lower() not in WRITERS:
        raise UserError(f"--out={out} must end in {' or '.join(WRITERS)}.")
    inputs = Inputs(model, find_images(options.images))
    check_writable(out)
    WRITERS[out.suffix.lower()](codes(model, inputs), len(inputs.names), out)
    LOGGER.info(f"wrote {out}: the codes of {counted(inputs.count_read, 'image')}")


def main(argv: list[str]) -> int:
    """Parses the command line; returns the exit status."""
    meaning = "Encodes image files: mean and logvar of each latent, as .npz or .csv."
    options = arguments.parse("encode", meaning, argv, out="codes.npz", add=[arguments.images])
    return arguments.run(encode, options)
