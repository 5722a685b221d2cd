"""ML-VAE on MNIST with the independence term: the style should not depend on the digit.

python launch.py --config=configs/mnist_mlvae_independent.py         # the paper's size
python launch.py --config=configs/mnist_mlvae_independent.py:cpu     # a quarter of its width

The term is ours, not the paper's: docs/independence.md. Its weight is that of GM-VAE; it has not
been measured with ML-VAE.
"""

from configs import mnist_gmvae_independent, mnist_mlvae


def get_config(arg=""):
    """`mnist_mlvae` with the term in the second half of the steps; forms: "", "cpu", "smoke"."""
    return mnist_gmvae_independent.with_term(mnist_mlvae.get_config(), arg)
