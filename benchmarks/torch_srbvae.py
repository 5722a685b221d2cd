"""The training step of configs/reference_mnist_srbvae.py in PyTorch: losses, step of both players.

The same computation as refvae_jax/methods/srbvae.py, with its names and equation numbers
(tests/benchmarks/test_train_step.py compares losses and gradients), written to be fast in PyTorch:
channels_last, fused Adam, one forward pass for both players, nothing to log.

Latents are "common" (z) and "target" (e); a posterior is (mean, logvar), [B, D] each. Only the
paper's form: the squared latent error, nothing stopped.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.torch_common import adam, sample, to_float
from benchmarks.torch_progressive import Decoder, Discriminator, Encoder


def latent_sizes(config):
    """{latent: D} of the two that the method has."""
    return {name: config["latents"][name] for name in ("common", "target")}


class Model(nn.Module):
    """The player that encodes and generates, of a config (as a dict) for images [H, W, C]."""

    def __init__(self, config, shape):
        super().__init__()
        net, sizes, channels = config["network"], latent_sizes(config), shape[2]
        self.encoder = nn.ModuleDict(
            {name: Encoder(channels, net["encoder_widths"], d) for name, d in sizes.items()}
        )
        self.decoder = Decoder(
            sum(sizes.values()), net["decoder_start_width"], net["decoder_widths"], channels
        )
        self.e_ref = nn.Parameter(torch.zeros(sizes["target"]))

    def generate(self, common, target):
        """Images of unlabelled codes, then of reference ones, whose target is e_ref.

        Args:
          common: z of both, [Bu + Br, D].
          target: e of the unlabelled, [Bu, D].
        """
        rest = self.e_ref.expand(len(common) - len(target), -1)
        return self.decoder(torch.cat([common, torch.cat([target, rest])], dim=1))


def make_discriminator(config, shape):
    """The discriminator: d_u ("unlabelled") and d_r ("reference")."""
    net, sizes = config["network"], latent_sizes(config)
    seen = {"unlabelled": sum(sizes.values()), "reference": sizes["common"]}
    return nn.ModuleDict(
        {
            name: Discriminator(
                shape[2], net["encoder_widths"], net["discriminator_features"], size
            )
            for name, size in seen.items()
        }
    )


class Noise(NamedTuple):
    """All that a step of B images a set draws.

    prior: {"common": [2 B, D], "target": [B, D]}, the codes to generate from
    posterior: the same shapes, standard normal
    keep: {"unlabelled": [2 B, 2], "reference": [2 B, 2]}, see Discriminator
    """

    prior: dict
    posterior: dict
    keep: dict


def draw_noise(sizes, size, rate):
    """Noise for `size` images a set; examples lose a block of features with chance `rate`."""

    def normal():
        shapes = {"common": 2 * size, "target": size}
        return {name: torch.randn(number, sizes[name]) for name, number in shapes.items()}

    def keep():
        lost, which = torch.rand(2 * size, 1) < rate, torch.rand(2 * size, 1) < 0.5
        return 1.0 - (lost & torch.cat([which, ~which], dim=1)).float()

    return Noise(normal(), normal(), {name: keep() for name in ("unlabelled", "reference")})


def losses(model, discriminator, xu, xr, noise, *, w_image, w_latent):
    """The two players' losses, of the same draws and the same logits: (discriminator's, model's).

    Args:
      model: Model.
      discriminator: of `make_discriminator`.
      xu, xr: unlabelled and reference images, [B, C, H, W] each.
      noise: Noise.
      w_image, w_latent: weights of the reconstructions of images and of codes.
    """
    n, x = len(xu), torch.cat([xu, xr])
    z12, e1 = noise.prior["common"], noise.prior["target"]
    made = model.generate(z12, e1)
    common, common_made = halves(model.encoder["common"](torch.cat([x, made])))
    target, target_made = halves(model.encoder["target"](torch.cat([xu, made[:n]])))
    z, e = sample(common, noise.posterior["common"]), sample(target, noise.posterior["target"])
    recon = model.generate(z, e)

    codes_u = torch.cat([torch.cat([z[:n], e], dim=1), torch.cat([z12[:n], e1], dim=1)])
    codes_r = torch.cat([z[n:], z12[n:]])
    logits = (
        discriminator["unlabelled"](torch.cat([xu, made[:n]]), codes_u, noise.keep["unlabelled"]),
        discriminator["reference"](torch.cat([xr, made[n:]]), codes_r, noise.keep["reference"]),
    )
    d = [both.chunk(2) for both in logits]  # On the encoder's pairs, on the generator's.

    discriminator_loss = sum((F.softplus(-q) + F.softplus(p)).mean() for q, p in d)  # (7)
    adversarial = sum((q - p).mean() for q, p in d)  # (6)
    # Both sets' mean absolute errors of images in [-1, 1], and mean squared ones of common codes.
    image = 4 * F.l1_loss(recon, x)
    latent = 2 * half_squared_error(z12, common_made) + half_squared_error(e1, target_made)
    return discriminator_loss, adversarial + w_image * image + w_latent * latent


def halves(posterior):
    """The posteriors of the first and of the second half of the batch."""
    return tuple(zip(*(x.chunk(2) for x in posterior), strict=True))


def half_squared_error(z, posterior):
    """1/2 |z - mean|^2 of codes [B, D], averaged over the batch."""
    return 0.5 * (z - posterior[0]).square().sum(dim=1).mean()


def backward(model, discriminator, discriminator_loss, model_loss):
    """Each player's gradient of its own loss only."""
    discriminator_loss.backward(inputs=list(discriminator.parameters()), retain_graph=True)
    model_loss.backward(inputs=list(model.parameters()))


def make_step(config, shape):
    """step({"unlabelled", "reference"}: {"image"}, numpy): one update; returns the model's loss."""
    model, discriminator = (
        make(config, shape).to(memory_format=torch.channels_last)
        for make in (Model, make_discriminator)
    )
    optimizers = (
        adam(discriminator.parameters(), config["discriminator_optimizer"]),
        adam(model.parameters(), config["optimizer"]),
    )
    method, sizes = config["method"], latent_sizes(config)
    weights = {name: method[name] for name in ("w_image", "w_latent")}

    def step(batch):
        xu, xr = (to_float(batch[name]["image"]) for name in ("unlabelled", "reference"))
        noise = draw_noise(sizes, len(xu), method["block_dropout"])
        found = losses(model, discriminator, xu, xr, noise, **weights)
        for optimizer in optimizers:
            optimizer.zero_grad()
        backward(model, discriminator, *found)
        for optimizer in optimizers:
            optimizer.step()
        return found[1].detach()

    return step
