"""sVAE on reference MNIST: sRb-VAE without references, a baseline of the reference paper.

python launch.py --config=configs/reference_mnist_svae.py      # 64x64, full width, 30 epochs
python launch.py --config=configs/reference_mnist_svae.py:cpu  # 32x32, narrow, 10,000 steps

10,000 steps of `cpu` take 48 minutes on one core: average error .067 and .068 (two seeds;
paper: .082), see docs/results/reference.md.
"""

from configs.common import reference_mnist


def get_config(arg=""):
    """The shared setting; forms as of `reference_mnist.make`."""
    return reference_mnist.make("svae", arg)
