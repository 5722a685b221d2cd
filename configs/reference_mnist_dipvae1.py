"""DIP-VAE-I on reference MNIST: the reference paper's best unsupervised baseline on MNIST.

python launch.py --config=configs/reference_mnist_dipvae1.py      # 64x64, full width, 30 epochs
python launch.py --config=configs/reference_mnist_dipvae1.py:cpu  # 32x32, narrow, 10,000 steps

10,000 steps of `cpu` take 30 minutes on one core: average error .061 and .062 (two seeds;
paper: .064), see docs/results/reference.md.
"""

from configs.common import reference_mnist


def get_config(arg=""):
    """The shared setting; forms as of `reference_mnist.make`."""
    tuned = {"w_off_diagonal": 3.0, "w_diagonal": 30.0}
    return reference_mnist.make("dipvae1", arg, tuned, w_off_diagonal=10.0, w_diagonal=100.0)
