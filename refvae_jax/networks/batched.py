"""A compiled function on any number of rows.

apply_batched(function, images, size=256)    # compiled for 256 rows, whatever len(images) is
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def apply_batched(function: Callable[[Any], Any], tree: Any, size: int) -> Any:
    """function(tree) in batches of `size` rows, the last one padded by repeating its last row.

    Args:
      function: of a tree of arrays [size, ...] to a tree of arrays [size, ...]; each row of the
        output depends on that row of the input only.
      tree: of arrays [N, ...], N > 0.
      size: rows per call.

    Returns:
      The outputs, numpy arrays [N, ...].
    """
    tree = jax.tree.map(np.asarray, tree)
    count = len(jax.tree.leaves(tree)[0])
    pieces = []
    for start in range(0, count, size):
        rows = np.minimum(np.arange(start, start + size), count - 1)
        pieces.append(jax.device_get(function(jax.tree.map(lambda x, rows=rows: x[rows], tree))))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *pieces)
