"""DIP-VAE-I on reference MNIST: the reference paper's best unsupervised baseline on MNIST.

python launch.py --config=configs/mnist_dipvae1.py         # 64x64, full width, 30 epochs
python launch.py --config=configs/mnist_dipvae1.py:cpu     # 32x32, narrow, 10,000 steps
"""

from configs import reference_mnist


def get_config(arg=""):
    """The shared setting and the forms of `reference_mnist.make`."""
    return reference_mnist.make("dipvae1", arg, w_off_diagonal=10.0, w_diagonal=100.0)
