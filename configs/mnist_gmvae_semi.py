"""GM-VAE on MNIST with a known group for a tenth of the images only (mixture paper, Appendix B).

python launch.py --config=configs/mnist_gmvae_semi.py         # the paper's size
python launch.py --config=configs/mnist_gmvae_semi.py:cpu     # a quarter of its width
"""

from configs import default, mnist_gmvae


def get_config(arg=""):
    """`mnist_gmvae` with batches of 512; forms: "", "cpu", "smoke"."""
    config = mnist_gmvae.get_config()
    config.data.grouped_fraction = 0.1
    config.batch_size = 512
    config.num_train_steps = mnist_gmvae.steps(200, config.batch_size)
    return default.form(config, arg, cpu=mnist_gmvae.cpu)
