"""Presets of well-known sets: the label that is the group, factors to score, splits, crop.

    presets.choose(config.data, "lfw")

Where test groups must be unseen in training, probes learn from half of the images of each. The
share held out, where TFDS has no split, is chosen.
"""

from typing import Any

from ml_collections import ConfigDict

from refvae_jax.data.readers.source import ARRAYS_DATASET, FOLDER_DATASET
from refvae_jax.errors import UserError, did_you_mean

# For every set, unless its own entry differs.
_USUAL: dict[str, Any] = {
    "train_split": "train",
    "validation_split": "validation",
    "test_split": "test",
    "probe_train_split": "",
    "label": "label",
    "factors": (),
    "hold_out": 0.1,
    "split_by": "members",
    "resolution": 64,
    "crop": 0,
}
_UNSEEN_GROUPS = {
    "split_by": "groups",
    "probe_train_split": "test@members[:50%]",
    "test_split": "test@members[50%:]",
}
_REFERENCE_MNIST = {
    "train_split": "unlabelled",
    "reference_split": "reference",
    "probe_train_split": "probe_fit",
    "test_split": "probe_test",
}
SETS: dict[str, dict[str, Any]] = {
    FOLDER_DATASET: {"crop": -1},  # Your own images, see listing.py.
    ARRAYS_DATASET: {"crop": -1},  # The same in arrays, see arrays.py.
    # The aligned 178 x 218 images; groups are identities, as in the mixture paper.
    "celeb_a": _UNSEEN_GROUPS | {"label": "identity/Identity_No", "crop": 140, "hold_out": 0.05},
    # 250 x 250; groups are persons, most of whom have one image only.
    "lfw": _UNSEEN_GROUPS | {"crop": 150},
    "cars3d": _UNSEEN_GROUPS | {"factors": ("azimuth", "elevation"), "hold_out": 0.05},
    # Aligned faces; the label is the expression, see builders/affectnet.py.
    "affectnet": {
        "train_split": "unlabelled",
        "probe_train_split": "probe_fit",
        "test_split": "probe_test",
    },
    "dsprites": {
        "label": "label_shape",
        "factors": ("value_scale", "value_orientation", "value_x_position", "value_y_position"),
        "hold_out": 0.02,
    },
    "shapes3d": {
        "label": "label_shape",
        "factors": (
            "value_floor_hue",
            "value_object_hue",
            "value_orientation",
            "value_scale",
            "value_wall_hue",
        ),
        "hold_out": 0.02,
    },
    # The first image of each stereo pair. The ten toys of a category are five in train and five in
    # test, so the instance cannot be scored.
    "smallnorb": {
        "label": "label_category",
        "factors": ("label_azimuth", "label_elevation", "label_lighting"),
        "crop": -1,
    },
    "digits5k": {"resolution": 32},
    "reference_mnist/32x32": _REFERENCE_MNIST | {"resolution": 32},
    "reference_mnist/32x32_digits5k": _REFERENCE_MNIST | {"resolution": 32},
    "reference_mnist/64x64": _REFERENCE_MNIST,
    "mnist": {"resolution": 32},
    "fashion_mnist": {"resolution": 32},
    "emnist": {"resolution": 32},
}

# The images of all others are taken to be in colour; what they are is known once they are read.
_GREY = ("digits5k", "mnist", "fashion_mnist", "emnist", "dsprites", "smallnorb")


def channels(name: str) -> int:
    """How many channels the images of a set have: 1 if they are grey, else 3."""
    return 1 if name.split(":")[0].split("/")[0] in _GREY else 3


def choose(data: ConfigDict, name: str) -> None:
    """Sets the fields of `config.data` for a set of SETS, named with or without its TFDS config.

    Raises:
      UserError: if there is no preset for it.
    """
    base = name if name in SETS else name.split(":")[0].split("/")[0]
    if base not in SETS:
        if "/" in name:
            raise UserError(f"There is no folder {name}, nor a set of that name.")
        raise UserError(
            f"There is no preset for the set '{name}'.{did_you_mean(base, SETS)} Presets: "
            f"{', '.join(SETS)}; for another TFDS set give data.name, data.label, data.factors and "
            f"the splits one by one."
        )
    data.update(_USUAL | SETS[base] | {"name": name})
