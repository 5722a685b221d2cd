"""ML-VAE on MNIST, the mixture paper's baseline: groups are the digits.

python launch.py --config=configs/mnist_mlvae.py         # the paper's size
python launch.py --config=configs/mnist_mlvae.py:cpu     # a quarter of its width

The second takes about 40 minutes on one CPU core and gives content/label/paper_accuracy 0.964 and
style/label/paper_accuracy 0.365 (docs/results).
"""

from configs import default, mnist_gmvae


def get_config(arg=""):
    """Networks and schedule of `mnist_gmvae`; forms: "", "cpu", "smoke"."""
    config = mnist_gmvae.get_config()
    config.method.name = "mlvae"
    return default.form(config, arg, cpu=mnist_gmvae.cpu)
