"""FactorVAE on reference MNIST: a baseline that is not in the reference paper.

python launch.py --config=configs/reference_mnist_factorvae.py      # 64x64, full width, 30 epochs
python launch.py --config=configs/reference_mnist_factorvae.py:cpu  # 32x32, narrow, 10,000 steps

6,000 steps of `cpu` take 10 minutes on one core: average error .074 (not in the paper),
see docs/results/reference.md.
"""

from configs.common import reference_mnist


def get_config(arg=""):
    """The shared setting; forms as of `reference_mnist.make`."""
    config = reference_mnist.make("factorvae", arg, gamma=10.0)
    # With b1 0.5, the FactorVAE paper's own, like the rate of 1e-4, which `cpu` changes.
    config.discriminator_optimizer.b2 = 0.9
    return config
