"""How long a checkpoint in a bucket holds training up.

    python -m benchmarks.bucket_stall --config=configs/quickstart.py --steps=120 --every=20

On an emulator on this machine. Before each save the step is waited for, so that the time of `save`
is that of the save alone. After it the next steps are timed one by one, since the upload runs
beside them and takes its share of the processor. Both are compared with the median step.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import jax

from refvae_jax import files
from refvae_jax.command_line import config_from_file
from refvae_jax.data.splits import open_splits
from refvae_jax.training import bucket_checkpoints, loop
from tests import bucket_emulator


def timed(config, workdir, every):
    """Trains; returns ([seconds of each save], {step: seconds})."""
    saves, steps = [], {}
    save, compiled = bucket_checkpoints.BucketCheckpoints.save, loop.compile_step

    def timed_save(self, state, *arguments):
        jax.block_until_ready(state)
        since = time.perf_counter()
        save(self, state, *arguments)
        saves.append(time.perf_counter() - since)

    def compile_step(*arguments):
        step_fn = compiled(*arguments)

        def timed_step(state, batch):
            jax.block_until_ready((state, batch))
            since = time.perf_counter()
            done = jax.block_until_ready(step_fn(state, batch))
            steps[len(steps) + 1] = time.perf_counter() - since
            return done

        return timed_step

    bucket_checkpoints.BucketCheckpoints.save, loop.compile_step = timed_save, compile_step
    config.checkpoint_every_steps = config.keep_every_steps = every
    config.validate_every_steps = config.num_train_steps
    loop.train(config, workdir, open_splits(config))
    return saves, steps


def main():
    """Prints the medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/quickstart.py")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--every", type=int, default=20)
    options = parser.parse_args()
    os.chdir(Path(__file__).parent.parent)
    config = config_from_file(*(options.config.partition(":")[::2]))
    config.num_train_steps = options.steps
    with bucket_emulator.running() as environ:
        os.environ.update(environ)
        workdir = files.user_path(f"gs://{bucket_emulator.BUCKET}/run")
        saves, steps = timed(config, workdir, options.every)
    # The first steps warm up; the upload is over well before half of the steps to the next save.
    after = [s for n, s in steps.items() if n > options.every and n % options.every in (1, 2, 3, 4)]
    others = [s for n, s in steps.items() if n % options.every > options.every // 2]
    step = statistics.median(others)
    extra = 4 * (statistics.mean(after) - statistics.mean(others))
    print("saves (s):", " ".join(f"{s:.3f}" for s in saves))
    print(f"median step {step:.3f} s, median save {statistics.median(saves):.3f} s")
    print(f"the four steps after a save take {extra:.3f} s longer than four others")
    print(f"a save takes {statistics.median(saves) / step:.2f} steps")


if __name__ == "__main__":
    main()
