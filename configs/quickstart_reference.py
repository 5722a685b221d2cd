"""sRb-VAE on reference images made from 5,000 real digits: no download.

python launch.py --config=configs/quickstart_reference.py

Takes 11 minutes on one core; average error .103, against .219 of a constant prediction, see
docs/results/reference.md.
"""

from configs import default
from configs.common import reference_mnist


def get_config(arg=""):
    """Narrow and short, with untuned constants; forms: "", "smoke"."""
    config = reference_mnist.make("srbvae", "cpu")
    reference_mnist.offline(config)
    config.num_train_steps = 1_000
    config.log_every_steps = 50
    config.validate_every_steps = config.checkpoint_every_steps = 200
    return default.form(config, arg, smoke=reference_mnist.smoke)
