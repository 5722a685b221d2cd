"""What training writes: metrics.jsonl, timing.jsonl, launches.jsonl and TensorBoard events.

metrics.jsonl holds what the run computed, a line per log step, and no times: a run that was killed
and resumed leaves the identical file. timing.jsonl holds the speed of the machine, launches.jsonl a
line per start of training.

Objects in a bucket cannot be appended to: for a run there the files are kept on the local disk and
uploaded whole before each checkpoint is committed. So the rows up to any checkpoint are there, and
what a kill loses is computed again.
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from refvae_jax import buckets
from refvae_jax.buckets import is_bucket
from refvae_jax.files import append_json_line, as_path, atomic, never_lost
from refvae_jax.training import launches, processes
from refvae_jax.training.scratch import scratch_folder

_TABLES = ("metrics.jsonl", "timing.jsonl", launches.FILE)


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
    """The files above of a workdir, written by the first process only.

    clu's writer is loaded at the first line: importing it loads TensorFlow, which takes seconds
    that the first step should not wait for.

    Args:
      workdir: the run's folder.
      check_ours: raises if another run has taken over a folder in a bucket; called before each
        file is uploaded.
      command: that trains, for launches.jsonl.
    """

    def __init__(
        self,
        workdir: str | Path,
        check_ours: Callable[[], None] = never_lost,
        command: str = "",
    ) -> None:
        self._workdir = as_path(workdir)
        self._check_ours, self._command = check_ours, command
        self._main = processes.is_main()
        self._board: Any = None
        self._scratch = contextlib.ExitStack()
        self._folder, self._remote = self._workdir, is_bucket(self._workdir)
        if self._remote:
            self._folder = self._scratch.enter_context(scratch_folder())

    def cut_back(self, step: int) -> None:
        """Removes the lines of later steps; TensorBoard's events stay."""
        if not self._main:
            return
        if self._remote:
            there = [name for name in _TABLES if (self._workdir / name).exists()]
            buckets.download(there, self._workdir, self._folder)
        for name in _TABLES:
            cut_back(self._folder / name, step)

    def launch(self, step: int) -> None:
        """Notes that training goes on from this step."""
        if self._main:
            append_json_line(launches.describe(step, self._command), self._folder / launches.FILE)

    def write(
        self, step: int, scalars: Mapping[str, float], speed: Mapping[str, float] | None = None
    ) -> None:
        """Writes {name: float}; `speed` is what `Progress.report` gives, of this machine."""
        if not self._main:
            return
        append_json_line({"step": step, **scalars}, self._folder / "metrics.jsonl")
        if speed is not None:
            append_json_line({"step": step, **speed}, self._folder / "timing.jsonl")
            scalars = {**scalars, "images_per_second": speed["images_per_second"]}
        if self._board is None:
            from clu import metric_writers

            self._board = metric_writers.SummaryWriter(str(self._folder))
        self._board.write_scalars(step, scalars)

    def upload(self) -> None:
        """Brings a run in a bucket up to what was written here; needed nowhere else."""
        if self._main and self._remote:
            if self._board is not None:
                self._board.flush()
            with scratch_folder() as scratch:  # The main thread goes on writing to the files.
                copy = shutil.copytree(self._folder, scratch / "copy")
                files = {path.name: path for path in copy.iterdir()}
                buckets.upload(files, self._workdir, self._check_ours)

    def close(self) -> None:
        """Flushes what is waiting."""
        try:
            self.upload()
        finally:
            if self._board is not None:
                self._board.close()
            self._scratch.close()
