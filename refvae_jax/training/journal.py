"""What training writes: metrics.jsonl, timing.jsonl and TensorBoard events.

metrics.jsonl holds what the run computed, a line per log step, and no times: a run that was killed
and resumed leaves the identical file. timing.jsonl holds the speed of the machine.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refvae_jax.files import append_json_line, atomic
from refvae_jax.training import processes


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except ValueError:
        return float("inf")  # A line that a kill cut short.


def cut_back(path: str | Path, step: int) -> None:
    """Removes the lines of a .jsonl that are later than `step`."""
    path = Path(path)
    if path.exists():
        kept = [line for line in path.read_text().splitlines(True) if _step_of(line) <= step]
        with atomic(path) as temporary:
            temporary.write_text("".join(kept))


class Journal:
    """metrics.jsonl, timing.jsonl and TensorBoard events of a workdir, by the first process only.

    clu's writer is loaded at the first line: importing it loads TensorFlow, which takes seconds
    that the first step should not wait for.
    """

    def __init__(self, workdir: str | Path) -> None:
        self._workdir = Path(workdir)
        self._main = processes.is_main()
        self._board: Any = None

    def cut_back(self, step: int) -> None:
        """Removes the lines of later steps; TensorBoard's events stay."""
        if self._main:
            for name in ("metrics.jsonl", "timing.jsonl"):
                cut_back(self._workdir / name, step)

    def write(
        self, step: int, scalars: Mapping[str, float], speed: Mapping[str, float] | None = None
    ) -> None:
        """Writes {name: float}; `speed` is what `Progress.report` gives, of this machine."""
        if not self._main:
            return
        append_json_line({"step": step, **scalars}, self._workdir / "metrics.jsonl")
        if speed is not None:
            append_json_line({"step": step, **speed}, self._workdir / "timing.jsonl")
            scalars = {**scalars, "images_per_second": speed["images_per_second"]}
        if self._board is None:
            from clu import metric_writers

            self._board = metric_writers.SummaryWriter(str(self._workdir))
        self._board.write_scalars(step, scalars)

    def close(self) -> None:
        """Flushes what is waiting."""
        if self._board is not None:
            self._board.close()
