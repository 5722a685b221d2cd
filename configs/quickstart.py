"""GM-VAE on 5,000 real digits that come with a Python package: no download.

python launch.py --config=configs/quickstart.py

Takes 3 to 5 minutes on 2 CPU cores, evaluation included, and should give
content/label/strong_accuracy of .93 to .94 and swap/content/label/accuracy of about .87 (seed 0;
README.md).
"""

from configs import default


def get_config(arg=""):
    """The default setting, narrow and short; forms: "", "smoke"."""
    config = default.get_config()
    default.narrow(config)
    config.num_train_steps = 600
    config.batch_size = 256
    config.log_every_steps = 50
    config.validate_every_steps = config.checkpoint_every_steps = 100
    config.optimizer.schedule = "cosine"
    return default.form(config, arg)
