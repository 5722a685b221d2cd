"""`launch.py`, timed part by part, for `start_up.py`.

python -m benchmarks.timed_launch RECORD.json STARTED --config=configs/quickstart.py ...

STARTED is when the process was started, as of time.time(). The parts are functions of the package,
timed where they are called from: modules are imported when a run imports them, no sooner.
"""

import functools
import importlib.abc
import importlib.machinery
import json
import logging
import runpy
import sys
import threading
import time
from pathlib import Path

IMPORTS = "imports"  # Before the run, and in it where nothing else is going on.
# {module: {name in it: part}}.
PARTS = {
    "refvae_jax.run": {"open_splits": "data", "run": IMPORTS},
    "refvae_jax.training.loop": {
        "train": "preparing to train",
        "loop": "training and validation",
        "start": "preparing to train",
        "compile_step": "compiling the step",
    },
    "refvae_jax.evaluation.evaluate": {
        "evaluate": "probes and swaps",
        "initial_variables": "parameters of the untrained model",
    },
    "refvae_jax.evaluation.judges": {"wait_for": "waiting for judges"},
    "refvae_jax.figures.draw": {"draw": "figures"},
    "refvae_jax.reports.report": {"write_report": "report"},
}


class Parts:
    """Charges the time of one thread to the part that it is in.

    Args:
      first: the part in the beginning.
      clock: () -> (seconds by the clock, of the CPU) since the beginning; injected by tests.
    """

    def __init__(self, first, clock):
        self._clock, self._last = clock, (0.0, 0.0)
        self._inside = [first]
        self.seconds = {}

    def timed(self, part, function):
        """The function, whose calls are charged to the part."""

        @functools.wraps(function)
        def in_part(*args, **kwargs):
            if threading.current_thread() is not threading.main_thread():
                return function(*args, **kwargs)
            self.charge()
            self._inside.append(part)
            try:
                return function(*args, **kwargs)
            finally:
                self.charge()
                self._inside.pop()

        return in_part

    def charge(self):
        """Charges what passed since the last charge."""
        now = self._clock()
        before = self.seconds.get(self._inside[-1], (0.0, 0.0))
        self.seconds[self._inside[-1]] = tuple(
            a + b - c for a, b, c in zip(before, now, self._last, strict=True)
        )
        self._last = now


class Patched(importlib.abc.MetaPathFinder):
    """Makes the functions of PARTS timed ones as soon as their module is imported."""

    def __init__(self, parts):
        self._parts = parts

    def find_spec(self, name, path, target=None):
        """The module's spec if it is one of PARTS."""
        if name not in PARTS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def execute_and_patch(module):
            execute(module)
            for function, part in PARTS[name].items():
                setattr(module, function, self._parts.timed(part, getattr(module, function)))

        spec.loader.exec_module = execute_and_patch
        return spec


def main(record, started, arguments):
    """Runs launch.py and writes what was recorded of it."""
    import jax

    def clock():
        return time.time() - float(started), time.process_time()

    found = {"jax": jax.__version__, "compiled": 0}

    def note_compiled(event, **_):
        found["compiled"] += event == "/jax/compilation_cache/cache_misses"

    def note_first_step(message):
        if message.getMessage().startswith("first step done"):
            found["first_step"] = clock()
        return True

    parts = Parts(IMPORTS, clock)
    sys.meta_path.insert(0, Patched(parts))
    jax.monitoring.register_event_listener(note_compiled)
    logging.getLogger("refvae_jax").addFilter(note_first_step)
    sys.argv = ["launch.py", *arguments]
    try:
        runpy.run_path("launch.py", run_name="__main__")
    finally:
        parts.charge()
        Path(record).write_text(json.dumps(found | {"parts": parts.seconds}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
