"""What a training batch holds for each supervision, and from which splits; evaluation batches.

group         {"image", "group"}                                    train, its labels as groups
reference     {"unlabelled": {"image"}, "reference": {"image"}}     train, reference
unsupervised  {"image"}                                             train

To each `training/step.py` adds "step", the number of updates made. With `num_others` it also has
"others", a batch of that many images of the next steps.

sets = training_sets(config, "reference", splits)
batches = training_batches(sets, config, first_step=0)
"""

from collections.abc import Iterator, Sequence

import jax
import numpy as np
from ml_collections import ConfigDict

from refvae_jax.data.cache import ImageSet
from refvae_jax.data.groups import check_groups, known_groups
from refvae_jax.data.order import check_batch_size
from refvae_jax.data.pipeline import OTHERS, Sets, indexed_batches
from refvae_jax.data.splits import Splits
from refvae_jax.errors import UserError


def training_sets(
    config: ConfigDict, supervision: str, splits: Splits, num_devices: int = 1
) -> Sets:
    """The arrays that batches are drawn from, {set: {field: [N, ...]}}.

    Args:
      config: gives the batch size, and the share of known groups and their seed.
      supervision: of the method, see `methods/base.py`.
      splits: the parts of the data.
      num_devices: that share a batch.

    Raises:
      UserError: there is no reference split, or its images have another shape than the unlabelled
        ones or are fewer than a batch; or there are too few groups.
    """
    train, reference = splits.train, splits.reference
    if supervision == "group":
        groups = known_groups(train.label, config.data.grouped_fraction, config.seed)
        check_groups(groups, config.data.name)
        # The name enters the order of the images: another one gives other runs.
        return {"grouped": {"image": train.image, "group": groups}}
    if supervision == "unsupervised":
        return {"unlabelled": {"image": train.image}}
    if reference is None:
        raise UserError(
            f"{config.method.name} needs reference images, in which the target factors are "
            f"constant: name their split with --config.data.reference_split, for example that of "
            f"the data set reference_mnist, 'reference'."
        )
    shapes = [images.image.shape[1:] for images in (train, reference)]
    if shapes[0] != shapes[1]:
        raise UserError(
            f"Unlabelled images are {list(shapes[0])} and reference images {list(shapes[1])}: "
            f"prepare both with the same size and number of channels."
        )
    check_batch_size(config.batch_size, len(reference.image), "reference", num_devices)
    return {"unlabelled": {"image": train.image}, "reference": {"image": reference.image}}


def training_batches(
    sets: Sets, config: ConfigDict, first_step: int, num_others: int = 0
) -> Iterator[dict]:
    """Returns this process's batches of the steps first_step, ..., num_train_steps - 1.

    See `pipeline.indexed_batches`; a single set is not nested.
    """
    batches = indexed_batches(
        sets,
        batch_size=config.batch_size,
        seed=config.seed,
        chunk=config.data.group_chunk,
        num_others=num_others,
        first_step=first_step,
        num_steps=config.num_train_steps,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    return (unwrap(batch) for batch in batches)


def example_batch(sets: Sets, size: int, num_others: int = 0) -> dict:
    """A batch of zeros, for compiling: `size` images of each set, and `num_others`."""

    def zeros(size: int) -> dict:
        return jax.tree.map(lambda a: np.zeros((size, *a.shape[1:]), a.dtype), dict(sets))

    return unwrap(zeros(size) | ({OTHERS: zeros(num_others)} if num_others else {}))


def stacked(batches: Sequence[dict]) -> dict:
    """Several batches [B, ...] as arrays [n, B, ...]; one batch as it is."""
    if len(batches) == 1:
        return batches[0]
    return jax.tree.map(lambda *arrays: np.stack(arrays), *batches)


def batch_shapes(
    supervision: str, size: int, image_shape: tuple[int, ...], num_others: int = 0
) -> dict:
    """The shapes and types of a batch, where no images are at hand to ask; sizes of each set."""
    images = {"image": jax.ShapeDtypeStruct((size, *image_shape), np.uint8)}
    batch: dict = {"unlabelled": images, "reference": images}
    if supervision != "reference":
        batch = images
    if supervision == "group":
        batch = images | {"group": jax.ShapeDtypeStruct((size,), np.int32)}
    if num_others:
        batch[OTHERS] = batch_shapes(supervision, num_others, image_shape)
    return batch


def unwrap(batch: dict) -> dict:
    """The fields of a single set; those of several stay nested by the set's name."""
    sets = {name: part for name, part in batch.items() if name != OTHERS}
    fields = next(iter(sets.values())) if len(sets) == 1 else sets
    return fields | {OTHERS: unwrap(batch[OTHERS])} if OTHERS in batch else fields


def evaluation_batches(images: ImageSet, *, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yields every image once, in order, in batches of one size.

    The last batch is padded with copies of the last image, whose mask is 0, so that
    sum(mask * x) / sum(mask) is the exact mean over the set.

    Yields:
      {"image": uint8 [B, H, W, C], "label": int32 [B], "factors": float32 [B, F],
      "mask": float32 [B] of 0 and 1}.
    """
    size = len(images.label)
    for start in range(0, size, batch_size):
        positions = np.arange(start, start + batch_size)
        rows = np.minimum(positions, size - 1)
        yield {
            "image": np.asarray(images.image[rows]),
            "label": images.label[rows],
            "factors": images.factors.continuous[rows],
            "mask": (positions < size).astype(np.float32),
        }
