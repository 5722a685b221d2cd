"""How far training in bfloat16 is from training in float32: the losses of the same steps.

python benchmarks/bfloat16.py --config=configs/reference_mnist_srbvae.py:smoke

Both runs start from the same parameters and see the same batches with the same noise, for
config.num_train_steps. A line per player follows: its loss at the first and last step in float32,
and the largest difference of bfloat16's at any step, as a share of float32's.

The last line is `distance <number>`: the largest of these shares.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import jax
import numpy as np

from benchmarks import command
from refvae_jax.data.batches import example_batch, training_batches
from refvae_jax.data.splits import open_splits
from refvae_jax.training import devices, setup


def losses(config):
    """({player: its loss at each step, [config.num_train_steps]}, the last state)."""
    prepared = setup.prepare(config, open_splits(config))
    sets, method, mesh = prepared.training_sets, prepared.method, prepared.mesh
    variables = setup.initial_variables(method, config.seed)
    current = setup.place_state(variables, prepared.optimizers, mesh)
    example = example_batch(sets, config.batch_size)
    step = setup.compile_step(config, method, prepared.optimizers, mesh, current, example)
    found = {player: [] for player in method.players}
    for batch in training_batches(sets, config, 0):
        current, scalars = step(current, devices.put_batch(batch, mesh))
        for player, values in found.items():
            values.append(float(scalars[f"loss/{player}"]))
    return {player: np.array(values) for player, values in found.items()}, current


def in_both_types(config):
    """({player: losses}, last state) in float32 and in bfloat16."""
    found = []
    for config.dtype in ("float32", "bfloat16"):
        found.append(losses(config))
    return found


def distances(exact, rough):
    """{player: the largest difference of its losses, as a share of float32's}."""
    return {player: np.max(np.abs(rough[player] / exact[player] - 1)) for player in exact}


def measure(config):
    """Trains twice and prints the distances."""
    (exact, _), (rough, _) = in_both_types(config)
    found = distances(exact, rough)
    print(f"{config.method.name}, {config.num_train_steps} steps, jax {jax.__version__}")
    for player, values in exact.items():
        print(f"{player}: {values[0]:.5g} to {values[-1]:.5g}, bfloat16 within {found[player]:.5f}")
    print(f"distance {max(found.values()):.5f}")


if __name__ == "__main__":
    sys.exit(command.run(sys.argv, measure))
