"""What the configs of the group setting at 64x64 in colour share; not runnable.

The mixture paper's networks, batches of 256 and its schedule: the learning rate divided by 5 after
a quarter and after half of the steps.
"""

from configs import default
from refvae_jax.data.readers import presets

BATCH_SIZE = 256


def steps(num_images, epochs):
    """Steps that this many epochs of this many images take."""
    return -(-epochs * num_images // BATCH_SIZE)


def make(method, dataset, *, num_train_steps, latent_size=32, groups_per_batch=26):
    """The config of a method on a set of `presets.SETS`.

    Args:
      method: "gmvae" or "mlvae".
      dataset: a key of presets.SETS, with its TFDS config if it has one.
      num_train_steps: of BATCH_SIZE images.
      latent_size: of content and of style.
      groups_per_batch: G in w_rep = w_cent 2 D_c^2 G / (G - 1), see `gmvae.py`.
    """
    config = default.get_config()
    presets.choose(config.data, dataset)
    config.batch_size, config.num_train_steps = BATCH_SIZE, num_train_steps
    config.method.name = method
    config.latents.content = config.latents.style = latent_size
    squared = 2 * config.method.w_cent * latent_size**2
    config.method.w_rep = round(squared * groups_per_batch / (groups_per_batch - 1), 1)
    if config.data.resolution == 64:
        config.network.encoder_widths = (64, 128, 256, 512)
        config.network.decoder_start_width = 256
        config.network.decoder_widths = (256, 128, 64)
    return config


def cpu(config):
    """The widths of MNIST's `cpu`, 1,500 steps, cosine decay."""
    doublings = len(config.network.decoder_widths)
    default.narrow(config)
    config.network.decoder_widths = (32, 16, 8)[:doublings]
    config.num_train_steps = 1_500
    config.optimizer.schedule = "cosine"
    config.log_every_steps = 50
    config.validate_every_steps = config.checkpoint_every_steps = 250


def smoke(config):
    """Shrinks a run to a minute; preparing the data takes as long as usual."""
    splits = {name: config.data[f"{name}_split"] for name in ("train", "probe_train", "test")}
    default.smoke(config)
    with config.unlocked():
        for name, split in splits.items():
            config.data[f"{name}_split"] = split
    config.data.validation_split = "validation"
    config.network.encoder_widths = config.network.encoder_widths[:4]
    if config.data.resolution == 64:
        config.network.decoder_widths = (8, 4, 4)


def form(config, arg, **forms):
    """Applies the form "", "cpu", "smoke" or one of `forms`, see `default.form`."""
    return default.form(config, arg, **{"cpu": cpu, "smoke": smoke} | forms)
