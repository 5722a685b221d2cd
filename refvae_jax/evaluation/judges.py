"""Judges: the evaluation classifiers, trained beside other work and kept on disk between runs.

with trained_beside(splits.train, seed) as classifiers:    # Their training begins.
    ...                                                    # Codes are probed meanwhile.
    classifiers.label(images)                              # Waits for the end of it.

A judge depends on the images, on what is known of them, on the seed, on the code and on the
machine: runs that have all of it in common share one file.
"""

import contextlib
import functools
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from refvae_jax.data.cache import ImageSet
from refvae_jax.evaluation import kept
from refvae_jax.evaluation.measures import Classifiers
from refvae_jax.metrics import image_network
from refvae_jax.metrics.evaluation_classifier import (
    Train,
    train_classifier,
    train_multi_classifier,
    train_regressor,
)

Judge = Callable[[np.ndarray], np.ndarray]
Submit = Callable[[Callable[[], Judge]], "Future[Judge]"]


@contextlib.contextmanager
def trained_beside(train: ImageSet, seed: int) -> Iterator[Classifiers]:
    """Gives Classifiers that are being trained in a thread; what is unfinished at the end is left.

    Args:
      train: what they learn from.
      seed: of initialisation, batches and shifts.
    """
    left = threading.Event()

    def go_on() -> None:
        if left.is_set():
            raise CancelledError

    pool = ThreadPoolExecutor(1)
    try:
        yield train_classifiers(train, seed, pool.submit, go_on)
    finally:
        left.set()
        pool.shutdown(cancel_futures=True)


def train_classifiers(
    train: ImageSet, seed: int, submit: Submit, before_step: Callable[[], None]
) -> Classifiers:
    """Classifiers and regressors of whatever is known of the images of an ImageSet.

    Args:
      train: what they learn from.
      seed: of initialisation, batches and shifts.
      submit: runs a function; the Classifiers wait for its result when they are called.
      before_step: as of `image_network.fit`.
    """

    def begin(about: Any, function: Callable[..., Judge], *arguments: Any, **options: Any) -> Judge:
        kept: Train = functools.partial(train_or_read, about, before_step)
        task = functools.partial(
            function, train.image, *arguments, seed=seed, train=kept, **options
        )
        future = submit(task)
        return lambda images: wait_for(future)(images)

    label = categorical = continuous = None
    known = train.factors
    if len(train.class_names) > 1:
        label = begin("label", train_classifier, train.label, num_classes=len(train.class_names))
    if known.categorical_names:
        sizes = tuple(map(len, known.categorical_names.values()))
        categorical = begin(sizes, train_multi_classifier, known.categorical, sizes)
    if known.continuous_names:
        continuous = begin("continuous", train_regressor, known.continuous)
    return Classifiers(label, categorical, continuous)


def wait_for(future: "Future[Judge]") -> Judge:
    """The trained judge."""
    return future.result()


def train_or_read(
    about: Any,
    before_step: Callable[[], None],
    images: np.ndarray,
    targets: np.ndarray,
    num_outputs: int,
    loss: Callable,
    seed: int,
) -> image_network.Outputs:
    """`image_network.train`, or what it returned before for the same arguments.

    Args:
      about: tells the loss from any other, ready for JSON.
      before_step: as of `image_network.fit`.
      images, targets, num_outputs, loss, seed: as of `image_network.train`.
    """
    settings = [about, num_outputs, seed, image_network.num_steps(len(images))]
    path = kept.path_of("judges", settings, images, targets)
    shape = images.shape[1:]
    variables = read(path, image_network.shapes_of(num_outputs, shape))
    if variables is None:
        variables = image_network.fit(images, targets, num_outputs, loss, seed, before_step)
        leaves = jax.tree.leaves(jax.device_get(variables))
        kept.keep(path, lambda file: np.savez(file, *leaves), "the judges")
    return image_network.outputs_of(variables, num_outputs, shape)


def read(path: Path, template: Any) -> Any:
    """The variables in a file; None if there is none, or it is damaged."""
    wanted, structure = jax.tree_util.tree_flatten(template)
    try:
        with np.load(path) as file:
            leaves = [file[name] for name in file.files]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    if [(x.shape, x.dtype) for x in leaves] != [(x.shape, x.dtype) for x in wanted]:
        return None
    return jax.tree_util.tree_unflatten(structure, leaves)
