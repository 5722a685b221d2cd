"""The defaults, and the forms and widths that other configs share.

`python -m refvae_jax fields` lists every field with its default and meaning
(refvae_jax/config_rules.py). The other configs hold only what differs.
"""

from refvae_jax import config_rules
from refvae_jax.errors import UserError, did_you_mean


def get_config(arg=""):
    """The mixture paper's MNIST setting on the digits that need no download; form: "smoke"."""
    return form(config_rules.defaults(), arg)


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
                f"{did_you_mean(arg, forms)}"
            )
        forms[arg](config)
    return config


def smoke(config):
    """Shrinks a run to a minute, to see whether it runs."""
    config.num_train_steps = 20
    config.batch_size = 32
    config.log_every_steps = config.validate_every_steps = config.checkpoint_every_steps = 10
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
