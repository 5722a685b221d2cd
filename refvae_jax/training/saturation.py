"""Warns of a discriminator that is always right: the model may get no useful gradient from it."""

from collections.abc import Mapping

import numpy as np

from refvae_jax.console import LOGGER

ACCURACY = 0.98  # Chosen: mean over its inputs; with a share of image blocks hidden, near perfect.
LINES = 10  # Chosen: log lines in a row, so that one easy batch is no alarm.
PREFIX = "discriminator/accuracy/"


class SaturationWatch:
    """Warns once each time that the accuracy stays at ACCURACY or above for LINES log lines."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def look(self, step: int, scalars: Mapping[str, float]) -> None:
        """Takes the scalars {name: float} of a log step; warns when it is due."""
        accuracies = [value for name, value in scalars.items() if name.startswith(PREFIX)]
        saturated = bool(accuracies) and np.mean(accuracies) >= ACCURACY
        self._in_a_row = self._in_a_row + 1 if saturated else 0
        if self._in_a_row == LINES:
            LOGGER.warning(
                f"step {step}: the discriminator was right on {ACCURACY:.0%} of its inputs in the "
                f"last {LINES} log lines, so its gradient may no longer help the model: if the "
                f"images do not improve, try another "
                f"--config.discriminator_optimizer.learning_rate, or for srbvae and svae a larger "
                f"--config.method.block_dropout."
            )
