"""A trained model in two files: what `export` writes and what the examples are.

    parameters.npz   an array per parameter and batch statistic, such as "params/model/encoder/..."
    model.json       {"format", "versions", "step", "latents", "record", "results"}

`record` is that of the checkpoint, see `training/checkpoint.py`; `results` is the content of its
run's results.json, or None. Only the player "model" is kept: discriminators serve training.

folder = packed_folder("example:digits")
description, arrays = read(folder)
variables = unflattened(arrays, template)
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from refvae_jax.buckets import is_bucket
from refvae_jax.errors import UserError, did_you_mean
from refvae_jax.files import exists, subfolders, user_path

FORMAT = 1
ARRAYS, DESCRIPTION = "parameters.npz", "model.json"
_NEEDED = {"step", "latents", "record", "results"}  # Of DESCRIPTION.
SCHEME = "example:"
EXAMPLES = Path(__file__).with_name("examples")

Arrays = dict[str, np.ndarray]


def flattened(variables: dict[str, Any]) -> Arrays:
    """{"params/model/...": array} of the variables of a Method that decoding and encoding need."""
    return _named_leaves(variables)[0]


def unflattened(arrays: Arrays, template: dict[str, Any]) -> dict[str, Any]:
    """Undoes `flattened`.

    Args:
      arrays: by name.
      template: variables of the Method, or their shapes; its discriminators are left out.

    Raises:
      UserError: the arrays are not those of such a Method.
    """
    shapes, structure = _named_leaves(template)
    wrong = sorted(
        n for n in arrays.keys() | shapes.keys() if _shape(arrays, n) != _shape(shapes, n)
    )
    if wrong:
        raise UserError(
            f"The parameters do not fit the networks of this version of refvae_jax ({wrong[0]} has "
            f"the shape {_shape(arrays, wrong[0])}, not {_shape(shapes, wrong[0])}): install the "
            f"version that wrote them, which is in {DESCRIPTION}."
        )
    return structure.unflatten(arrays[name] for name in shapes)


def _named_leaves(variables: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Leaves by name, in the order of the tree, without discriminators, and its structure."""
    import jax  # A second or two, and only needed for trees: reports read without.

    kept = {kind: {"model": players["model"]} for kind, players in variables.items()}
    leaves, structure = jax.tree_util.tree_flatten_with_path(kept)
    names = (jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves)
    return {name: leaf for name, (_, leaf) in zip(names, leaves, strict=True)}, structure


def _shape(arrays: Any, name: str) -> tuple[int, ...] | None:
    return arrays[name].shape if name in arrays else None


def packed_folder(run: str | Path) -> Path | None:
    """The folder of a packed model: of `example:NAME`, or one that `export` wrote.

    Returns:
      None if the name is that of neither, so perhaps of a run.

    Raises:
      UserError: there is no such example.
    """
    if str(run).startswith(SCHEME):
        return _example(str(run).removeprefix(SCHEME))
    if is_bucket(run):
        return None
    folder = user_path(run)
    return folder if exists(folder / DESCRIPTION) and exists(folder / ARRAYS) else None


def example_names() -> list[str]:
    """The examples that come with the package."""
    return [folder.name for folder in subfolders(EXAMPLES)]


def _example(name: str) -> Path:
    names = example_names()
    if name not in names:
        raise UserError(
            f"There is no example {name!r}.{did_you_mean(name, names)} The examples are "
            f"{' and '.join(SCHEME + known for known in names)}."
        )
    return EXAMPLES / name


def write(folder: Path, variables: dict[str, Any], description: dict[str, Any]) -> None:
    """Writes both files into a folder.

    Args:
      folder: on this machine.
      variables: of a Method.
      description: the content of model.json.
    """
    np.savez(folder / ARRAYS, **flattened(variables))  # type: ignore[arg-type]
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")


def read(folder: Path) -> tuple[dict[str, Any], Arrays]:
    """(the content of model.json, the arrays).

    Raises:
      UserError: a file is damaged, or of a later version.
    """
    description = read_description(folder)
    path = folder / ARRAYS
    try:
        with np.load(path) as arrays:
            return description, dict(arrays)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is damaged ({error}): export the model again.") from error


def read_description(folder: Path) -> dict[str, Any]:
    """The content of model.json; raises UserError as `read`."""
    path = folder / DESCRIPTION
    try:
        description = json.loads(path.read_text())
        if description["format"] > FORMAT:
            raise UserError(
                f"{folder} was written by refvae_jax {description['versions']['refvae_jax']}, in a "
                f"form that is newer than this version: install that one."
            )
        if missing := _NEEDED - description.keys():
            raise KeyError(min(missing))
        return description
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} is damaged ({type(error).__name__}: {error}): export the model again."
        ) from error
