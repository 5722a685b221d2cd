import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from refvae_jax.methods import autoencoder, gmvae
from refvae_jax.methods.base import DataInfo

ROOT = Path(__file__).parent.parent
INFO = DataInfo((32, 32, 1), 100)
SMALL = (
    "--config=configs/quickstart.py:smoke",
    "--config.data.resolution=16",
    "--config.network.encoder_widths=(4, 4)",
    "--config.network.decoder_widths=(4,)",
)


def benchmark(*arguments):
    return subprocess.run(
        [sys.executable, "benchmarks/train_step.py", *arguments],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=200,
    )


def to_torch(encoder, decoder):
    """Arrays of ours, parameters or gradients, under the names and in the layouts of the peer."""
    named = {}
    for part, tree in (("encoder", encoder), ("decoder", decoder)):
        for module, leaves in tree.items():
            kind, _, index = module.partition("_")
            transposed = kind == "ConvTranspose"
            for leaf, value in leaves.items():
                name = {"kernel": "weight", "scale": "weight"}.get(leaf, leaf)
                if value.ndim == 2:
                    value = value.T
                elif transposed:  # Ours does not flip the kernel: [k, k, C, O] -> [C, O, k, k].
                    value = value[::-1, ::-1].transpose(2, 3, 0, 1)
                elif value.ndim == 4:  # [k, k, C, O] -> [O, C, k, k]
                    value = value.transpose(3, 2, 0, 1)
                if kind == "BatchNorm":
                    where = f"norms.{index}"
                elif kind in ("Conv", "ConvTranspose"):
                    last = part == "decoder" and not transposed
                    where = "last" if last else f"convs.{index}"
                else:
                    where = f"{'heads' if part == 'encoder' else 'dense'}.{module}"
                named[f"{part}.{where}.{name}"] = np.array(value)
    return named


def ours(config, batch, rng):
    """Variables drawn at random; what our method makes of them, and the noise it drew."""
    method, net = gmvae.build(config, INFO), autoencoder.build(config, INFO)
    draw = np.random.default_rng(0)
    variables = jax.tree.map(
        lambda s: (0.1 * draw.normal(size=s.shape)).astype(np.float32),
        jax.eval_shape(method.init, jax.random.key(0)),
    )

    @jax.jit
    def compute(variables):
        def loss(params):
            return method.losses(variables | {"params": params}, batch, rng)["model"][0]

        latents, _ = net.train_encode(variables, batch["image"])
        # As methods/gmvae.py draws it.
        rngs = dict(zip(("content", "style"), jax.random.split(rng), strict=True))
        noise = {n: jax.random.normal(rngs[n], q.mean.shape) for n, q in latents.items()}
        codes = {n: q.mean + noise[n] * jnp.exp(0.5 * q.logvar) for n, q in latents.items()}
        recon, _ = net.train_decode(variables, codes)
        return noise, latents, recon, *jax.value_and_grad(loss)(variables["params"])

    return variables, jax.device_get(compute(variables))


def near(theirs, ours, tolerance=1e-4):
    """Relative to the whole array: a sum may cancel in one of its elements."""
    theirs = theirs.detach().numpy()
    assert theirs.shape == ours.shape
    assert np.linalg.norm(theirs - ours) <= tolerance * np.linalg.norm(ours)


def test_the_peer_is_the_same_computation(config):
    torch = pytest.importorskip("torch")
    from benchmarks import torch_peer

    draw = np.random.default_rng(1)
    image = draw.random((16, 32, 32, 1), np.float32)
    group = draw.integers(-1, 4, 16, np.int32)
    variables, (noise, latents, recon, loss, grads) = ours(
        config, {"image": image, "group": group}, jax.random.key(1)
    )

    model = torch_peer.Autoencoder(config.to_dict(), INFO.image_shape)
    params = to_torch(**variables["params"]["model"])
    model.load_state_dict({n: torch.from_numpy(p) for n, p in params.items()}, strict=False)
    x = torch.from_numpy(image).permute(0, 3, 1, 2)
    noise = {n: torch.from_numpy(np.array(e)) for n, e in noise.items()}
    their_latents, their_recon = model(x, noise)
    constants = {n: config.method[n] for n in ("k", "w_rep", "w_cent", "delta")}
    their_loss = torch_peer.objective(
        x, their_recon, their_latents, torch.from_numpy(group), **constants
    )
    their_loss.backward()

    for name, q in latents.items():
        near(their_latents[name][0], q.mean)
        near(their_latents[name][1], q.logvar)
    near(their_recon.permute(0, 2, 3, 1), recon)
    near(their_loss, loss)
    expected = to_torch(**grads["model"])
    assert expected.keys() == dict(model.named_parameters()).keys()
    for name, value in expected.items():
        near(model.get_parameter(name).grad, value, 1e-3)


@pytest.mark.parametrize(
    "arguments", [SMALL, ("--config=configs/mnist_rbvae.py:smoke", "--channels=3")]
)
def test_measures_our_step(arguments):
    done = benchmark(*arguments, "--rounds=2", "--steps=2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for pattern in (
        r"jax [\d.]+, \d+ threads",
        r"compile [\d.]+ s",
        r"[\d.]+ ms a step \(fastest block [\d.]+\)",
        r"\d+ images/s",
        r"peak memory \d+ MB",
    ):
        assert any(re.fullmatch("ours: " + pattern, line) for line in lines), pattern
    assert "ratio" not in done.stdout


def test_the_last_line_is_the_ratio():
    pytest.importorskip("torch")
    done = benchmark(*SMALL, "--peer=torch", "--rounds=1", "--steps=1")
    assert done.returncode == 0, done.stderr
    word, number = done.stdout.splitlines()[-1].split()
    assert word == "ratio" and float(number) > 0


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "--config="),
        (["--config=configs/quickstart.py:smoke", "--config.batchsize=3"], "batch_size"),
        (["--config=configs/quickstart.py", "--config.data.resolution=64"], "decoder_widths"),
        (["--config=configs/mnist_mlvae.py", "--peer=torch"], "gmvae"),
    ],
)
def test_errors_are_one_sentence(arguments, words):
    done = benchmark(*arguments)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr


def test_a_python_without_torch_is_told(tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')  # -S: no packages.
    python.chmod(0o755)
    done = benchmark(*SMALL, "--peer=torch", f"--peer_python={python}")
    assert done.returncode == 2
    assert "pip install -e '.[benchmark]'" in done.stderr and "Traceback" not in done.stderr
