"""Images per second of the input pipeline, and their ratio to those of the training step.

python benchmarks/input_pipeline.py --config=configs/celeba_gmvae.py                # its own data
python benchmarks/input_pipeline.py --config=configs/celeba_gmvae.py --made=10000   # made pictures

The pipeline is what the training loop waits for: data.batches.training_batches over the
memory-mapped cache, each batch put on the devices by devices.put_batch. The step is that of
train_step.py, always given the same batch. Each runs in a process of its own on the same CPUs;
blocks of batches and of steps alternate, so that other load on the machine affects both alike.

The last line is `ratio <number>`: the pipeline's images per second over the step's, the median over
the rounds. Memory is that of the pipeline's process without the cache that it maps: the system
reclaims those pages when it needs them.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from absl import flags
from ml_collections import ConfigDict

from benchmarks import command
from benchmarks.command import ROUNDS, STEPS, THREADS
from benchmarks.pictures import own_or_made

BATCHES = flags.DEFINE_integer("batches", 400, "Batches of the pipeline in a block.", 1)
NO_END = 10**9  # More steps than any benchmark takes.


def prepare(settings):
    """The pipeline's end of the benchmark, see worker.py; its steps are batches."""
    import jax

    from refvae_jax.data.batches import training_batches
    from refvae_jax.data.readers.tf_cpu import import_tensorflow
    from refvae_jax.data.splits import open_splits
    from refvae_jax.training import devices, setup

    config = ConfigDict(settings["config"])
    prepared = setup.prepare(config, open_splits(config))
    config.num_train_steps = NO_END
    import_tensorflow()  # Else it would be loaded beside the first batches.
    batches = training_batches(prepared.training_sets, config, first_step=0)

    def run(num_batches):
        for _ in range(num_batches):
            jax.block_until_ready(devices.put_batch(next(batches), prepared.mesh))

    info = {name: prepared.record[name] for name in ("image_shape", "num_train_images")}
    return run, info


def measure(config):
    """Runs both sides in turn and prints the report."""
    cpus = command.available_cpus(THREADS.value)
    with own_or_made(config) as config:
        # The data first: where they are missing, say so before the step compiles.
        settings = {"config": config.to_dict()}
        pipeline = command.start(sys.executable, "benchmarks.input_pipeline", settings, cpus)
        settings |= {"shape": pipeline.info["image_shape"], "num_groups": 10}
        step = command.start(sys.executable, "benchmarks.train_step", settings, cpus)
        num_images, size = pipeline.info["num_train_images"], config.batch_size
        pipeline.run(-(-num_images // size))  # An epoch, for a warm-up.
        step.run(1)
        before = pipeline.private_memory()
        rounds = []
        for _ in range(ROUNDS.value):
            seconds = pipeline.run(BATCHES.value).clock / BATCHES.value
            rounds.append((seconds, step.run(STEPS.value).clock / STEPS.value))
        after, peak = pipeline.private_memory(), pipeline.peak_memory()
        pipeline.close()
        step.close()

    shape = " x ".join(map(str, pipeline.info["image_shape"]))
    print(f"{len(cpus)} CPUs, batches of {size}, {num_images:,} training images {shape}")
    for name, seconds in zip(("pipeline", "step"), zip(*rounds, strict=True), strict=True):
        median, fastest = statistics.median(seconds), min(seconds)
        print(f"{name}: {1e3 * median:.2f} ms per batch (fastest block {1e3 * fastest:.2f})")
        print(f"{name}: {size / median:.0f} images/s")
    epochs = ROUNDS.value * BATCHES.value * size / num_images
    print(
        f"pipeline: memory {before:.0f} MB after an epoch, {after:.0f} MB after {epochs:.1f} more; "
        f"peak {peak:.0f} MB with the cache that it maps"
    )
    of_pipeline, of_step = zip(*rounds, strict=True)
    ratio, least, largest = command.round_ratio(of_step, of_pipeline)
    print(f"ratio within a round: {least:.1f} to {largest:.1f}")
    print(f"ratio {ratio:.3f}")


if __name__ == "__main__":
    sys.exit(command.run(sys.argv, measure))
