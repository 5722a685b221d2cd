import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from configs import reference_mnist_srbvae
from refvae_jax.methods import gmvae, mixture_networks, srbvae
from refvae_jax.methods.base import DataInfo
from refvae_jax.networks.discriminators import keep_blocks
from tests.small_methods import CPU

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent.parent
INFO = DataInfo((32, 32, 1), 100, CPU)
SMALL = (
    "--config=configs/quickstart.py:smoke",
    "--config.data.resolution=16",
    "--config.network.encoder_widths=(4, 4)",
    "--config.network.decoder_widths=(4,)",
)
SRBVAE = ("--config=configs/reference_mnist_srbvae.py:smoke",)


def benchmark(*arguments):
    return subprocess.run(
        [sys.executable, "benchmarks/train_step.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
    )


def as_torch(leaf, value, transposed=False):
    """(name, array) of a leaf of ours, parameter or gradient, as PyTorch has it."""
    if value.ndim == 2:
        value = value.T
    elif transposed:  # Ours does not flip the kernel: [k, k, C, O] -> [C, O, k, k].
        value = value[::-1, ::-1].transpose(2, 3, 0, 1)
    elif value.ndim == 4:  # [k, k, C, O] -> [O, C, k, k]
        value = value.transpose(3, 2, 0, 1)
    return {"kernel": "weight", "scale": "weight"}.get(leaf, leaf), np.array(value)


def gmvae_to_torch(encoder, decoder):
    """Arrays of ours, parameters or gradients, under the names and in the layouts of the peer."""
    named = {}
    for part, tree in (("encoder", encoder), ("decoder", decoder)):
        for module, leaves in tree.items():
            kind, _, index = module.partition("_")
            transposed = kind == "ConvTranspose"
            for leaf, value in leaves.items():
                name, value = as_torch(leaf, value, transposed)
                if kind == "BatchNorm":
                    where = f"norms.{index}"
                elif kind in ("Conv", "ConvTranspose"):
                    last = part == "decoder" and not transposed
                    where = "last" if last else f"convs.{index}"
                else:
                    where = f"{'heads' if part == 'encoder' else 'dense'}.{module}"
                named[f"{part}.{where}.{name}"] = value
    return named


def srbvae_to_torch(tree):
    """A player's parameters or gradients under the names and in the layouts of the peer."""
    named = {}
    for (*modules, leaf), value in flatten_dict(tree).items():
        name, value = as_torch(leaf, value)
        where = ".".join((*modules, name))
        for pattern, theirs in (
            (r"^encoder\.([a-z]+)\.", r"encoder.\1.trunk."),
            (r"^encoder\.([a-z]+)_head", r"encoder.\1.head"),
            (r"(block|conv)_(\d)", r"\1s.\2"),
            (r"(code_features)_(\d)", r"\1.\2"),
        ):
            where = re.sub(pattern, theirs, where)
        named[where] = value
    return named


def drawn_variables(method):
    """Variables of a method drawn at random."""
    draw = np.random.default_rng(0)
    return jax.tree.map(
        lambda s: (0.1 * draw.normal(size=s.shape)).astype(np.float32),
        jax.eval_shape(method.init, jax.random.key(0)),
    )


def our_gmvae(config, batch, rng):
    """Variables drawn at random; what our method makes of them, and the noise it drew."""
    method, net = gmvae.make_method(config, INFO), mixture_networks.make_networks(config, INFO)
    variables = drawn_variables(method)

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


def our_srbvae(config, info, batch, rng):
    """Parameters drawn at random; {player: (loss, gradient)}, and the noise it drew."""
    method = srbvae.make_method(config, info)
    variables = drawn_variables(method)

    @jax.jit
    def compute(params):
        def loss(player_params, player):
            seen = params | {player: player_params}
            return method.losses(variables | {"params": seen}, batch, rng)[player][0]

        return {p: jax.value_and_grad(loss)(params[p], p) for p in method.players}

    params = variables["params"]
    noise = srbvae_noise(config, len(batch["reference"]["image"]), rng)
    return params, jax.device_get((compute(params), noise))


def srbvae_noise(config, n, rng):
    """As methods/srbvae.py and networks/discriminators.py draw it for n images a set."""
    rng_play, rng_discriminator = jax.random.split(rng)
    rngs = jax.random.split(rng_play, 5)

    def normal(rng_common, rng_target):
        return {
            "common": jax.random.normal(rng_common, (2 * n, config.latents.common)),
            "target": jax.random.normal(rng_target, (n, config.latents.target)),
        }

    rng_u, rng_r = jax.random.split(rng_discriminator)
    keep = {
        name: keep_blocks(r, (2 * n,), config.method.block_dropout)
        for name, r in (("unlabelled", rng_u), ("reference", rng_r))
    }
    return normal(rngs[0], rngs[1]), normal(rngs[3], rngs[4]), keep


def near(theirs, ours, tolerance=1e-4):
    """Relative to the whole array: a sum may cancel in one of its elements."""
    theirs = theirs.detach().numpy()
    assert theirs.shape == ours.shape
    assert np.linalg.norm(theirs - ours) <= tolerance * np.linalg.norm(ours)


def test_the_gmvae_peer_is_the_same_computation(config):
    torch = pytest.importorskip("torch")
    from benchmarks import torch_gmvae

    draw = np.random.default_rng(1)
    image = draw.random((16, 32, 32, 1), np.float32)
    group = draw.integers(-1, 4, 16, np.int32)
    variables, (noise, latents, recon, loss, grads) = our_gmvae(
        config, {"image": image, "group": group}, jax.random.key(1)
    )

    model = torch_gmvae.Autoencoder(config.to_dict(), INFO.image_shape)
    params = gmvae_to_torch(**variables["params"]["model"])
    model.load_state_dict({n: torch.from_numpy(p) for n, p in params.items()}, strict=False)
    x = torch.from_numpy(image).permute(0, 3, 1, 2)
    noise = {n: torch.from_numpy(np.array(e)) for n, e in noise.items()}
    their_latents, their_recon = model(x, noise)
    constants = {n: config.method[n] for n in ("k", "w_rep", "w_cent", "delta")}
    their_loss = torch_gmvae.objective(
        x, their_recon, their_latents, torch.from_numpy(group), **constants
    )
    their_loss.backward()

    for name, q in latents.items():
        near(their_latents[name][0], q.mean)
        near(their_latents[name][1], q.logvar)
    near(their_recon.permute(0, 2, 3, 1), recon)
    near(their_loss, loss)
    expected = gmvae_to_torch(**grads["model"])
    assert expected.keys() == dict(model.named_parameters()).keys()
    for name, value in expected.items():
        near(model.get_parameter(name).grad, value, 1e-3)


def test_the_srbvae_peer_is_the_same_computation():
    torch = pytest.importorskip("torch")
    from benchmarks import torch_srbvae

    config, info = reference_mnist_srbvae.get_config("smoke"), DataInfo((32, 32, 3), 100, CPU)
    draw = np.random.default_rng(1)
    images = {name: draw.random((8, 32, 32, 3), np.float32) for name in ("unlabelled", "reference")}
    batch = {name: {"image": image} for name, image in images.items()}
    params, (found, noise) = our_srbvae(config, info, batch, jax.random.key(1))

    network = config.to_dict(), info.image_shape
    model, discriminator = torch_srbvae.Model(*network), torch_srbvae.make_discriminator(*network)
    players = {"discriminator": discriminator, "model": model}
    for name, player in players.items():
        named = srbvae_to_torch(params[name])
        player.load_state_dict({n: torch.from_numpy(p) for n, p in named.items()})
    noise = torch_srbvae.Noise(*jax.tree.map(lambda x: torch.from_numpy(np.array(x)), noise))
    xu, xr = (torch.from_numpy(image).permute(0, 3, 1, 2) for image in images.values())
    weights = {name: config.method[name] for name in ("w_image", "w_latent")}
    losses = torch_srbvae.losses(model, discriminator, xu, xr, noise, **weights)
    torch_srbvae.backward(model, discriminator, *losses)

    for (name, player), their_loss in zip(players.items(), losses, strict=True):
        loss, grads = found[name]
        near(their_loss, loss)
        for parameter, value in srbvae_to_torch(grads).items():
            near(player.get_parameter(parameter).grad, value, 1e-3)


@pytest.mark.parametrize("arguments", [SMALL, ("--config=configs/reference_mnist_rbvae.py:smoke",)])
def test_measures_our_step(arguments):
    done = benchmark(*arguments, "--rounds=2", "--steps=2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for pattern in (
        r"jax [\d.]+, \d+ threads",
        r"compile [\d.]+ s",
        r"[\d.]+ ms per step \(fastest block [\d.]+\)",
        r"\d+\.\d images/s",
        r"peak memory \d+ MB",
    ):
        assert any(re.fullmatch("ours: " + pattern, line) for line in lines), pattern
    assert "ratio" not in done.stdout


@pytest.mark.parametrize("arguments", [SMALL, SRBVAE])
def test_the_last_line_is_the_ratio(arguments):
    pytest.importorskip("torch")
    done = benchmark(*arguments, "--peer=torch", "--rounds=1", "--steps=1")
    assert done.returncode == 0, done.stderr
    word, number = done.stdout.splitlines()[-1].split()
    assert word == "ratio" and float(number) > 0


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "--config="),
        (["--config=configs/quickstart.py:smoke", "--config.batchsize=3"], "batch_size"),
        (["--config=configs/quickstart.py", "--config.data.resolution=48"], "resolution=64"),
        (["--config=configs/mnist_mlvae.py", "--peer=torch"], "gmvae"),
        ([*SRBVAE, "--config.method.latent_error=likelihood", "--peer=torch"], "squared"),
    ],
)
def test_errors_are_one_message(arguments, words):
    done = benchmark(*arguments)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr


def test_a_python_without_torch_gives_an_error_message(tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')  # -S: no packages.
    python.chmod(0o755)
    done = benchmark(*SMALL, "--peer=torch", f"--peer_python={python}")
    assert done.returncode == 2
    assert "pip install -e '.[benchmark]'" in done.stderr and "Traceback" not in done.stderr
