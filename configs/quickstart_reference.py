"""sRb-VAE on reference images made from 5,000 real digits: no download.

python launch.py --config=configs/quickstart_reference.py

11 minutes of one core: average error .103 beside .219 of knowing nothing,
see docs/results/reference.md.
"""

from configs import default
from configs.common import reference_mnist


def get_config(arg=""):
    """Narrow and short, with constants that are not tuned; forms: "", "smoke"."""
    config = reference_mnist.make("srbvae", "cpu")
    reference_mnist.offline(config)
    config.num_train_steps = 1_000
    config.log_every_steps = 50
    config.validate_every_steps = config.checkpoint_every_steps = 200
    return default.form(config, arg, smoke=reference_mnist.smoke)
