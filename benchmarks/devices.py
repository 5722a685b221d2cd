"""What a mesh costs on one device, and what dividing a batch among several costs, on this host.

python benchmarks/devices.py --config=configs/mnist_gmvae.py:cpu

Three processes with the same CPUs run our training step in short blocks that alternate:

- one: on one device, as training does;
- plain: the same step, compiled by jax.jit alone, without a mesh;
- four: on four forced CPU devices, which share the CPUs of the one.

The last lines are the images per second of `one` over `plain` and of `four` over `one`: the median
over the rounds of the ratio within a round, with the least and the largest.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from benchmarks.command import ROUNDS, STEPS, THREADS
from benchmarks.our_step import compile_step, repeated, settings_of

DEVICES = {"plain": 1, "one": 1, "four": 4}
WARM_UP = 3  # Steps before the first block.


def prepare(settings):
    """One of the three, named by settings["form"]; see worker.py."""
    import jax

    jax.config.update("jax_num_cpu_devices", DEVICES[settings["form"]])
    ours = compile_step(settings)
    current, step, put_batch = ours.state, ours.compiled, ours.put_batch
    if settings["form"] == "plain":
        current, batch = jax.device_get((current, put_batch()))
        current = jax.tree.map(jax.numpy.asarray, current)
        step = jax.jit(ours.update, donate_argnums=0)

        def put_batch():
            return jax.device_put(batch)

    return repeated(step, current, put_batch), {"devices": jax.device_count()}


def measure(config):
    """Runs the three in turn and prints the ratios."""
    cpus, settings = command.available_cpus(THREADS.value), settings_of(config)
    workers = {}
    for form, count in DEVICES.items():
        module, about = "benchmarks.devices", settings | {"form": form}
        workers[form] = command.start(sys.executable, module, about, cpus)
        assert workers[form].info["devices"] == count
        workers[form].run(WARM_UP)
    seconds = {form: [] for form in workers}
    for _ in range(ROUNDS.value):
        for form, worker in workers.items():
            seconds[form].append(worker.run(STEPS.value).clock / STEPS.value)
    for form, worker in workers.items():
        worker.close()
        print(f"{form}: {1e3 * statistics.median(seconds[form]):.1f} ms per step")
    for form, than in (("one", "plain"), ("four", "one")):
        median, least, largest = command.round_ratio(seconds[than], seconds[form])
        print(f"{form} / {than} {median:.3f} ({least:.2f} to {largest:.2f} by round)")


if __name__ == "__main__":
    sys.exit(command.run(sys.argv, measure))
