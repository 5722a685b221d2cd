"""beta-VAE on reference MNIST: a baseline of the reference paper.

python launch.py --config=configs/reference_mnist_betavae.py      # 64x64, full width, 30 epochs
python launch.py --config=configs/reference_mnist_betavae.py:cpu  # 32x32, narrow, 10,000 steps

10,000 steps of `cpu` take 19 minutes on one core: average error .067 and .069 (two seeds, the
first as a VAE with `scale` 1, which is equivalent; paper: .083), see docs/results/reference.md.
"""

from configs.common import reference_mnist


def get_config(arg=""):
    """The shared setting; forms as of `reference_mnist.make`."""
    return reference_mnist.make("betavae", arg, tuned={"beta": 10.0}, beta=4.0)
