"""Rb-VAE on reference MNIST: the reference paper's method with the evidence lower bound.

python launch.py --config=configs/reference_mnist_rbvae.py      # 64x64, full width, 30 epochs
python launch.py --config=configs/reference_mnist_rbvae.py:cpu  # 32x32, narrow, 10,000 steps

10,000 steps of `cpu` take 57 minutes on one core: average error .066 and .063 (two seeds;
paper: .070), see docs/results/reference.md.
"""

from configs.common import reference_mnist


def get_config(arg=""):
    """The shared setting; forms as of `reference_mnist.make`."""
    return reference_mnist.make("rbvae", arg, tuned={"scale": 0.3})
