"""Batches for the group setting: images, some of which are known to share their content."""

from collections.abc import Iterator

import numpy as np

from refvae_jax.data.cache import ImageSet
from refvae_jax.data.order import batch_indices, check_batch_size, make_rng
from refvae_jax.data.tf_cpu import import_tensorflow
from refvae_jax.errors import UserError


def known_groups(label: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Hides the group of all but a fraction of the images.

    Args:
      label: int [N], the group of each image.
      fraction: in [0, 1]; exactly round(fraction * N) images keep their group, and those of a
        smaller fraction are among those of a larger one.
      seed: decides which images.

    Returns:
      int32 [N], the label where it is known and -1 elsewhere.

    Raises:
      UserError: if the fraction is outside [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise UserError(
            f"data.grouped_fraction is {fraction}: set --config.data.grouped_fraction "
            "to a number from 0 to 1."
        )
    order = make_rng(seed, "known_groups").permutation(len(label))
    known = order[: round(fraction * len(label))]
    group = np.full(len(label), -1, np.int32)
    group[known] = label[known]
    return group


def grouped_batches(
    images: ImageSet,
    *,
    batch_size: int,
    seed: int,
    first_step: int,
    num_steps: int,
    grouped_fraction: float,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Returns this process's batches of the steps first_step, ..., num_steps - 1.

    Step n is the same batch wherever the iteration starts, and the batches of the processes,
    concatenated, are the batch of one process.

    Args:
      images: the training set, of N images.
      batch_size: B, of all P processes together; P divides B, and B <= N.
      seed: decides the order and which groups are known.
      first_step: the first step to come, > 0 when resuming.
      num_steps: the number of steps of the whole run.
      grouped_fraction: in [0, 1], see `known_groups`.
      process_index: this process's place among `process_count`, P.
      process_count: P.

    Returns:
      An iterator over {"image": uint8 [B/P, H, W, C], "group": int32 [B/P], -1 for none};
      the arrays are read-only.

    Raises:
      UserError: if B > N, P does not divide B, or the fraction is outside [0, 1].
    """
    check_batch_size(batch_size, len(images.label))
    if batch_size % process_count:
        raise UserError(
            f"batch_size is {batch_size}, which {process_count} processes cannot share evenly: "
            f"set --config.batch_size to a multiple of {process_count}."
        )
    group = known_groups(images.label, grouped_fraction, seed)
    pixels = np.asarray(images.image)  # Plain view: indexing np.memmap itself costs more.
    share = batch_size // process_count
    mine = slice(process_index * share, (process_index + 1) * share)

    def gather(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = batch_indices(
            int(step), batch_size=batch_size, size=len(group), seed=seed, name="grouped"
        )[mine]
        return pixels.take(rows, axis=0), group[rows]

    tf = import_tensorflow()

    def read(step):
        image, group = tf.numpy_function(gather, [step], (tf.uint8, tf.int32))
        return {"image": image, "group": group}

    # Two calls at a time hide the disk when the cache is not in memory yet; more gain nothing.
    steps = tf.data.Dataset.range(first_step, num_steps)
    batches = steps.map(read, num_parallel_calls=2, deterministic=True).prefetch(4)
    return batches.as_numpy_iterator()
