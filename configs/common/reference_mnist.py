"""Reference MNIST for every method of the reference paper: data, networks, schedule; not runnable.

The configs reference_mnist_<method>.py add the method's constants and the command.
"""

from configs import default

UNLABELLED_IMAGES = 58_000


def make(name, arg, tuned=None, **method):
    """The config of a method at full scale, and its forms "", "cpu", "cpu16" and "smoke".

    Args:
      name: of the method.
      arg: the form; "" is 30 epochs of the unlabelled images, as in the paper, which does not give
        its resolution, widths and Adam: those here are chosen.
      tuned: {field of config.method: value} for the forms "cpu" and "cpu16", chosen on the
        validation images of "cpu".
      **method: fields of config.method that differ from the defaults, in every form.
    """
    config = default.get_config()
    data = config.data
    data.name = "reference_mnist/64x64"
    data.resolution = 64
    data.train_split, data.reference_split = "unlabelled", "reference"
    data.validation_split, data.test_split = "validation", "probe_test"
    data.probe_train_split = "probe_fit"
    config.batch_size = 36
    config.num_train_steps = -(-30 * UNLABELLED_IMAGES // config.batch_size)
    config.validate_every_steps = config.checkpoint_every_steps = 2_000
    network, optimizer = config.network, config.optimizer
    network.encoder_widths = (32, 64, 128, 256, 256)
    network.decoder_start_width = 256
    network.decoder_widths = (256, 128, 64, 32)
    optimizer.learning_rate, optimizer.b1, optimizer.b2 = 1e-4, 0.5, 0.999
    optimizer.decay_at = ()
    config.method.name = name
    config.method.update(method)

    config = default.form(config, arg, cpu=cpu, cpu16=cpu16, smoke=smoke)
    if arg in ("cpu", "cpu16"):
        config.method.update(tuned or {})
    return config


def narrow(config):
    """Networks for 32x32 images, with an eighth to a quarter of the widths."""
    config.network.encoder_widths = (8, 16, 32, 32)
    config.network.decoder_start_width = 32
    config.network.decoder_widths = (32, 16, 8)
    config.network.discriminator_features = 128


def small(config):
    """The data set at 32x32, and narrow networks."""
    config.data.name = "reference_mnist/32x32"
    config.data.resolution = 32
    narrow(config)


def cpu(config):
    """Narrow, 10,000 steps: 6.2 epochs."""
    small(config)
    config.num_train_steps = 10_000
    config.validate_every_steps = config.checkpoint_every_steps = 500
    config.optimizer.learning_rate = config.discriminator_optimizer.learning_rate = 2e-4


def cpu16(config):
    """At 16x16, where a step takes a third to a fifth of the time: to compare constants."""
    cpu(config)
    config.data.resolution = 16
    config.data.crop = -1
    config.network.encoder_widths = (8, 16, 32)
    config.network.decoder_widths = (32, 16)
    config.num_train_steps = 8_000


def offline(config):
    """The 5,000 digits that need no download."""
    config.data.name = "reference_mnist/32x32_digits5k"


def smoke(config):
    """Shrinks a run to a minute, to see whether it runs."""
    small(config)
    offline(config)
    config.num_train_steps = 20
    config.batch_size = 8
    config.log_every_steps = config.validate_every_steps = config.checkpoint_every_steps = 10
    config.data.train_split, config.data.reference_split = "unlabelled[:256]", "reference[:256]"
    config.data.validation_split = "validation[:64]"
    config.data.probe_train_split, config.data.test_split = "probe_fit[:128]", "probe_test[:128]"
    config.network.encoder_widths = (4, 4, 8, 8)
    config.network.decoder_start_width = 8
    config.network.decoder_widths = (8, 4, 4)
    config.network.discriminator_features = 16
    config.latents.common = config.latents.target = config.latents.z = 8
