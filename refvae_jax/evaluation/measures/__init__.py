"""What is measured: every module here has `measure(evaluated) -> iterable of Scores`.

A new metric is one more module; `all_scores` finds it. One that takes long may tell of its parts,
for the progress that is shown: `count_parts(latent_names, splits)` says after how many it calls
`evaluated.part_done`.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np

from refvae_jax.data.splits import Splits
from refvae_jax.distributions import Gaussian
from refvae_jax.evaluation.ground_truth import GroundTruth
from refvae_jax.evaluation.score import Score
from refvae_jax.inference import Model


class Classifiers(NamedTuple):
    """Trained on real images, functions of uint8 [N, H, W, C]; None for what is not known."""

    label: Callable[[np.ndarray], np.ndarray] | None  # -> [N]
    categorical: Callable[[np.ndarray], np.ndarray] | None  # -> [N, K]
    continuous: Callable[[np.ndarray], np.ndarray] | None  # -> [N, F]


class Evaluated(NamedTuple):
    """What a measure may look at.

    Attributes:
      model: the Model.
      splits: `comparable` Splits; "test" is scored.
      codes: {"probe_train", "validation", "test": {latent: Gaussian of [N, D]}}, of the model.
      truth: makes Scores of values.
      classifiers: of pixels.
      supervision: of the method.
      seed: of probes and draws.
      part_done: to be called after each of the `count_parts` of a measure.
    """

    model: Model
    splits: Splits
    codes: Mapping[str, Mapping[str, Gaussian]]
    truth: GroundTruth
    classifiers: Classifiers
    supervision: str
    seed: int
    part_done: Callable[[], None] = lambda: None


PARTS = ("probe_train", "validation", "test")


def encode(model: Model, splits: Splits) -> dict[str, dict[str, Gaussian]]:
    """The `codes` of Evaluated."""
    return {name: model.encode(getattr(splits, name).image) for name in PARTS}


def _modules() -> list[ModuleType]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [importlib.import_module(f"{__name__}.{name}") for name in names]


def count_parts(latent_names: Sequence[str], splits: Splits) -> int:
    """How often `all_scores` calls `part_done`; a measure that does not say counts as one part."""
    counts = (getattr(module, "count_parts", None) for module in _modules())
    return sum(count(latent_names, splits) if count else 1 for count in counts)


def all_scores(evaluated: Evaluated) -> list[Score]:
    """The Scores of every measure, in the order of their modules' names."""
    found: list[Score] = []
    for module in _modules():
        found += module.measure(evaluated)
        if not hasattr(module, "count_parts"):
            evaluated.part_done()
    return found
