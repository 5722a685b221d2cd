"""What the configs of the reference setting on other images share; not runnable."""

from configs import default
from configs.common import reference_mnist
from refvae_jax.data.readers import presets


def make(method, dataset, *, num_train_steps):
    """The config of a method on a set of `presets.SETS`; networks and Adam as of reference MNIST.

    Args:
      method: a key of refvae_jax.methods.METHODS.
      dataset: a key of presets.SETS.
      num_train_steps: steps of 36 images of each set.
    """
    config = reference_mnist.make(method, "")
    presets.choose(config.data, dataset)
    config.data.reference_split = "reference"
    config.num_train_steps = num_train_steps
    if config.data.resolution == 32:
        config.network.encoder_widths = (32, 64, 128, 256)
        config.network.decoder_widths = (256, 128, 64)
    return config


def cpu(config):
    """Narrow, 3,000 steps, at twice the learning rate."""
    reference_mnist.narrow(config)
    if config.data.resolution == 64:
        config.network.encoder_widths = (8, 16, 32, 32, 32)
        config.network.decoder_widths = (32, 32, 16, 8)
    config.num_train_steps = 3_000
    config.validate_every_steps = config.checkpoint_every_steps = 500
    config.optimizer.learning_rate = config.discriminator_optimizer.learning_rate = 2e-4


def cpu32(config):
    """`cpu` with images at 32x32: a quarter of the pixels."""
    config.data.resolution = 32
    cpu(config)


def smoke(config):
    """Shrinks a run to a minute; preparing the data takes as long as usual."""
    cpu(config)
    config.num_train_steps = 20
    config.batch_size = 8
    config.log_every_steps = config.validate_every_steps = config.checkpoint_every_steps = 10
    config.network.encoder_widths = (4, 4, 4, 8, 8)[: len(config.network.encoder_widths)]
    config.network.decoder_start_width = 8
    config.network.decoder_widths = (8, 4, 4, 4)[: len(config.network.decoder_widths)]
    config.network.discriminator_features = 16
    config.latents.common = config.latents.target = config.latents.z = 8


def form(config, arg, **forms):
    """Applies the form "", "cpu", "smoke" or one of `forms`, see `default.form`."""
    return default.form(config, arg, **{"cpu": cpu, "smoke": smoke} | forms)
