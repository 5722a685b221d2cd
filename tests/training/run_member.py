"""A process of a run of a tiny model, started by test_processes.py: it trains, saves, resumes.

python -m tests.training.run_member WORKDIR NUM_STEPS
"""

import os
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from configs import quickstart
from refvae_jax.errors import UserError
from refvae_jax.training import devices, processes
from refvae_jax.training.checkpoint import Checkpoints
from refvae_jax.training.state import TrainState

BATCH, WIDTH = 8, 64


def initial():
    zero = jnp.zeros((), jnp.int32)
    params = {"w": jax.random.normal(jax.random.key(0), (WIDTH, WIDTH))}
    return TrainState(zero, params, {}, {}, zero - 1)


def update(state, batch):
    def loss(params):
        return jnp.mean(jnp.tanh(batch @ params["w"]) ** 2)

    grads = jax.grad(loss)(state.params)
    params = jax.tree.map(lambda p, g: p - g, state.params, grads)
    return state._replace(step=state.step + 1, params=params)


def train(workdir, num_steps):
    config = quickstart.get_config("smoke")
    config.parallel.silence_seconds = 40.0
    processes.join(os.environ, config, {})
    mesh = devices.make_mesh()
    whole = devices.replicated(mesh)
    checkpoints = Checkpoints(workdir, keep_last=2, keep_every_steps=0)
    template = jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=whole), jax.eval_shape(initial)
    )
    state = checkpoints.restore(template) or jax.jit(initial, out_shardings=whole)()
    share = BATCH // jax.process_count()
    mine = slice(jax.process_index() * share, (jax.process_index() + 1) * share)
    step_fn = jax.jit(update, out_shardings=whole)
    with processes.stop_on_sigterm() as asked:
        first = int(state.step)
        for step in range(first + 1, num_steps + 1):
            images = np.random.default_rng(step).normal(size=(BATCH, WIDTH)).astype(np.float32)
            state = step_fn(state, devices.put_batch(images[mine], mesh))
            jax.block_until_ready(state.step)
            if step == first + 1:
                print("from", first, flush=True)
            if num_steps > 1000:
                time.sleep(0.02)
            if asked(step):
                break
    checkpoints.save(state, {})
    checkpoints.close()
    print("at", int(state.step), flush=True)
    if processes.is_main():
        np.save(f"{workdir}/{mesh.size}.npy", np.asarray(state.params["w"]))
    return 0


def main():
    try:
        return train(sys.argv[1], int(sys.argv[2]))
    except UserError as error:
        print(f"error: {error}", flush=True)
        return error.status


if __name__ == "__main__":
    sys.exit(processes.end_together(main))
