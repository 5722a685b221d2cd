"""Kills runs in a bucket at random moments, damages their objects, and counts what survives.

    python -m benchmarks.bucket_faults --kills=20 --damages=10

On an emulator on this machine (`tests/bucket_emulator.py`). A run of the quick start's smoke form
with a checkpoint every second step is started again and again, and killed by SIGKILL at a moment
drawn between the start of its process and the end of training, until enough are killed; a run that
reaches its end is compared with one that nobody killed, and another one begins. Then objects of
the newest checkpoint of a copy of it are removed or get a flipped bit, one at a time.
"""

import argparse
import multiprocessing
import os
import random
import time
from pathlib import Path

import jax
import numpy as np

from refvae_jax import buckets, files
from refvae_jax.training import checkpoint
from refvae_jax.training.run_folder import CHECKPOINT_DIR
from tests import bucket_emulator

STEPS = 24
# Imported once; from there each run is forked, which saves most of the time of a start.
PRELOAD = ["clu.metric_writers", "clu.parameter_overview", "configs.quickstart", "gcsfs"]
PRELOAD += ["refvae_jax.run", "refvae_jax.training.loop", "refvae_jax.evaluation.evaluate"]
PRELOAD += ["refvae_jax.figures.draw", "tensorflow"]


def train(workdir):
    """Trains there as the command does, but neither evaluates nor draws."""
    import refvae_jax.evaluation.evaluate as evaluation
    import refvae_jax.figures.draw as drawing
    from configs import quickstart
    from refvae_jax import run

    evaluation.evaluate = drawing.draw = lambda *arguments, **keywords: None
    config = quickstart.get_config("smoke")
    config.num_train_steps, config.checkpoint_every_steps, config.log_every_steps = STEPS, 2, 1
    run.run(config, workdir)


def start(workdir):
    """A process that trains there."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=train, args=(str(workdir),))
    process.start()
    return process


def finish(process):
    """Waits for the end of a process that nobody kills."""
    process.join()
    assert process.exitcode == 0, process.exitcode


def same(a, b):
    """Whether two finished runs have the same metrics.jsonl and parameters, to the bit."""
    left, right = (checkpoint.load(workdir, "last") for workdir in (a, b))
    assert left[2] == right[2] == STEPS
    equal = jax.tree.map(np.array_equal, left[0], right[0])
    rows = [(workdir / "metrics.jsonl").read_bytes() for workdir in (a, b)]
    return all(jax.tree.leaves(equal)) and rows[0] == rows[1]


def kill(bucket, whole, kills, seconds, rng):
    """Returns (runs that ended as the whole one, runs, [step of the newest checkpoint at a kill]).

    Args:
      bucket: the folder of the runs' folders.
      whole: the run that nobody killed.
      kills: how many there are.
      seconds: from the start to the end of an undisturbed run.
      rng: draws the moments.
    """
    equal, runs, at = 0, 0, []
    while len(at) < kills:
        runs += 1
        workdir = bucket / f"killed-{runs}"
        while True:
            process = start(workdir)
            # A run that resumes has less to do, so some of these reach their end.
            process.join(rng.uniform(0, seconds) if len(at) < kills else None)
            if process.exitcode is not None:
                break
            process.kill()  # SIGKILL.
            process.join()
            steps = checkpoint.steps(workdir)
            at.append(steps[-1] if steps else 0)
            print(f"kill {len(at)} of run {runs}: newest checkpoint {at[-1]}", flush=True)
        finish(process)
        equal += same(whole, workdir)
        print(f"run {runs} ended; the same: {equal} of {runs}", flush=True)
    return equal, runs, at


def damage(whole, copy, damages, rng):
    """Returns how many of the damaged or missing objects were found."""
    names = buckets.files_below(whole)
    targets = [name for name in names if name.startswith(f"{CHECKPOINT_DIR}/{STEPS}/")]
    found = 0
    for number, name in enumerate(rng.sample(targets, damages)):
        buckets.delete(copy, first="")
        for each in names:
            buckets.file_system(copy).cp_file(f"{whole}/{each}", f"{copy}/{each}")
        if number % 2:
            (copy / name).unlink()
        else:
            content = bytearray((copy / name).read_bytes())
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            buckets.write_bytes(copy / name, bytes(content))
        checkpoint.move_damaged(copy)
        noticed = checkpoint.steps(copy)[-1] < STEPS
        found += noticed
        print(f"{'removed' if number % 2 else 'flipped'} {name}: found {noticed}", flush=True)
    return found


def main():
    """Prints one line per fault and the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--damages", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.chdir(Path(__file__).parent.parent)
    rng = random.Random(options.seed)
    with bucket_emulator.running() as environ:
        os.environ.update(environ)
        bucket = files.user_path(f"gs://{bucket_emulator.BUCKET}")
        whole = bucket / "whole"
        finish(start(bucket / "warm"))  # Compiles, so that the next one takes the usual time.
        since = time.monotonic()
        finish(start(whole))
        seconds = time.monotonic() - since
        print(f"an undisturbed run takes {seconds:.0f} s", flush=True)
        equal, runs, at = kill(bucket, whole, options.kills, seconds, rng)
        found = damage(whole, bucket / "copy", options.damages, rng)
    print(f"{len(at)} kills, {sum(step > 0 for step in at)} of them after the first checkpoint")
    print(f"{equal} of {runs} killed runs ended with the same parameters and metrics.jsonl")
    print(f"{found} of {options.damages} damaged objects found")


if __name__ == "__main__":
    main()
