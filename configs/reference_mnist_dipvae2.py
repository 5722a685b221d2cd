"""DIP-VAE-II on reference MNIST: a baseline of the reference paper.

python launch.py --config=configs/reference_mnist_dipvae2.py      # 64x64, full width, 30 epochs
python launch.py --config=configs/reference_mnist_dipvae2.py:cpu  # 32x32, narrow, 10,000 steps

10,000 steps of `cpu` take 24 minutes on one core: average error .072 and .072 (two seeds;
paper: .071), see docs/results/reference.md.
"""

from configs.common import reference_mnist


def get_config(arg=""):
    """The shared setting; forms as of `reference_mnist.make`."""
    tuned = {"w_off_diagonal": 3.0, "w_diagonal": 3.0}
    return reference_mnist.make("dipvae2", arg, tuned=tuned, w_off_diagonal=10.0, w_diagonal=10.0)
