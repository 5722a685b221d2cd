"""The whole schema: every field once, with what it means and its unit.

The other configs hold differences only. A field is set from the command line as
`--config.batch_size=128`, `--config.method.k=3`, `--config.network.encoder_widths="(8, 16)"`.
"""

import ml_collections

from refvae_jax.config import nearest
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
    # A TFDS data set with an image, also this package's digits5k, reference_mnist/... and cars3d;
    # or "folder", your own images in data.dir.
    data.name = "digits5k"
    data.dir = ""  # Where TFDS keeps it; "" = $TFDS_DATA_DIR, ~/tensorflow_datasets. Or the folder.
    data.cache_dir = ""  # Of the decoded images; "" = ~/.cache/refvae_jax/data.
    data.label = "label"  # The feature that is the group or class, such as "identity/Identity_No".
    data.factors = ()  # Features to score by, such as ("attributes/Male",).
    data.exclude = ()  # Labels whose images are left out.
    # In TFDS's split language, as the four below; behind an @ parts of groups, data/partition.py.
    data.train_split = "train[:3600]"
    data.reference_split = ""  # Images whose target factors are constant (reference setting).
    data.fit_split = ""  # Probes learn from it; "" = train_split.
    data.validation_split = "train[3600:]"  # Chooses the best checkpoint and the probes.
    data.test_split = "test"  # Scored once.
    data.hold_out = 0.0  # Share of train for each of validation and test that is missing, [0, .5).
    data.split_by = "members"  # What it divides: "members" of each group, or whole "groups".
    data.reference_class = ""  # In a folder: the class whose images are the reference.
    data.resolution = 32  # Height and width in pixels.
    # Side in pixels of the centred square that is resized to the resolution, antialiased; -1 = the
    # largest; 0 = none: smaller images are padded with zeros.
    data.crop = 0
    data.grouped_fraction = 1.0  # Share of training images whose group is known, in [0, 1].
    data.group_chunk = 1  # Members of a group that follow each other in training; 1 = any order.

    config.method = method = ml_collections.ConfigDict()
    method.name = "gmvae"  # A key of refvae_jax.methods.METHODS.
    # gmvae:
    method.k = 2.0  # Attraction of content to its group's mean (equation 5).
    method.w_rep = 7.0  # Weight of the repulsion; chosen: w_cent 2 D_c^2 G / (G - 1).
    method.w_cent = 0.05  # Weight of the centring of the groups' means; chosen.
    method.delta = 0.1  # In the repulsion 1 / (s^2 + delta); chosen.
    # rbvae and the methods of vae.py and factorvae.py:
    method.scale = 0.1  # lambda of the Laplace likelihood of images in [-1, 1]; chosen.
    # srbvae, svae:
    # Of the mean absolute error a pixel and channel: lambda is H W C / w_image. Chosen.
    method.w_image = 300.0
    method.w_latent = 1.0  # Of the latent error, in nats a vector; chosen.
    method.latent_error = "squared"  # Half the squared distance to the mean, or "likelihood".
    method.reconstruction_gradient = "paper"  # "paper" stops nothing; "stopped", see srbvae.py.
    # Chance that a discriminator sees an example without image or code; chosen.
    method.block_dropout = 0.3
    # betavae, betatcvae, factorvae, dipvae1 and dipvae2:
    method.beta = 4.0  # Weight of the KL, or of the total correlation.
    method.gamma = 10.0  # factorvae: weight of the total correlation.
    method.w_off_diagonal = 10.0  # dipvae: of the squared covariances.
    method.w_diagonal = 100.0  # dipvae: of the squared distance of the variances from 1.
    # mathieu:
    method.w_kl = 1e-4  # Of the KL of the common latent; chosen.
    method.w_adversarial = 0.01  # Chosen.

    config.latents = latents = ml_collections.ConfigDict()  # Sizes.
    latents.content = 8  # gmvae, mlvae
    latents.style = 8
    latents.common = 32  # rbvae, srbvae, mathieu; common, target and z are chosen.
    latents.target = 32
    latents.z = 32  # The methods of one latent.

    # gmvae, mlvae: the mixture paper's Table 2, networks/strided.py. The others: the reference
    # paper's, networks/progressive.py, where the first encoder width is that of the 1x1 convolution
    # and every further one that of a block which halves the image.
    config.network = network = ml_collections.ConfigDict()
    network.encoder_widths = (32, 64, 128, 256)  # Of the 5x5 convolutions, stride 2.
    network.decoder_start_width = 128  # Channels of the smallest map (Table 2: for each latent).
    network.decoder_widths = (128, 64)  # Of the transposed 4x4 convolutions, or of the blocks.
    network.critic_features = 256  # Of a discriminator's image block and of its latent block.

    config.optimizer = optimizer = ml_collections.ConfigDict()  # Adam.
    optimizer.learning_rate = 1e-3
    optimizer.b1 = 0.9
    optimizer.b2 = 0.999
    optimizer.schedule = "step"  # "step": times decay_factor at each of decay_at; or "cosine" to 0.
    optimizer.decay_at = (0.25, 0.5)  # As shares of num_train_steps.
    optimizer.decay_factor = 0.2
    optimizer.updates = "simultaneous"  # Or "alternating": the critic moves first.

    config.critic_optimizer = critic = ml_collections.ConfigDict()  # Adam, the same schedule.
    critic.learning_rate = 1e-4
    critic.b1 = 0.5
    critic.b2 = 0.999

    config.parallel = parallel = ml_collections.ConfigDict()
    parallel.map = "jit"  # "jit" (global batch) or "pmap" (a replica a device), see parallel.py.
    return config.lock()  # A misspelt field in a config file is an error, not a new field.


def form(config, arg, **forms):
    """Applies the form `NAME.py:arg` to the config; "" leaves it as it is.

    Args:
      config: what get_config has made so far.
      arg: the form's name; "smoke" exists for every config.
      **forms: name -> function that changes the config in place; "smoke" may be one of them.
    """
    forms = {"smoke": smoke} | forms
    if arg:
        if arg not in forms:
            raise UserError(
                f"The config has no form {arg!r}, only {', '.join(sorted(forms))}."
                f"{nearest(arg, forms)}"
            )
        forms[arg](config)
    return config


def smoke(config):
    """Shrinks a run to a minute: does it run at all?"""
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
