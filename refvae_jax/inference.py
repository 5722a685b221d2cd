"""Reads the checkpoint of a run as a Model.

model = load("runs/quickstart-s0")
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from refvae_jax.data.image_identity import check_same_images, image_record
from refvae_jax.data.readers.image_files import ImageForm
from refvae_jax.data.splits import Splits, open_splits
from refvae_jax.distributions import Gaussian
from refvae_jax.errors import UserError
from refvae_jax.methods import METHODS
from refvae_jax.methods.base import DataInfo
from refvae_jax.model import Model
from refvae_jax.networks.conv.forms import Hardware
from refvae_jax.training import checkpoint


def posterior_sample(q: Gaussian, seed: int, name: str) -> np.ndarray:
    """One sample of a numpy Gaussian, [N, D]; the noise differs for every seed and name."""
    eps = np.random.default_rng([seed, *name.encode()]).standard_normal(q.mean.shape, np.float32)
    return np.asarray(q.mean + eps * np.exp(0.5 * q.logvar))


class Trained(NamedTuple):
    """A checkpoint, read with the images that it was trained on."""

    model: Model
    step: int
    splits: Splits


def model_of(variables: dict[str, Any], record: dict[str, Any]) -> Model:
    """The Model of what `checkpoint.load` reads.

    Raises:
      UserError: the checkpoint is of a version whose discriminators had another form.
    """
    config = ConfigDict(record["config"])
    if "critic" in variables["params"]:
        raise UserError(
            f"This {config.method.name} checkpoint was written by version 0.1, whose "
            f"discriminators this version cannot read: train again."
        )
    hardware = Hardware(jax.default_backend(), num_devices=1)
    form = ImageForm(
        tuple(record["image_shape"]), config.data.crop, tuple(record.get("value_range", ()))
    )
    info = DataInfo(form.shape, record["num_train_images"], hardware)
    return Model(METHODS[config.method.name](config, info), variables, form)


def load(workdir: str | Path, step: str | int = "best") -> Model:
    """The Model of a run, on any devices; `step` is "best", "last" or a number.

    Raises:
      UserError: there is no such run or checkpoint, or version 0.1 wrote it with a discriminator.
    """
    variables, record, _ = checkpoint.load(workdir, step)
    return model_of(variables, record)


def open_trained(
    config: ConfigDict, workdir: str | Path, step: str | int = "best", splits: Splits | None = None
) -> Trained:
    """Reads a checkpoint and opens the images that it was trained on.

    Args:
      config: of the run; says where the data are.
      workdir: the run's folder.
      step: "best", "last" or a number.
      splits: the config's Splits, if they are open already.

    Returns:
      Trained.

    Raises:
      UserError: there is no such checkpoint, or the images are not those of its training.
    """
    variables, record, found = checkpoint.load(workdir, step)
    model = model_of(variables, record)
    splits = open_splits(config) if splits is None else splits
    check_same_images(record, image_record(splits.train, splits.reference))
    return Trained(model, found, splits)
