"""Warnings drawn from the scalars of the log lines, while a run trains.

watch = SaturationWatch()    # or LabelWatch()
watch.look(step, scalars)    # at each log line
"""

from collections.abc import Mapping

import numpy as np

from refvae_jax.console import LOGGER

ACCURACY = 0.98  # Chosen: mean over its inputs; with a share of image blocks hidden, near perfect.
LINES = 10  # Chosen: log lines in a row, so that one easy batch is no alarm.
PREFIX = "discriminator/accuracy/"
EQUAL_LABELS = "/equal_labels"  # How the scalar of methods/independence.py ends.


class SaturationWatch:
    """Warns of a discriminator that is always right: the model may get no useful gradient from it.

    Once each time that the accuracy stays at ACCURACY or above for LINES log lines.
    """

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


class LabelWatch:
    """Warns, once, of a batch whose labels say nothing: its independence term is zero."""

    def __init__(self) -> None:
        self._warned = False

    def look(self, step: int, scalars: Mapping[str, float]) -> None:
        """Takes the scalars {name: float} of a log step; warns when it is due."""
        shares = {value for name, value in scalars.items() if name.endswith(EQUAL_LABELS)}
        if self._warned or not shares & {0.0, 1.0}:
            return
        self._warned = True
        how = "no two" if 0.0 in shares else "all"
        LOGGER.warning(
            f"step {step}: in this batch {how} images with a group share it, so the independence "
            f"term of --config.method.w_independence is zero there: "
            + (
                "let members of a group follow each other with --config.data.group_chunk=2 or "
                "more, or raise --config.batch_size."
                if 0.0 in shares
                else "raise --config.batch_size, or lower --config.data.group_chunk."
            )
        )
