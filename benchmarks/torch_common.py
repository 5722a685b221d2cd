"""What the PyTorch peers of every method have in common. Needs torch only."""

import torch


def to_float(image):
    """Images uint8 [B, H, W, C] of numpy to float32 [B, C, H, W] in [0, 1], in channels_last."""
    return torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255


def sample(posterior, noise):
    """z = mean + noise * sigma, [B, D], of a posterior (mean, logvar)."""
    mean, logvar = posterior
    return mean + noise * (0.5 * logvar).exp()


def flat(x):
    """Feature maps [B, C, H, W] to [B, H * W * C]: no copy in channels_last."""
    return x.permute(0, 2, 3, 1).flatten(1)


def maps(x, size):
    """The inverse of `flat` for square maps: [B, size * size * C] to [B, C, size, size]."""
    return x.unflatten(1, (size, size, -1)).permute(0, 3, 1, 2)


def adam(parameters, constants):
    """Fused Adam with the constants of a config's optimiser."""
    betas = constants["b1"], constants["b2"]
    return torch.optim.Adam(parameters, constants["learning_rate"], betas, fused=True)
