"""sRb-VAE on reference MNIST: the reference paper's method by the symmetric KL.

python launch.py --config=configs/reference_mnist_srbvae.py         # 64x64, full width, 30 epochs
python launch.py --config=configs/reference_mnist_srbvae.py:cpu     # 32x32, narrow, 10,000 steps

10,000 steps of `cpu` take two hours of one core: average error .063 and .074 (two seeds; paper:
.060), see docs/results/reference.md.
"""

from configs.common import reference_mnist


def get_config(arg=""):
    """The shared setting and the forms of `reference_mnist.make`."""
    # The lambda of 1 that was found at 32x32, on four times the pixels; not tried there.
    return reference_mnist.make("srbvae", arg, tuned={"w_image": 3_000.0}, w_image=12_000.0)
