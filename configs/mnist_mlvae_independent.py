"""ML-VAE on MNIST with the independence term: the style should not depend on the digit.

python launch.py --config=configs/mnist_mlvae_independent.py         # the paper's size
python launch.py --config=configs/mnist_mlvae_independent.py:cpu     # a quarter of its width

The term is ours, not the paper's: docs/independence.md.
"""

from configs import default, mnist_mlvae
from configs.mnist_gmvae import cpu


def get_config(arg=""):
    """`mnist_mlvae` with the term in the second half of the steps; forms: "", "cpu", "smoke"."""
    config = mnist_mlvae.get_config()
    config.method.w_independence = 100.0
    return default.form(config, arg, cpu=cpu)
