"""From a step number to its batch, in the background, for any supervision.

sets = {"unlabelled": {"image": pixels}, "reference": {"image": others}}
for batch in indexed_batches(sets, batch_size=36, seed=0, first_step=0, num_steps=10_000):
    batch["unlabelled"]["image"], batch["reference"]["image"]
"""

import atexit
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import SupportsInt

import numpy as np

from refvae_jax.data.order import check_batch_size, group_chunks, indices_from, shuffled
from refvae_jax.data.readers.tf_cpu import import_tensorflow
from refvae_jax.errors import UserError

Sets = Mapping[str, Mapping[str, np.ndarray]]
OTHERS = "others"  # In a batch: images of the next steps, for losses that compare many.


def indexed_batches(
    sets: Sets,
    *,
    batch_size: int,
    seed: int,
    chunk: int = 1,
    num_others: int = 0,
    first_step: int,
    num_steps: int,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[dict[str, dict[str, np.ndarray]]]:
    """Returns this process's batches of the steps first_step, ..., num_steps - 1.

    The batch of step n does not depend on where the iteration starts, and the batches of the
    processes, concatenated, are the batch of a single process. Every set has its own size, order
    and epochs.

    Args:
      sets: {set: {field: [N of the set, ...]}}; the set's name enters the draw of its order.
      batch_size: B images of each set, of all P processes together; P divides B, and B <= N.
      seed: decides the order.
      chunk: in a set with a field "group", how many members of a group follow each other; with 1
        all orders are equally likely, see `order.group_chunks`.
      num_others: how many images of each set that follow those of the batch come with it, M; P
        divides M, and B + M <= N.
      first_step: the first step to yield, > 0 when resuming.
      num_steps: steps of the whole run.
      process_index: of this process, in [0, P).
      process_count: P, the number of processes.

    Returns:
      An iterator over {set: {field: [B/P, ...]}}, and with M > 0 OTHERS: {set: {field:
      [M/P, ...]}} in it; the arrays are read-only.

    Raises:
      UserError: if B > N of a set, or P does not divide B.
    """
    sizes = {name: len(next(iter(fields.values()))) for name, fields in sets.items()}
    _check_sizes(sizes, batch_size, process_count)
    orders = {name: _order(fields, sizes[name], chunk, seed, name) for name, fields in sets.items()}
    # {(*where in the batch, set): (position of this process's first image, how many)}.
    parts: dict[tuple[str, ...], tuple[int, int]] = {}
    for where, begin, count in (((), 0, batch_size), ((OTHERS,), batch_size, num_others)):
        if share := count // process_count:
            mine = begin + process_index * share, share
            parts |= {(*where, name): mine for name in sets}
    paths = [(*part, field) for part in parts for field in sets[part[-1]]]
    # Plain views: indexing an np.memmap is slower.
    arrays = [np.asarray(sets[name][field]) for *_, name, field in paths]

    def gather(step: SupportsInt) -> list[np.ndarray]:
        rows = {
            (*where, name): indices_from(
                int(step) * batch_size + begin, share, size=sizes[name], order=orders[name]
            )
            for (*where, name), (begin, share) in parts.items()
        }
        return [a.take(rows[path[:-1]], axis=0) for path, a in zip(paths, arrays, strict=True)]

    batches = _in_order(gather, [array.dtype for array in arrays], first_step, num_steps)
    found = (_nested(paths, flat) for flat in batches)
    _open.add(found)
    return found


def _in_order(
    gather: Callable[[SupportsInt], list[np.ndarray]],
    dtypes: list[np.dtype],
    first_step: int,
    num_steps: int,
) -> Iterator[Sequence[np.ndarray]]:
    """gather(step) of each step in order, by tf.data as soon as TensorFlow is loaded.

    That takes seconds, for which the first step does not wait; the next ones go on beside it.
    """
    loading = None
    with ThreadPoolExecutor(1) as pool:
        for step in range(first_step, num_steps):
            if loading and loading.done():
                break
            yield gather(step)
            loading = loading or pool.submit(import_tensorflow)
        else:
            return
    yield from _prefetched(gather, dtypes, step, num_steps)


def _prefetched(
    gather: Callable[[SupportsInt], list[np.ndarray]],
    dtypes: list[np.dtype],
    first_step: int,
    num_steps: int,
) -> Iterator[tuple[np.ndarray, ...]]:
    """gather(step) of each step in order, computed by tf.data ahead of its use."""
    tf = import_tensorflow()
    types = [tf.as_dtype(dtype) for dtype in dtypes]
    # Two parallel calls hide the disk while the cache is not in memory yet; more gain nothing.
    batches = tf.data.Dataset.range(first_step, num_steps).map(
        lambda step: tuple(tf.numpy_function(gather, [step], types)),
        num_parallel_calls=2,
        deterministic=True,
    )
    return batches.prefetch(4).as_numpy_iterator()


def _check_sizes(sizes: Mapping[str, int], batch_size: int, process_count: int) -> None:
    """Raises UserError if a set has too few images or the processes cannot share a batch."""
    for name, size in sizes.items():
        check_batch_size(batch_size, size, name)
    if batch_size % process_count:
        raise UserError(
            f"batch_size is {batch_size}, which {process_count} processes cannot share evenly: "
            f"set --config.batch_size to a multiple of {process_count}."
        )


def _order(
    fields: Mapping[str, np.ndarray], size: int, chunk: int, seed: int, name: str
) -> Callable[[int], np.ndarray]:
    """The order of a set: in chunks of groups if it has them, else shuffled."""
    if chunk > 1 and "group" in fields:
        return group_chunks(fields["group"], chunk, seed, name)
    return shuffled(size, seed, name)


_open = weakref.WeakSet()  # Iterators over batches that are still referenced.


@atexit.register
def _close_all() -> None:
    """Closes them before Python exits: TensorFlow would block forever on calls into it."""
    for batches in list(_open):
        batches.close()


def _nested(paths: list[tuple[str, ...]], flat: Sequence[np.ndarray]) -> dict:
    """The arrays as a tree of dicts, each at its path."""
    tree: dict = {}
    for (*outer, field), array in zip(paths, flat, strict=True):
        part = tree
        for name in outer:
            part = part.setdefault(name, {})
        part[field] = array
    return tree
