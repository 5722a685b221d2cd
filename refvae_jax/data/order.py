"""The order in which training sees its images: a pure function of the step.

Item j of step n stands at position n*B + j of an endless sequence of epochs, each a permutation
of the set drawn from (seed, name, epoch): plain, or with members of a group side by side. So
nothing has to be saved or replayed to resume, and any process can compute its part of any batch.
"""

import functools
import hashlib
from collections.abc import Callable

import numpy as np

from refvae_jax.errors import UserError, counted


def make_rng(seed: int, *parts: str | int) -> np.random.Generator:
    """Returns a generator that depends on `seed` and every part, the same in every process."""
    # Python's hash() differs from process to process; SHA-256 does not.
    words = "/".join([str(int(seed)), *map(str, parts)])
    digest = hashlib.sha256(words.encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest, "little")))


Order = Callable[[int], np.ndarray]  # From the epoch to a permutation of the set.


def shuffled(size: int, seed: int, name: str) -> Order:
    """The order of a set of `size` images, every permutation equally likely.

    Args:
      size: images in the set.
      seed: the run's seed.
      name: keeps sets that are read side by side independent of each other.
    """
    return _remembered(lambda epoch: make_rng(seed, name, epoch).permutation(size))


def group_chunks(groups: np.ndarray, chunk: int, seed: int, name: str) -> Order:
    """An order that keeps members of a group together, `chunk` at a time.

    In every epoch the members of each group are shuffled and cut into chunks; the last chunk of a
    group holds the remainder. The chunks of all groups follow each other in random order. An image
    without a group is a chunk of its own.

    Args:
      groups: int [N], any ids; -1 = no group.
      chunk: members that follow each other, at least 1.
      seed, name: as in `shuffled`.
    """
    # Each image without a group becomes a group of its own; groups are then numbered from 0.
    distinct = np.where(groups < 0, -1 - np.arange(len(groups)), groups)
    _, group, size = np.unique(distinct, return_inverse=True, return_counts=True)
    chunks = -(-size // chunk)  # Of each group.
    first_chunk = np.cumsum(chunks) - chunks

    def permutation(epoch: int) -> np.ndarray:
        rng = make_rng(seed, name, epoch)
        place, _ = place_in_group(group, rng)
        turn = rng.permutation(chunks.sum())[first_chunk[group] + place // chunk]
        return np.lexsort((place, turn))

    return _remembered(permutation)


def _remembered(permutation: Order) -> Order:
    # Two epochs, for a batch across the end of one. Thread-safe: lru_cache locks itself, and two
    # threads that miss at the same time compute the same values.
    return functools.lru_cache(maxsize=2)(permutation)


def place_in_group(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Assigns the places 0, 1, ... to the images of each group in random order.

    Args:
      labels: int [N], the groups.
      rng: draws the order.

    Returns:
      (place of each image in its group, size of its group), int64 [N] both.
    """
    order = np.lexsort((rng.random(len(labels)), labels))
    _, first, inverse, size = np.unique(
        labels[order], return_index=True, return_inverse=True, return_counts=True
    )
    place, sizes = np.empty(len(labels), np.int64), np.empty(len(labels), np.int64)
    place[order] = np.arange(len(labels)) - first[inverse]
    sizes[order] = size[inverse]
    return place, sizes


def indices_from(position: int, count: int, *, size: int, order: Order) -> np.ndarray:
    """Returns the images at some positions of the sequence, in time independent of the position.

    Args:
      position: of the first, >= 0: the batch of step n begins at n*B.
      count: how many images, at most `size`.
      size: images in the set.
      order: of the images in each epoch.

    Returns:
      int64 [count], each in [0, size); after the end of an epoch comes the next one.
    """
    epoch, offset = divmod(position, size)
    indices = order(epoch)[offset : offset + count]
    missing = count - len(indices)
    if missing:
        return np.concatenate([indices, order(epoch + 1)[:missing]])
    return indices.copy()  # The cached permutation must not be changed by the caller.


def check_batch_size(batch_size: int, size: int, name: str, num_devices: int = 1) -> None:
    """Raises UserError if a batch needs more images than the set of that name has.

    Args:
      batch_size: images per batch.
      size: images in the set.
      name: of the set, for messages.
      num_devices: divides what the message advises.
    """
    if not size:
        raise UserError(f"The {name} split is empty: choose another, or put images there.")
    if batch_size > size:
        largest = size - size % num_devices
        advice = (
            f"put more there, or set --config.batch_size={largest}"
            if largest
            else f"put {num_devices} or more there, as many as there are devices"
        )
        raise UserError(
            f"batch_size is {batch_size} but the {name} split has {counted(size, 'image')}: "
            f"{advice}."
        )
