"""VAE on reference MNIST: the reference paper's simplest baseline.

python launch.py --config=configs/reference_mnist_vae.py      # 64x64, full width, 30 epochs
python launch.py --config=configs/reference_mnist_vae.py:cpu  # 32x32, narrow, 10,000 steps

10,000 steps of `cpu` take 17 minutes on one core: average error .071 and .072 (two seeds;
paper: .085), see docs/results/reference.md.
"""

from configs.common import reference_mnist


def get_config(arg=""):
    """The shared setting; forms as of `reference_mnist.make`."""
    return reference_mnist.make("vae", arg)
