"""The whole schema: every field once, with what it means and its unit.

The other configs hold differences only. A field is set from the command line as
`--config.batch_size=128`, `--config.method.k=3`, `--config.network.encoder_widths="(8, 16)"`.
"""

import ml_collections

from refvae_jax.errors import UserError


def get_config():
    """The defaults: the mixture paper's MNIST setting on the digits that need no download."""
    config = ml_collections.ConfigDict()
    config.seed = 0  # >= 0; of everything random: initialisation, noise, data order, groups.
    config.num_train_steps = 39_063  # Updates in all.
    config.batch_size = 256  # Images a step, over all devices and processes.
    config.log_every_steps = 100  # Between lines of metrics.jsonl and of progress.
    config.eval_every_steps = 1_000  # Between validations; each is saved as a checkpoint.
    config.checkpoint_every_steps = 1_000  # Between checkpoints; what a killed run loses at most.
    config.keep_last = 2  # Checkpoints kept beside the best one (lowest validation error).
    config.keep_every_steps = 0  # Also keep the checkpoints at multiples of this; 0 = none.
    config.dtype = "float32"  # Of the networks' computation: float32 or bfloat16.

    config.data = data = ml_collections.ConfigDict()
    data.name = "digits5k"  # A TFDS data set with "image" and "label", or "digits5k".
    data.dir = ""  # Where TFDS keeps it; "" = $TFDS_DATA_DIR or ~/tensorflow_datasets.
    data.cache_dir = ""  # Of the decoded images; "" = ~/.cache/refvae_jax/data.
    data.train_split = "train[:3600]"  # In TFDS's split language, as the two below.
    data.validation_split = "train[3600:]"  # Chooses the best checkpoint and the probes.
    data.test_split = "test"  # Scored once.
    data.resolution = 32  # Height and width in pixels; smaller images are padded with zeros.
    data.grouped_fraction = 1.0  # Share of training images whose group is known, in [0, 1].

    config.method = method = ml_collections.ConfigDict()
    method.name = "gmvae"  # gmvae or mlvae.
    method.k = 2.0  # gmvae: attraction of content to its group's mean (equation 5).
    method.w_rep = 7.0  # gmvae: weight of the repulsion; chosen: w_cent 2 D_c^2 G / (G - 1).
    method.w_cent = 0.05  # gmvae: weight of the centring of the groups' means; chosen.
    method.delta = 0.1  # gmvae: in the repulsion 1 / (s^2 + delta); chosen.

    config.latents = latents = ml_collections.ConfigDict()  # Sizes.
    latents.content = 8
    latents.style = 8

    config.network = network = ml_collections.ConfigDict()  # Table 2.
    network.encoder_widths = (32, 64, 128, 256)  # Of the 5x5 convolutions, stride 2.
    network.decoder_start_width = 128  # Channels each latent gives to the first 8x8 map.
    network.decoder_widths = (128, 64)  # Of the transposed 4x4 convolutions, stride 2.

    config.optimizer = optimizer = ml_collections.ConfigDict()  # Adam.
    optimizer.learning_rate = 1e-3
    optimizer.b1 = 0.9
    optimizer.b2 = 0.999
    optimizer.schedule = "step"  # "step": times decay_factor at each of decay_at; or "cosine" to 0.
    optimizer.decay_at = (0.25, 0.5)  # As shares of num_train_steps.
    optimizer.decay_factor = 0.2

    config.parallel = parallel = ml_collections.ConfigDict()
    parallel.map = "jit"  # "jit" (global batch) or "pmap" (a replica a device), see parallel.py.
    return config.lock()  # A misspelt field in a config file is an error, not a new field.


def form(config, arg, **forms):
    """Applies the form `NAME.py:arg` to the config; "" leaves it as it is.

    Args:
      config: what get_config has made so far.
      arg: the form's name; "smoke" exists for every config.
      **forms: name -> function that changes the config in place.
    """
    forms["smoke"] = smoke
    if arg:
        if arg not in forms:
            raise UserError(f"The config has no form {arg!r}, only {', '.join(sorted(forms))}.")
        forms[arg](config)
    return config


def smoke(config):
    """Shrinks a run to seconds: does it run at all?"""
    config.num_train_steps = 20
    config.batch_size = 32
    config.log_every_steps = config.eval_every_steps = config.checkpoint_every_steps = 10
    config.data.train_split = "train[:512]"
    config.data.validation_split = "train[512:640]"
    config.data.test_split = "test[:256]"
    config.network.encoder_widths = (4, 8, 8, 8)
    config.network.decoder_start_width = 4
    config.network.decoder_widths = (8, 4)


def narrow(config):
    """A quarter of the paper's widths: a seventh of the time on a CPU."""
    config.network.encoder_widths = (8, 16, 32, 64)
    config.network.decoder_start_width = 32
    config.network.decoder_widths = (32, 16)
