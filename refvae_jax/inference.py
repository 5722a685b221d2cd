"""Reads the checkpoint of a run, an example or an exported model as a Model.

model = load("runs/quickstart-s0")     # or "example:digits"
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from refvae_jax import packed
from refvae_jax.data.image_identity import check_same_images, image_record
from refvae_jax.data.readers.image_files import ImageForm
from refvae_jax.data.splits import Splits, open_splits
from refvae_jax.distributions import Gaussian
from refvae_jax.errors import UserError
from refvae_jax.methods import METHODS
from refvae_jax.methods.base import DataInfo, Method
from refvae_jax.model import Model
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


class Stored(NamedTuple):
    """What inference needs of a checkpoint."""

    variables: dict[str, Any]
    record: dict[str, Any]  # See `training/checkpoint.py`.
    step: int


def form_of(record: dict[str, Any]) -> ImageForm:
    """How the images of the training were brought to size."""
    crop = record["config"]["data"]["crop"]
    return ImageForm(tuple(record["image_shape"]), crop, tuple(record.get("value_range", ())))


def method_of(record: dict[str, Any], platform: str | None = None) -> Method:
    """The Method of a checkpoint for one device, by default of the kind that is here.

    Args:
      record: of the checkpoint.
      platform: "cpu", "gpu" or "tpu".
    """
    config = ConfigDict(record["config"])
    platform = platform or jax.default_backend()
    info = DataInfo(form_of(record).shape, record["num_train_images"], platform)
    return METHODS[config.method.name](config, info)


def model_of(variables: dict[str, Any], record: dict[str, Any]) -> Model:
    """The Model of what `read` reads.

    Raises:
      UserError: the checkpoint is of a version whose discriminators had another form.
    """
    if "critic" in variables["params"]:
        raise UserError(
            f"This {record['config']['method']['name']} checkpoint was written by version 0.1, "
            f"whose discriminators this version cannot read: train again."
        )
    return Model(method_of(record), variables, form_of(record))


def read(run: str | Path, step: str | int = "best") -> Stored:
    """The checkpoint of a run, `example:NAME` or a folder that `export` wrote.

    Args:
      run: which one.
      step: "best", "last" or a number.

    Raises:
      UserError: there is no such run, example or checkpoint.
    """
    folder = packed.packed_folder(run)
    if folder is None:
        return Stored(*checkpoint.load(run, step))
    description, arrays = packed.read(folder)
    only = description["step"]
    if str(step) not in ("best", "last", str(only)):
        raise UserError(f"{run} has one checkpoint, {only}: leave out the step {step!r}.")
    record = description["record"]
    template = jax.eval_shape(method_of(record).init, jax.random.key(0))
    return Stored(packed.unflattened(arrays, template), record, only)


def load(run: str | Path, step: str | int = "best") -> Model:
    """The Model of a run, of `example:NAME` or of an exported folder, on any devices.

    Args:
      run: which one.
      step: "best", "last" or a number.

    Raises:
      UserError: there is no such run, example or checkpoint, or version 0.1 wrote it with a
        discriminator.
    """
    stored = read(run, step)
    return model_of(stored.variables, stored.record)


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
