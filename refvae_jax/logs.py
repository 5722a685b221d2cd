"""What a run writes while it goes on: metrics.jsonl, timing.jsonl, TensorBoard, progress.

metrics.jsonl holds what the run computed, a line a log step, and nothing of the clock: a run that
was killed and resumed leaves the identical file. timing.jsonl holds what the machine did.
"""

import json
import time
from pathlib import Path

import jax


def _step_of(line):
    try:
        return json.loads(line)["step"]
    except ValueError:
        return float("inf")  # A line that a kill cut short.


def cut_back(path, step):
    """Removes the lines of a .jsonl that are later than `step`, as if they had never been."""
    path = Path(path)
    if path.exists():
        kept = [line for line in path.read_text().splitlines(True) if _step_of(line) <= step]
        part = path.with_suffix(".part")
        part.write_text("".join(kept))
        part.replace(path)


def append(path, row):
    """Adds one JSON line, out of this process's hands before it returns: a kill cannot lose it."""
    with open(path, "a") as file:
        file.write(json.dumps(row) + "\n")


def write_json(value, path):
    """Writes a JSON file whole or not at all."""
    part = Path(path).with_suffix(".part")
    part.write_text(json.dumps(value, indent=2) + "\n")
    part.replace(path)


class Journal:
    """metrics.jsonl, timing.jsonl and TensorBoard events of a workdir, by the first process only.

    clu's writer is loaded at the first line: importing it loads TensorFlow, which takes seconds
    that the first step should not wait for.
    """

    def __init__(self, workdir):
        self._workdir = Path(workdir)
        self._main = jax.process_index() == 0
        self._board = None

    def cut_back(self, step):
        """Forgets what was written of later steps; TensorBoard's events stay."""
        if self._main:
            for name in ("metrics.jsonl", "timing.jsonl"):
                cut_back(self._workdir / name, step)

    def write(self, step, scalars, speed=None):
        """Writes {name: float}; `speed` is what `Progress.report` gives, of this machine."""
        if not self._main:
            return
        append(self._workdir / "metrics.jsonl", {"step": step} | scalars)
        if speed is not None:
            append(self._workdir / "timing.jsonl", {"step": step} | speed)
            scalars = scalars | {"images_per_second": speed["images_per_second"]}
        if self._board is None:
            from clu import metric_writers

            self._board = metric_writers.SummaryWriter(str(self._workdir))
        self._board.write_scalars(step, scalars)

    def close(self):
        """Flushes what is waiting."""
        if self._board is not None:
            self._board.close()


def duration(seconds):
    """`1:02:03` or `2:03`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Progress:
    """Speed and time left, measured since the last report.

    Args:
      first_step: where this process starts.
      num_steps: where the run ends.
      batch_size: images a step.
      clock: () -> seconds; injected by tests.
    """

    def __init__(self, first_step, num_steps, batch_size, clock=time.perf_counter):
        self._clock, self._num_steps, self._batch_size = clock, num_steps, batch_size
        self._step, self._start = first_step, clock()
        self.waited = 0.0

    def pause(self, seconds):
        """Takes out of the measurement what was no training (compiling, validating)."""
        self._start += seconds

    def report(self, step):
        """{"images_per_second", "seconds_left", "waiting"} since the last report.

        `waiting` is the share of the time in which the step waited for data.
        """
        elapsed = max(self._clock() - self._start, 1e-9)
        steps_per_second = (step - self._step) / elapsed
        row = {
            "images_per_second": steps_per_second * self._batch_size,
            "seconds_left": (self._num_steps - step) / max(steps_per_second, 1e-9),
            "waiting": self.waited / elapsed,
        }
        self._step, self._start, self.waited = step, self._clock(), 0.0
        return row


def progress_line(step, num_steps, scalars, speed, shown=("loss/model", "recon")):
    """`step 100/900  loss/model 35.12  recon 21.3  |  12,345 images/s  0:42 left`."""
    values = "  ".join(f"{n} {scalars[n]:.5g}" for n in shown if n in scalars)
    return (
        f"step {step:>{len(str(num_steps))}}/{num_steps}  {values}  |  "
        f"{speed['images_per_second']:,.0f} images/s  {duration(speed['seconds_left'])} left"
    )


def say(text):
    """Prints a line of progress, in one process only, at once."""
    if jax.process_index() == 0:
        print(text, flush=True)
