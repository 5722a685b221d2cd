"""What a command prints: the package's log as plain lines, progress, durations.

console.install()                                  # in a command, once
logging.getLogger("refvae_jax").info("a line")     # anywhere in the package
"""

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

LOGGER = logging.getLogger("refvae_jax")
_MANY = 20_000  # Images from which on reading them shows a progress bar.
_PAUSE = 20.0  # Seconds between the lines that tell of parts, where there is no bar.


class _Lines(logging.Handler):
    """Prints each message as a line at once; warnings say that they are warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints the record."""
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        with _without_bars():
            print(prefix + record.getMessage(), flush=True)


def _without_bars() -> contextlib.AbstractContextManager[None]:
    """Takes the bars off the terminal meanwhile, so that no line begins behind one."""
    # None shows none. A signal's handler may print while the module is being imported.
    bars = getattr(sys.modules.get("tqdm"), "tqdm", None)
    return bars.external_write_mode(file=sys.stdout) if bars else contextlib.nullcontext()


def install(visible: bool = True) -> None:
    """Prints the package's log on stdout, from level INFO on; replaces what was installed.

    Args:
      visible: False prints nothing: only one of several processes should report.
    """
    LOGGER.handlers = [_Lines() if visible else logging.NullHandler()]
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def duration(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def progress_bar(count: int, text: str) -> Any:
    """A tqdm bar of `count` images, on stderr if that is a terminal and they are many."""
    from tqdm import tqdm

    hidden = None if count >= _MANY else True  # None: shown on a terminal.
    return tqdm(total=count, desc=text, unit="image", disable=hidden, file=sys.stderr)


@contextlib.contextmanager
def parts(
    total: int, text: str, clock: Callable[[], float] = time.perf_counter
) -> Iterator[Callable[[], None]]:
    """Gives a function to be called after each part of a long piece of work.

    It shows how far the work is and the time left: a bar on a terminal, elsewhere a line now and
    then.

    Args:
      total: number of parts.
      text: what is being done.
      clock: () -> seconds; injected by tests.
    """
    from tqdm import tqdm

    count, first = 0, clock()  # When the first part was done, which compiles for the others.
    told = first
    with tqdm(total=total, desc=text, leave=False, disable=None, file=sys.stderr) as bar:

        def done() -> None:
            nonlocal count, first, told
            count += 1
            bar.update()
            now = clock()
            if count == 1:
                first = now
            elif bar.disable and now - told >= _PAUSE and count < total:
                left = (now - first) / (count - 1) * (total - count)
                LOGGER.info(f"{text}: {count} of {total} parts, {duration(left)} left")
                told = now

        yield done


class Progress:
    """Speed and time left, measured since the last report.

    Args:
      first_step: where this process starts.
      num_steps: where the run ends.
      batch_size: images per step.
      clock: () -> seconds; injected by tests.
    """

    def __init__(
        self,
        first_step: int,
        num_steps: int,
        batch_size: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._clock, self._num_steps, self._batch_size = clock, num_steps, batch_size
        self._step, self._start = first_step, clock()
        self.waited = 0.0

    def pause(self, seconds: float) -> None:
        """Takes out of the measurement what was no training (compiling, validating)."""
        self._start += seconds

    def report(self, step: int) -> dict[str, float]:
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


def progress_line(
    step: int,
    num_steps: int,
    scalars: Mapping[str, float],
    speed: Mapping[str, float],
    shown: tuple[str, ...] = ("loss/model", "recon"),
) -> str:
    """`step 100/900  loss/model 35.12  recon 21.3  |  12,345 images/s  0:42 left`."""
    values = "  ".join(f"{n} {scalars[n]:.5g}" for n in shown if n in scalars)
    return (
        f"step {step:>{len(str(num_steps))}}/{num_steps}  {values}  |  "
        f"{speed['images_per_second']:,.0f} images/s  {duration(speed['seconds_left'])} left"
    )
