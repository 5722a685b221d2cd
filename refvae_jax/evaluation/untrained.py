"""The scores of a model before its training, which runs that begin alike have in common.

path = path_of(beginning, variables, splits, seed)
values = read(path)                     # None the first time
keep(path, values)                      # {name of a Score: its value}
"""

import json
from pathlib import Path

import jax
import numpy as np

from refvae_jax.data import cache
from refvae_jax.data.splits import Splits
from refvae_jax.evaluation import kept
from refvae_jax.evaluation.measures import PARTS
from refvae_jax.inference import Model
from refvae_jax.methods.base import Variables

_SEEN = 64  # Images whose codes enter the path: they tell how the parameters are used.

Values = dict[str, float]


def path_of(beginning: Model, variables: Variables, splits: Splits, seed: int) -> Path:
    """The file of these scores, another one for whatever they depend on.

    Constants of the loss are not among it.

    Args:
      beginning: the untrained Model.
      variables: its own.
      splits: `comparable` Splits.
      seed: of probes and draws.
    """
    parts = [getattr(splits, name) for name in ("train", *PARTS)]
    known = [array for p in parts for array in (p.factors.continuous, p.factors.categorical)]
    codes = beginning.encode(splits.test.image[:_SEEN])
    leaves = jax.tree.leaves(jax.device_get([variables, codes, known]))
    settings = [seed, beginning.method.supervision, *map(cache.digest, parts)]
    return kept.path_of("untrained", settings, *map(np.asarray, leaves))


def read(path: Path) -> Values | None:
    """The values in a file; None if there is none, or it is damaged."""
    try:
        found = json.loads(path.read_bytes())
        return {str(name): float(value) for name, value in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def keep(path: Path, values: Values) -> None:
    """Writes the values."""
    kept.keep(path, lambda file: file.write(json.dumps(values).encode()), "untrained scores")
