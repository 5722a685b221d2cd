"""The training step of configs/mnist_gmvae.py in PyTorch: the peer of train_step.py.

The same computation as refvae_jax (tests/test_benchmark.py compares outputs, loss and gradients),
written as PyTorch likes it best: channels_last, fused Adam, no norm of the gradient to log.
It needs torch and numpy only, so that it may run under another Python.
"""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

START = 8  # height and width of the decoder's first feature map


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
        x = x.permute(0, 2, 3, 1).flatten(1)  # No copy in channels_last.
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
        maps = [self.dense[n](code).unflatten(1, (START, START, -1)) for n, code in codes.items()]
        x = torch.cat(maps, dim=-1).permute(0, 3, 1, 2)  # Channels last already.
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
        codes = {n: mean + noise[n] * (0.5 * v).exp() for n, (mean, v) in latents.items()}  # (4)
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
    """step(image uint8 [B, H, W, C], group int [B]), both numpy: one update; returns the loss."""
    model = Autoencoder(config, shape).to(memory_format=torch.channels_last)
    adam = config["optimizer"]
    optimizer = torch.optim.Adam(
        model.parameters(), adam["learning_rate"], (adam["b1"], adam["b2"]), fused=True
    )
    constants = {n: config["method"][n] for n in ("k", "w_rep", "w_cent", "delta")}

    def step(image, group):
        x = torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255
        noise = {n: torch.randn(len(image), d) for n, d in latent_sizes(config).items()}
        latents, recon = model(x, noise)
        loss = objective(x, recon, latents, torch.from_numpy(group), **constants)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def prepare(settings):
    """The peer's end of the benchmark, see worker.py."""
    torch.manual_seed(0)
    torch.set_num_threads(len(settings["cpus"]))
    config, shape = settings["config"], settings["shape"]
    step = make_step(config, shape)
    rng = np.random.default_rng(0)
    size = config["batch_size"]
    images = rng.integers(0, 256, (size, *shape), np.uint8)
    groups = rng.integers(0, settings["num_groups"], size, np.int32)

    def run(num_steps):
        for _ in range(num_steps):
            loss = step(images, groups)
        if num_steps:
            loss.item()

    return run, {"version": f"torch {torch.__version__}", "threads": torch.get_num_threads()}
