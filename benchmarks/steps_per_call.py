"""Time per step of the training loop with one and with several steps per call, and their ratio.

python benchmarks/steps_per_call.py --config=configs/quickstart.py:smoke
python benchmarks/steps_per_call.py --config=configs/mnist_gmvae.py:cpu --steps_per_call=5

Both sides are what the loop does between log lines: batches from the pipeline, put on the devices,
and the compiled call. A third, the compiled step given the same batch again and again, is what the
devices need at least; the difference is the loop's overhead. Blocks of the three alternate in one
process, so that other load on the machine affects all alike. The data are those of the config.

The last line is `ratio <number>`: time per step with one step per call over that with several, the
median over the rounds. CPU time is that of the whole process, all threads.
"""

import functools
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import jax
from absl import flags

from benchmarks import command
from benchmarks.command import ROUNDS
from refvae_jax.data.batches import example_batch, stacked, training_batches
from refvae_jax.data.readers.tf_cpu import import_tensorflow
from refvae_jax.data.splits import open_splits
from refvae_jax.training import devices, setup

NUMBER = flags.DEFINE_integer("steps_per_call", 10, "Of the other side.", 2)
CALLS = flags.DEFINE_integer("calls", 10, "Calls of the other side in a block.", 1)
NO_END = 10**9  # More steps than any benchmark takes.


def make_sides(config, number):
    """{side: run(num_steps)}: the loop with 1 and with `number` steps per call; the step alone."""
    config.num_train_steps = NO_END
    prepared = setup.prepare(config, open_splits(config))
    mesh, sets = prepared.mesh, prepared.training_sets
    fresh = functools.partial(
        setup.initial_state, prepared.method, prepared.optimizers, config.seed
    )
    current = jax.jit(fresh, out_shardings=devices.replicated(mesh))()
    import_tensorflow()  # Else it would be loaded beside the first steps.
    batches, example = training_batches(sets, config, 0), example_batch(sets, config.batch_size)
    calls = {
        n: setup.compile_step(
            config, prepared.method, prepared.optimizers, mesh, current, example, n
        )
        for n in (1, number)
    }

    def loop(steps_per_call, num_steps):
        nonlocal current
        for _ in range(num_steps // steps_per_call):
            batch = stacked([next(batches) for _ in range(steps_per_call)])
            batch = devices.put_batch(batch, mesh, steps_per_call)
            current, _ = calls[steps_per_call](current, batch)
        jax.block_until_ready(current)

    def alone(num_steps):
        nonlocal current
        batch = devices.put_batch(example, mesh)
        for _ in range(num_steps):
            current, _ = calls[1](current, batch)
        jax.block_until_ready(current)

    return {
        "1 step per call": functools.partial(loop, 1),
        f"{number} steps per call": functools.partial(loop, number),
        "the step alone": alone,
    }


def measure(config):
    """Runs the sides in turn and prints the report."""
    sides = make_sides(config, NUMBER.value)
    num_steps = NUMBER.value * CALLS.value
    for run in sides.values():
        run(NUMBER.value)
    rounds = []
    for _ in range(ROUNDS.value):
        taken = []
        for run in sides.values():
            since = time.perf_counter(), time.process_time()
            run(num_steps)
            taken.append([1e3 * (time.perf_counter() - since[0]) / num_steps])
            taken[-1].append(1e3 * (time.process_time() - since[1]) / num_steps)
        rounds.append(taken)

    where = f"{jax.device_count()} {jax.default_backend()}"
    print(f"jax {jax.__version__}, {where}, blocks of {num_steps} steps")
    for name, taken in zip(sides, zip(*rounds, strict=True), strict=True):
        wall, cpu = (statistics.median(times) for times in zip(*taken, strict=True))
        print(f"{name}: {wall:.2f} ms per step, {cpu:.2f} ms of CPU time")
    one, several = ([taken[side][0] for taken in rounds] for side in (0, 1))
    ratio, least, largest = command.round_ratio(one, several)
    print(f"ratio within a round: {least:.2f} to {largest:.2f}")
    print(f"ratio {ratio:.3f}")


if __name__ == "__main__":
    sys.exit(command.run(sys.argv, measure))
