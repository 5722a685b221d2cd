"""Images per second of our training step, and of the same step in PyTorch.

python benchmarks/train_step.py --config=configs/mnist_gmvae.py                # ours alone
python benchmarks/train_step.py --config=configs/mnist_gmvae.py --peer=torch   # and the ratio
python benchmarks/train_step.py --config=configs/reference_mnist_srbvae.py:cpu --peer=torch

Ours is the function that training compiles (losses, batch norm, Adam, donated state), fed with
uint8 batches of made images through devices.put_batch. The peer (torch_peer.py) has the same
networks, losses and optimisers. Each runs in its own process on the same CPUs, with as many threads
and the allocator settings of a training run (PyTorch gains by them too). Short blocks of steps
alternate, so that other load on the machine affects both alike.

The last line is `ratio <number>`: our images per second over the peer's, above 1 where we are
faster. It is the median over the rounds of the ratio within a round: a disturbed block spoils one
round, while it could move a ratio of medians. Measure on a quiet machine nevertheless: where a CPU
is busy, PyTorch's threads wait for each other at every operation and it loses far more than we do
(a step of 0.3 s on one thread took 2 s on two). --threads=1 is less sensitive, and least the ratio
of CPU time, which is printed before.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from absl import flags

from benchmarks import command
from benchmarks.command import ROUNDS, STEPS, THREADS
from benchmarks.our_step import compile_step, repeated, settings_of
from refvae_jax.errors import UserError

PEERS = {"torch": "benchmarks.torch_peer"}  # name -> module

PEER = flags.DEFINE_enum("peer", "", ["", *PEERS], "What to compare with; nothing by default.")
PEER_PYTHON = flags.DEFINE_string("peer_python", sys.executable, "The Python that has the peer.")
WARM_UP = 3  # Steps before the first block.


def prepare(settings):
    """Our end of the benchmark, see worker.py."""
    import jax

    ours = compile_step(settings)
    run = repeated(ours.compiled, ours.state, ours.put_batch)
    facts = {"version": f"jax {jax.__version__}", "threads": len(settings["cpus"])}
    return run, facts | {"compile_seconds": ours.compile_seconds}


def check_peer(config):
    """Raises UserError unless torch_peer.py has the training step of this config."""
    method = config.method
    in_paper = (method.latent_error, method.reconstruction_gradient) == ("squared", "paper")
    named = method.name == "gmvae" or (method.name == "srbvae" and in_paper)
    if not named or config.dtype != "float32":
        raise UserError(
            "The peer is gmvae and srbvae in float32, srbvae with the squared latent_error and the "
            "paper's reconstruction_gradient: leave --peer out for other configs."
        )


def start(python, module, settings, cpus):
    """A Worker that has compiled and warmed up."""
    missing = (
        "--peer=torch needs PyTorch and numpy: pip install -e '.[benchmark]', or name a Python "
        "that has both with --peer_python=PATH."
    )
    hint = missing if module in PEERS.values() else ""
    worker = command.start(python, module, settings, cpus, hint)
    worker.run(WARM_UP)
    return worker


def report(name, worker, seconds, batch_size):
    """Prints the measurements of one side; `seconds` per step, (clock, CPU time) of each block."""
    clock, of_cpu = zip(*seconds, strict=True)
    median = statistics.median(clock)
    info = worker.info
    print(f"{name}: {info['version']}, {info['threads']} threads")
    if "compile_seconds" in info:
        print(f"{name}: compile {info['compile_seconds']:.1f} s")
    print(f"{name}: {1e3 * median:.1f} ms per step (fastest block {1e3 * min(clock):.1f})")
    print(f"{name}: {1e3 * statistics.median(of_cpu):.1f} ms of CPU time per step")
    print(f"{name}: {batch_size / median:.1f} images/s")
    print(f"{name}: peak memory {worker.peak_memory():.0f} MB", flush=True)


def measure(config):
    """Runs both sides in turn and prints the report."""
    if PEER.value:
        check_peer(config)
    cpus = command.available_cpus(THREADS.value)
    settings = settings_of(config)
    # The peer first: where it is missing, say so before ours compiles.
    sides = {PEER.value: (PEER_PYTHON.value, PEERS[PEER.value])} if PEER.value else {}
    sides["ours"] = (sys.executable, "benchmarks.train_step")

    workers = {name: start(*side, settings, cpus) for name, side in sides.items()}
    seconds = {name: [] for name in workers}
    for _ in range(ROUNDS.value):
        for name, worker in workers.items():
            seconds[name].append([s / STEPS.value for s in worker.run(STEPS.value)])
    for name, worker in workers.items():
        report(name, worker, seconds[name], config.batch_size)
        worker.close()
    if PEER.value:
        print(f"ratio of CPU time {ratio(seconds, 1):.3f}")
        print(f"ratio {ratio(seconds, 0):.3f}")


def ratio(seconds, which):
    """The median over the rounds of PyTorch's seconds over ours; prints the least and largest."""
    sides = ([block[which] for block in seconds[name]] for name in (PEER.value, "ours"))
    median, least, largest = command.round_ratio(*sides)
    print(f"ratio within a round: {least:.2f} to {largest:.2f}")
    return median


if __name__ == "__main__":
    sys.exit(command.run(sys.argv, measure))
