"""The reference paper's networks in PyTorch, as networks/progressive.py and discriminators.py."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.torch_common import flat, maps

START = 4  # Height and width of the smallest feature map.


def leaky_relu(x):
    """Slope 0.2 below zero; overwrites x."""
    return F.leaky_relu(x, 0.2, inplace=True)


def pixel_norm(x):
    """Each pixel's features [B, C, H, W] divided by their root mean square."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class Block(nn.Module):
    """Twice [3x3 convolution, leaky ReLU, pixel norm]; [B, C, H, W] -> [B, width, H, W]."""

    def __init__(self, channels, width, normalise=True):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(c, width, 3, padding=1) for c in (channels, width))
        self.normalise = normalise

    def forward(self, x):
        """See the class."""
        for conv in self.convs:
            x = leaky_relu(conv(x))
            x = pixel_norm(x) if self.normalise else x
        return x


class Trunk(nn.Module):
    """Images [B, C, H, W] in [0, 1] to START x START features, flat: [B, `features`]."""

    def __init__(self, channels, widths, normalise=True):
        super().__init__()
        self.from_image = nn.Conv2d(channels, widths[0], 1)
        self.blocks = nn.ModuleList(Block(a, b, normalise) for a, b in pairwise(widths))
        self.features = START**2 * widths[-1]

    def forward(self, x):
        """See the class."""
        x = self.from_image(2 * x - 1)
        for block in self.blocks:
            x = F.avg_pool2d(block(x), 2)
        return flat(x)


class Encoder(nn.Module):
    """Images [B, C, H, W] to the posterior of one latent of size D."""

    def __init__(self, channels, widths, size):
        super().__init__()
        self.trunk = Trunk(channels, widths)
        self.head = nn.Linear(self.trunk.features, 2 * size)

    def forward(self, x):
        """See the class."""
        return self.head(self.trunk(x)).chunk(2, dim=1)


class Decoder(nn.Module):
    """Codes [B, D], common then target, to images [B, C, H, W] in [0, 1]."""

    def __init__(self, size, start_width, widths, channels):
        super().__init__()
        self.from_codes = nn.Linear(size, START**2 * start_width)
        self.blocks = nn.ModuleList(Block(a, b) for a, b in pairwise((start_width, *widths)))
        self.to_image = nn.Conv2d(widths[-1], channels, 1)

    def forward(self, codes):
        """See the class."""
        x = maps(self.from_codes(codes), START)
        for block in self.blocks:
            x = block(F.interpolate(x, scale_factor=2, mode="nearest"))
        return 0.5 * (self.to_image(x).tanh() + 1)


class Discriminator(nn.Module):
    """A logit [B] for images [B, C, H, W] with codes [B, size]."""

    def __init__(self, channels, widths, features, size):
        super().__init__()
        self.image = Trunk(channels, widths, normalise=False)
        self.image_features = nn.Linear(self.image.features, features)
        self.code_features = nn.ModuleList(nn.Linear(a, features) for a in (size, features))
        self.joint_features = nn.Linear(2 * features, features)
        self.logit = nn.Linear(features, 1)

    def forward(self, x, codes, keep):
        """`keep` [B, 2] of 0 and 1: whether an example keeps its image and its codes."""
        image = leaky_relu(self.image_features(self.image(x)))
        for layer in self.code_features:
            codes = leaky_relu(layer(codes))
        blocks = torch.stack([image, codes], dim=1) * keep[..., None]
        return self.logit(leaky_relu(self.joint_features(blocks.flatten(1))))[:, 0]
