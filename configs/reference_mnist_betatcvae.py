"""beta-TCVAE on reference MNIST: a baseline of the reference paper.

python launch.py --config=configs/reference_mnist_betatcvae.py      # 64x64, full width, 30 epochs
python launch.py --config=configs/reference_mnist_betatcvae.py:cpu  # 32x32, narrow, 10,000 steps

10,000 steps of `cpu` take 20 minutes on one core: average error .066 and .072 (two seeds; paper:
.083), see docs/results/reference.md.
"""

from configs.common import reference_mnist


def get_config(arg=""):
    """The shared setting; forms as of `reference_mnist.make`."""
    return reference_mnist.make("betatcvae", arg, beta=4.0)
