"""GM-VAE on MNIST with the independence term: the style should not depend on the digit.

python launch.py --config=configs/mnist_gmvae_independent.py         # the paper's size
python launch.py --config=configs/mnist_gmvae_independent.py:cpu     # a quarter of its width

The term is ours, not the paper's: docs/independence.md.
"""

from configs import default, mnist_gmvae


def get_config(arg=""):
    """`mnist_gmvae` with the term in the second half of the steps; forms: "", "cpu", "smoke"."""
    return with_term(mnist_gmvae.get_config(), arg)


def with_term(config, arg):
    """The config with the term, in one of the forms; chosen on validation, with GM-VAE at `cpu`."""
    config.method.w_independence = 200.0
    config.method.independence_batch = 2048
    return default.form(config, arg, cpu=mnist_gmvae.cpu, smoke=smoke)


def smoke(config):
    """Shrinks a run to a minute, and what the term compares to the images that are left."""
    default.smoke(config)
    config.method.independence_batch = 2 * config.batch_size
