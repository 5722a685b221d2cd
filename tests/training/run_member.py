"""launch.py as a process of a run, in a copy of a process that has loaded its libraries before.

Scores and figures are tested elsewhere; here they are a line of output.
"""

import multiprocessing
import os
import runpy
import sys
import time
import types

from tests.conftest import ROOT

# Loading them takes several times as long as all that the processes of these tests do.
LIBRARIES = ("clu.metric_writers", "clu.parameter_overview", "gcsfs", "refvae_jax.training.loop")


def prepare():
    """Starts the process to be copied: a context of multiprocessing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*LIBRARIES, "tests.training.run_member"])
    return context


def launch(output, environ, flags, signals=(), code="", home="", upload_seconds=0.0):
    """Runs launch.py.

    Args:
      output: the path of what it prints.
      environ: of the process.
      flags: of the command line.
      signals: {step: signal that the process sends itself when it has made that many steps}.
      code: what it takes for the version of its code; "" for that of the files.
      home: its home folder; "" for that of the environment.
      upload_seconds: that an upload takes longer; told to end, it would have one second.
    """
    from refvae_jax.training import loop, processes
    from refvae_jax.training.hosts import lifeline

    file = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
        stream.reconfigure(line_buffering=True)
    os.environ.clear()
    os.environ.update(environ | ({"HOME": str(home)} if home else {}))
    os.chdir(ROOT)

    steps_of_call, upload = loop.steps_of_call, loop.Journal.upload

    def interrupted(step, config):
        if step in signals:
            os.kill(os.getpid(), signals[step])
        return steps_of_call(step, config)

    def slow_upload(journal):
        print("uploading")
        time.sleep(upload_seconds)
        upload(journal)

    loop.steps_of_call = interrupted
    if upload_seconds:
        loop.Journal.upload, lifeline._GRACE_SECONDS = slow_upload, 1.0
    if code:
        versions = processes.code() | {"the code of refvae_jax": code}
        processes.code = lambda: versions
    for room, what in (("evaluation", "evaluate"), ("figures", "draw")):
        stub = {what: lambda *_, **__: print("it would score or draw")}
        sys.modules[f"refvae_jax.{room}.{what}"] = types.SimpleNamespace(**stub)
    sys.argv = ["launch.py", *flags]
    runpy.run_path("launch.py", run_name="__main__")
