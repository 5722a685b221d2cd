"""What is known of images in arrays, beside their pixels: label, reference, factors.

names, label = labels(arrays, count, is_reference)
"""

from collections.abc import Mapping

import numpy as np

from refvae_jax.data.readers.array_files import Stored
from refvae_jax.data.readers.factors_file import check_names, no_factors
from refvae_jax.data.readers.source import Factors, categorise, make_factors
from refvae_jax.errors import UserError, did_you_mean

Arrays = Mapping[str, Stored]


def _column(
    arrays: Arrays, name: str, count: int, kinds: str, what: str, per: str = "image"
) -> np.ndarray:
    """An array [N] of one of these kinds of numpy types, which `what` says in words.

    `per` is what there are N of.
    """
    stored = arrays[name]
    if stored.shape != (count,) or stored.dtype.kind not in kinds:
        raise UserError(
            f"{stored.where} is {stored.dtype} of shape {list(stored.shape)}, but must be {what} "
            f"of shape [{count}], one for each {per}."
        )
    return stored.read()


def _label(arrays: Arrays, count: int) -> np.ndarray:
    """The label of each image, text [N]; "" where there is none."""
    if "label" not in arrays:
        return np.full(count, "")
    return _column(arrays, "label", count, "iuU", "whole numbers or text")


def references(arrays: Arrays, count: int, reference_class: str) -> np.ndarray | None:
    """Which images are the reference, bool [N]; None if there is none.

    Args:
      arrays: of the set.
      count: N.
      reference_class: the label whose images it is; "" if the array `reference` says so.

    Raises:
      UserError: the arrays do not have such a label, or say otherwise, or have the wrong type.
    """
    if not reference_class:
        if "reference" not in arrays:
            return None
        return _column(arrays, "reference", count, "b", "truth values (bool)")
    if "reference" in arrays:
        raise UserError(
            f"There is {arrays['reference'].where} already: drop --config.data.reference_class."
        )
    label = _label(arrays, count).astype(str)
    if reference_class not in label:
        known = [str(name) for name in np.unique(label)]
        raise UserError(
            f"No image has the label '{reference_class}' to take as the reference."
            f"{did_you_mean(reference_class, known)}"
        )
    return label == reference_class


def labels(
    arrays: Arrays, count: int, is_reference: np.ndarray | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """(names of the classes of all but the reference; class of each image, int32 [N], -1 if none).

    Raises:
      UserError: labels that are no whole numbers or text, or do not match the images.
    """
    label = _label(arrays, count)
    values, names = categorise(label)
    present = np.unique(values if is_reference is None else values[~is_reference])
    place = np.full(len(names), -1, np.int32)
    place[present] = np.arange(len(present))
    return tuple(names[i] for i in present), place[values]


def factors(arrays: Arrays, count: int, rows: np.ndarray) -> Factors:
    """The Factors of these rows.

    Raises:
      UserError: an array of another type or shape, or names that factors cannot have.
    """
    if "factors" not in arrays:
        return no_factors(len(rows))
    stored = arrays["factors"]
    fields = stored.dtype.names
    is_table = len(stored.shape) == 1 if fields else _is_matrix(stored)
    if not is_table or stored.shape[0] != count:
        raise UserError(
            f"{stored.where} is {stored.dtype} of shape {list(stored.shape)}, but must be numbers "
            f"of shape [{count}, F] or a structured array of shape [{count}], a row for each image."
        )
    table = stored.read()[rows]
    names = list(fields or _factor_names(arrays, table.shape[1]))
    check_names(names, stored.where)
    columns = {name: table[name] if fields else table[:, i] for i, name in enumerate(names)}
    continuous, categorical, class_names = {}, {}, {}
    for name, values in columns.items():
        if values.dtype.kind in "uif":
            if not np.isfinite(values).all():
                raise UserError(f"{stored.where}, column {name!r}: fill in what is no number.")
            continuous[name] = values
        else:
            categorical[name], class_names[name] = categorise(values)
    return make_factors(continuous, categorical, class_names, len(rows))


def _is_matrix(stored: Stored) -> bool:
    return len(stored.shape) == 2 and stored.dtype.kind in "uif"


def _factor_names(arrays: Arrays, count: int) -> list[str]:
    if "factor_names" not in arrays:
        return [f"factor_{i}" for i in range(count)]
    return _column(arrays, "factor_names", count, "U", "text", "factor").tolist()
