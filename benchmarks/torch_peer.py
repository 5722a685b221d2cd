"""The training steps of torch_gmvae.py and torch_srbvae.py as the peer of train_step.py.

They need torch and numpy only, so that they may run under another Python.
"""

import torch

from benchmarks import torch_gmvae, torch_srbvae
from benchmarks.batches import made_batch

# Method -> (its supervision, make_step: (config as dict, shape [H, W, C]) -> step(batch) -> loss).
STEPS = {
    "gmvae": ("group", torch_gmvae.make_step),
    "srbvae": ("reference", torch_srbvae.make_step),
}


def prepare(settings):
    """The peer's end of the benchmark, see worker.py."""
    torch.manual_seed(0)
    torch.set_num_threads(len(settings["cpus"]))
    config, shape = settings["config"], settings["shape"]
    supervision, make_step = STEPS[config["method"]["name"]]
    step = make_step(config, shape)
    batch = made_batch(supervision, config["batch_size"], shape, settings["num_groups"])

    def run(num_steps):
        for _ in range(num_steps):
            loss = step(batch)
        if num_steps:
            loss.item()

    return run, {"version": f"torch {torch.__version__}", "threads": torch.get_num_threads()}
