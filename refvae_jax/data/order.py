"""The order in which training sees its images: a pure function of the step.

Item j of step n stands at position n*B + j of an endless sequence of epochs, each a permutation
of the set drawn from (seed, name, epoch). So nothing has to be saved or replayed to resume, and
any process can compute its own part of any batch.
"""

import functools
import hashlib

import numpy as np

from refvae_jax.errors import UserError


def make_rng(seed: int, *parts: str | int) -> np.random.Generator:
    """Returns a generator that depends on `seed` and every part, the same in every process."""
    # Python's hash() differs from process to process; SHA-256 does not.
    words = "/".join([str(int(seed)), *map(str, parts)])
    digest = hashlib.sha256(words.encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest, "little")))


def batch_indices(step: int, *, batch_size: int, size: int, seed: int, name: str) -> np.ndarray:
    """Returns which images make up the batch of one step, in time independent of the step.

    Args:
      step: the step n >= 0.
      batch_size: images a batch, B <= size.
      size: images in the set.
      seed: the run's seed.
      name: keeps sets that are read side by side independent of each other.

    Returns:
      int64 [B], each in [0, size); a batch that runs across the end of an epoch continues with
      the next one.

    Raises:
      UserError: if batch_size > size.
    """
    check_batch_size(batch_size, size)
    epoch, offset = divmod(step * batch_size, size)
    indices = _permutation(size, seed, name, epoch)[offset : offset + batch_size]
    missing = batch_size - len(indices)
    if missing:
        following = _permutation(size, seed, name, epoch + 1)[:missing]
        return np.concatenate([indices, following])
    return indices.copy()  # The cached permutation stays ours.


def check_batch_size(batch_size: int, size: int) -> None:
    """Raises UserError if a batch needs more images than the set has."""
    if batch_size > size:
        raise UserError(
            f"batch_size is {batch_size} but the training split has {size} images: "
            f"set --config.batch_size to at most {size}, or choose a larger split."
        )


# Two epochs, for a batch across the end of one, of each of the two sets that the reference
# setting reads side by side. Safe for threads: lru_cache locks itself, and two threads that miss
# at the same time compute the same values.
@functools.lru_cache(maxsize=4)
def _permutation(size: int, seed: int, name: str, epoch: int) -> np.ndarray:
    return make_rng(seed, name, epoch).permutation(size)
