"""Shows a data set as a model will see it.

    python -m refvae_jax data configs/celeba_gmvae.py
    python -m refvae_jax data lfw
    python -m refvae_jax data my_pictures/ --reference-class=neutral --out=sheet.png
    python -m refvae_jax data cells.npz --value-range 0.1% 99.9%

Prints the sizes of the splits and of their groups, the factors and the memory on disk, and draws a
contact sheet: reference images above unlabelled ones, or else one group per row.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from absl import logging
from ml_collections import ConfigDict

from refvae_jax import config_rules
from refvae_jax.command_line import config_from_file, explain
from refvae_jax.console import LOGGER
from refvae_jax.data.cache import ImageSet, cache_root, data_dir, open_split
from refvae_jax.data.groups import how_to_group
from refvae_jax.data.readers import presets
from refvae_jax.data.readers.array_files import SUFFIXES, are_arrays, open_arrays
from refvae_jax.data.readers.source import ARRAYS_DATASET, FOLDER_DATASET, OWN_DATASETS
from refvae_jax.errors import Places, UserError, counted, exit_status, explain_disk_errors
from refvae_jax.figures.files import save_png
from refvae_jax.figures.layout import grid
from refvae_jax.files import as_path, check_writable, user_path

COLUMNS = 12
ROWS = 8
BINS = (1, 2, 5, 10, 20, 50, 100, 1000)  # Lower ends, in images per group.


def data_config(
    name: str, reference_class: str = "", value_range: Sequence[float | str] = ()
) -> ConfigDict:
    """The `config.data` of a config file, own images or arrays, or a set of `presets.SETS`.

    Args:
      name: a config file with its form, a folder, a .npz or the name of a set.
      reference_class: data.reference_class, of own images.
      value_range: data.value_range, of own images.

    Raises:
      UserError: it is none of these.
    """
    if not name:
        raise UserError("The name of the data is empty: name a config, a folder or a set.")
    path, _, form = name.partition(":")
    if path.endswith(".py"):
        try:
            data = config_from_file(path, form).data
        except UserError:
            raise
        except Exception as error:
            raise UserError(explain(error)) from error
        if data.name in OWN_DATASETS:
            raise UserError(
                "That config is of your own images: name their folder instead of the config."
            )
        return data
    config = config_rules.defaults()
    data = config.data
    own = user_path(name)
    in_arrays = own.suffix in SUFFIXES or are_arrays(own)
    data.value_range = tuple(value_range)
    config_rules.check(config)
    if not own.is_dir() and not in_arrays:
        presets.choose(data, name)
        return data
    presets.choose(data, ARRAYS_DATASET if in_arrays else FOLDER_DATASET)
    data.dir, data.reference_class = str(own), reference_class
    two_sets = "reference" in open_arrays(own) if in_arrays else (own / "reference").is_dir()
    data.reference_split = "reference" if two_sets or reference_class else ""
    return data


def _limit(text: str) -> float | str:
    """A number, or a percentile as text, which `config_rules` checks."""
    try:
        return float(text)
    except ValueError:
        return text


def describe(split: str, images: ImageSet) -> list[str]:
    """Lines of text about an ImageSet."""
    count, *shape = images.image.shape
    sizes = np.unique(images.label, return_counts=True)[1]
    size_text = " x ".join(map(str, shape))
    lines = [f"{split}: {count:,} images {size_text}, {images.image.nbytes / 1e6:,.1f} MB"]
    if images.value_range:
        lines.append("  values from {:g} (black) to {:g} (white)".format(*images.value_range))
    if (images.label >= 0).all() and len(sizes) > 1:
        lines += [f"  {text}" for text in sizes_of_groups(sizes)]
    factors = images.factors
    for name, values in zip(factors.continuous_names, factors.continuous.T, strict=True):
        lines.append(f"  factor {name}: {values.min():g} to {values.max():g}")
    for name, classes in factors.categorical_names.items():
        lines.append(f"  factor {name}: {len(classes)} classes")
    return lines


def lack_of_groups(train: ImageSet, dataset: str) -> str:
    """A line that says so if there are no two groups; "" if there are. dataset: data.name."""
    if len(np.unique(train.label[train.label >= 0])) > 1:
        return ""
    what = "one group only" if any(train.class_names) else "no groups"
    return f"{what}, and methods that learn from groups need two: {how_to_group(dataset)}"


def sizes_of_groups(sizes: np.ndarray) -> list[str]:
    """Lines on the sizes of two or more groups, int [G]: a histogram unless all are the same."""
    low, middle, high = sizes.min(), int(np.median(sizes)), sizes.max()
    if low == high:
        return [f"{len(sizes):,} groups of {counted(low, 'image')} each"]
    first = f"{len(sizes):,} groups of {low} to {high} images, {middle} at the median"
    return [first, *(f"  {text}" for text in histogram(sizes))]


def histogram(sizes: np.ndarray) -> list[str]:
    """Lines such as "10 to 19 images: 7 groups" from the sizes of groups, int [G]."""
    counts = np.histogram(sizes, [*BINS, np.inf])[0]
    last = [stop - 1 for stop in BINS[1:]]
    ends = [f" to {b}" if b > a else "" for a, b in zip(BINS[:-1], last, strict=True)]
    ends.append(" or more")
    pairs = zip(BINS, ends, counts, strict=True)
    return [
        f"{start}{end} image{'s' * (start > 1)}: {counted(count, 'group')}"
        for start, end, count in pairs
        if count
    ]


def contact_sheet(train: ImageSet, reference: ImageSet | None) -> np.ndarray:
    """A picture, uint8 [H, W, 3]: rows half reference, half unlabelled; or one group per row."""
    rng = np.random.default_rng(0)
    if reference is not None:
        half = ROWS // 2 * COLUMNS
        rows = [(part, rng.permutation(len(part.image))[:half]) for part in (reference, train)]
    else:
        groups, sizes = np.unique(train.label, return_counts=True)
        chosen = groups[np.argsort(-np.minimum(sizes, COLUMNS), kind="stable")][:ROWS]
        rows = [(train, np.flatnonzero(train.label == group)[:COLUMNS]) for group in chosen]
    lines = []
    for part, index in rows:
        for start in range(0, len(index), COLUMNS):
            lines.append(np.asarray(part.image[index[start : start + COLUMNS]]))
    cells = np.zeros((len(lines), COLUMNS, *train.image.shape[1:]), np.uint8)
    empty = np.ones(cells.shape[:2], bool)
    for place, line in enumerate(lines):
        cells[place, : len(line)], empty[place, : len(line)] = line, False
    return grid(cells, empty=empty)


def places_of(data: ConfigDict) -> Places:
    """What to advise if a disk fails while a `config.data` is opened."""
    cache_advice = "set another data.cache_dir in the config"
    if not data.cache_dir:
        cache_advice = "choose another place with the variable XDG_CACHE_HOME"
    data_advice = "choose another place with the variable TFDS_DATA_DIR"
    if data.dir:
        data_advice = "make sure that you may read it"
    return {
        cache_root(data.cache_dir): cache_advice,
        as_path(data_dir(data.dir, data.name)): data_advice,
    }


def show(data: ConfigDict, out: Path) -> None:
    """Prints the description of a `config.data` and writes the contact sheet."""
    optional = [split for split in ("reference", "probe_train") if data[f"{split}_split"]]
    splits = ("train", *optional, "validation", "test")
    check_writable(out)  # Before decoding, which takes minutes.
    with explain_disk_errors(places_of(data)):
        parts = {split: open_split(data, split) for split in splits}
    for split, images in parts.items():
        print("\n".join(describe(split, images)))
    if "reference" not in parts and (line := lack_of_groups(parts["train"], data.name)):
        print(line)
    save_png(contact_sheet(parts["train"], parts.get("reference")), out)
    LOGGER.info(f"wrote {out}")


def main(argv: list[str]) -> int:
    """Parses the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        "refvae data", description="Shows a data set as a model sees it."
    )
    parser.add_argument("name", help="a config file, a folder of images, a .npz or a set")
    parser.add_argument("--reference-class", default="", help="of own images: their reference")
    parser.add_argument(
        "--value-range",
        nargs=2,
        metavar=("LOW", "HIGH"),
        default=(),
        help="of pixels of more than 8 bits: numbers or percentiles such as 99.9%%",
    )
    parser.add_argument("--out", type=user_path, default=Path("data.png"), help="the contact sheet")
    options = parser.parse_args(argv)
    logging.set_verbosity(logging.ERROR)
    places = {options.out: "choose another file with --out"}

    def run() -> None:
        limits = tuple(map(_limit, options.value_range))
        show(data_config(options.name, options.reference_class, limits), options.out)

    return exit_status(run, places=places)
