"""The training step of configs/mnist_gmvae.py in PyTorch: network, objective, step.

The same computation as refvae_jax's (tests/benchmarks/test_train_step.py compares outputs, loss and
gradients), written to be fast in PyTorch: channels_last, fused Adam, no gradient norm to log.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.torch_common import adam, flat, maps, sample, to_float

START = 8  # Height and width of the decoder's first feature map.


def latent_sizes(config):
    """{latent: D} of the two that the mixture model has."""
    return {name: config["latents"][name] for name in ("content", "style")}


class Encoder(nn.Module):
    """Images [B, C, H, W] to {latent: (mean, logvar)}, [B, D] each."""

    def __init__(self, channels, widths, latents, image_size):
        super().__init__()
        sizes = (channels, *widths)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 5, stride=2, padding=2, bias=False) for a, b in pairwise(sizes)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        for _ in widths:
            image_size = (image_size + 1) // 2
        flat = image_size**2 * sizes[-1]
        self.heads = nn.ModuleDict({n: nn.Linear(flat, 2 * d) for n, d in latents.items()})

    def forward(self, x):
        """See the class."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)), inplace=True)
        x = flat(x)
        return {name: head(x).chunk(2, dim=1) for name, head in self.heads.items()}


class Decoder(nn.Module):
    """Codes {latent: [B, D]} to images [B, C, H, W]."""

    def __init__(self, start_width, widths, channels, latents):
        super().__init__()
        self.dense = nn.ModuleDict(
            {n: nn.Linear(d, START**2 * start_width) for n, d in latents.items()}
        )
        sizes = (len(latents) * start_width, *widths)
        self.convs = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False) for a, b in pairwise(sizes)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths)
        self.last = nn.Conv2d(sizes[-1], channels, 5, padding=2)

    def forward(self, codes):
        """See the class."""
        x = torch.cat([maps(self.dense[n](code), START) for n, code in codes.items()], dim=1)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)), inplace=True)
        x = self.last(x)
        inside = x.clamp(-1, 1)
        return 0.5 * (inside + 1) + 0.01 * (x - inside)


class Autoencoder(nn.Module):
    """The mixture paper's network of a config (as a dict) for images `shape` [H, W, C]."""

    def __init__(self, config, shape):
        super().__init__()
        network, latents = config["network"], latent_sizes(config)
        self.encoder = Encoder(shape[2], network["encoder_widths"], latents, shape[0])
        self.decoder = Decoder(
            network["decoder_start_width"], network["decoder_widths"], shape[2], latents
        )

    def forward(self, x, noise):
        """Images and standard normal noise {latent: [B, D]} to latents and reconstruction."""
        latents = self.encoder(x)
        codes = {n: sample(q, noise[n]) for n, q in latents.items()}  # (4)
        return latents, self.decoder(codes)


def objective(x, recon, latents, group, *, k, w_rep, w_cent, delta):
    """Equation 5 with repulsion and centring; arguments as those of refvae_jax's, tensors."""
    mean, logvar = latents["content"]
    known = group >= 0
    same = (group[:, None] == group[None, :]) & known[:, None]  # [B, B]
    rows = torch.arange(len(group))
    first = (known & (same.int().argmax(dim=1) == rows)).float()

    member = (same | torch.eye(len(group), dtype=torch.bool)).float()
    scale = logvar.detach().amax(dim=0)
    precision = (scale - logvar).exp()
    product = (member @ (precision * mean)) / (member @ precision)  # (3)
    group_mean = torch.where(known[:, None], product, 0.0)

    recon_error = (x - recon).square().sum(dim=(1, 2, 3)).mean()
    spread = sum((v.exp() - 1 - v).sum(dim=1) for _, v in latents.values())
    attraction = k * (mean - group_mean).square().sum(dim=1)
    kl = 0.5 * (spread + attraction + latents["style"][0].square().sum(dim=1)).mean()

    norm = group_mean.square().sum(dim=1)
    distance = norm[:, None] + norm[None, :] - 2 * group_mean @ group_mean.T
    pair = (first[:, None] * first[None, :]).triu(diagonal=1)
    force = pair / (torch.where(pair > 0, distance.clamp(min=0), 0.0) + delta)
    repulsion = force.sum() / pair.sum().clamp(min=1)
    centring = (first * norm).sum() / first.sum().clamp(min=1)
    return recon_error + kl + w_rep * repulsion + w_cent * centring  # (5)


def make_step(config, shape):
    """step({"image", "group"}, numpy): one update; returns the loss."""
    model = Autoencoder(config, shape).to(memory_format=torch.channels_last)
    optimizer = adam(model.parameters(), config["optimizer"])
    constants = {n: config["method"][n] for n in ("k", "w_rep", "w_cent", "delta")}

    def step(batch):
        x, group = to_float(batch["image"]), torch.from_numpy(batch["group"])
        noise = {n: torch.randn(len(x), d) for n, d in latent_sizes(config).items()}
        latents, recon = model(x, noise)
        loss = objective(x, recon, latents, group, **constants)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step
