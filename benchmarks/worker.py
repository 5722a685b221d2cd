"""A training step in a process of its own, which runs a block of steps on request.

    worker = Worker(sys.executable, "benchmarks.torch_peer", settings, cpus=(0, 1))
    worker.info                # {"version": "2.13.0", "compile_seconds": 0.0, ...}
    worker.run(5).clock        # seconds
    worker.run(5).cpu          # seconds of CPU time of all threads
    worker.peak_memory()       # MB
    worker.private_memory()    # MB

where the module offers `prepare(settings) -> (run(num_steps), info)`; settings, which also get
"cpus", and info are dicts that JSON can hold.

Two frameworks in one process would compete for its threads and share its peak of memory. This file
needs the standard library only: the two ends may be different interpreters.
"""

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from refvae_jax.training.allocator import keep_memory

ROOT = Path(__file__).resolve().parent.parent
EXPECTED = ("UserError", "ModuleNotFoundError")  # Errors that need no traceback.


class Seconds(NamedTuple):
    """What a block of steps took."""

    clock: float
    cpu: float  # Of all threads.


class WorkerError(Exception):
    """The process could not start, or ended; `kind` names its exception, "" if there is none."""

    def __init__(self, message, kind=""):
        super().__init__(message)
        self.kind = kind


class Worker:
    """A process of the interpreter `python` that prepares `module`, on the CPUs `cpus` only."""

    def __init__(self, python, module, settings, cpus):
        self._module = module
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", module],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": str(len(cpus))},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.info = self._ask(settings | {"cpus": sorted(cpus)})

    def run(self, num_steps):
        """Runs `num_steps` steps; returns the Seconds they took."""
        answer = self._ask(num_steps)
        return Seconds(answer["seconds"], answer["cpu_seconds"])

    def peak_memory(self):
        """The most memory the process has held so far, in MB."""
        return self._ask(0)["peak_mb"]

    def private_memory(self):
        """The current memory without the files that it maps, in MB."""
        return self._ask(0)["private_mb"]

    def close(self):
        """Ends the process."""
        self._process.communicate()

    def _ask(self, question):
        try:
            print(json.dumps(question), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise WorkerError(f"the process of {self._module} ended; its last output is above")
        answer = json.loads(answer)
        if "error" in answer:
            self.close()
            raise WorkerError(answer["error"], answer["kind"])
        return answer


def serve(module, questions, answers):
    """Answers a Worker until it closes the pipe."""

    def reply(**answer):
        print(json.dumps(answer), file=answers, flush=True)

    settings = json.loads(questions.readline())
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, settings["cpus"])  # Before a framework counts them.
    keep_memory()  # As a training run on a CPU does, and before threads allocate.
    try:
        run, info = importlib.import_module(module).prepare(settings)
    except Exception as error:
        kind = type(error).__name__
        reply(error=str(error), kind=kind)
        if kind in EXPECTED:
            return
        raise
    reply(**info)
    for question in questions:
        since, cpu_since = time.perf_counter(), time.process_time()
        run(int(question))
        reply(
            seconds=time.perf_counter() - since,
            cpu_seconds=time.process_time() - cpu_since,
            peak_mb=memory("VmHWM"),
            private_mb=memory("RssAnon"),
        )


def memory(kind):
    """Resident memory of this process in MB; without /proc always its peak.

    Args:
      kind: "VmHWM", the peak, or "RssAnon", the current memory without mapped files.
    """
    # Preferred to ru_maxrss, which counts what the parent held at the start.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith(kind))
        return int(line.split()[1]) / 1024
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What a library prints must not end up among the answers.
    serve(sys.argv[1], sys.stdin, pipe)
