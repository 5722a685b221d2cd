"""Mathieu et al. on reference MNIST: the reference paper's baseline that uses references.

python launch.py --config=configs/reference_mnist_mathieu.py      # 64x64, full width, 30 epochs
python launch.py --config=configs/reference_mnist_mathieu.py:cpu  # 32x32, narrow, 10,000 steps

10,000 steps of `cpu` take 134 minutes on one core: average error .065 and .072 (two seeds;
paper: .098), see docs/results/reference.md.
"""

from configs.common import reference_mnist


def get_config(arg=""):
    """The shared setting; forms as of `reference_mnist.make`."""
    return reference_mnist.make("mathieu", arg)
