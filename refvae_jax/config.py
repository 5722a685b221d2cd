"""Configs: what values are allowed, how two differ, and errors in the user's words.

check(config)                    # UserError in one sentence
write(config, path); read(path)  # the config.json of a workdir
same_run(old, new)               # may `new` go on where `old` stopped?
"""

import difflib
import json
import math
from pathlib import Path

import ml_collections

from refvae_jax.data.source import FOLDER
from refvae_jax.errors import UserError
from refvae_jax.logs import write_json
from refvae_jax.methods import METHODS
from refvae_jax.methods.srbvae import LATENT_ERRORS
from refvae_jax.parallel import MAPS
from refvae_jax.update import ORDERS

CHOICES = {
    "method.name": tuple(METHODS),
    "method.latent_error": tuple(LATENT_ERRORS),
    "method.reconstruction_gradient": ("paper", "stopped"),
    "parallel.map": MAPS,
    "optimizer.schedule": ("step", "cosine"),
    "optimizer.updates": ORDERS,
    "dtype": ("float32", "bfloat16"),
    "data.split_by": ("members", "groups"),
}

# What may change between two parts of one run without changing its result.
FREE_FIELDS = (
    "data.dir",
    "data.cache_dir",
    "log_every_steps",
    "eval_every_steps",
    "checkpoint_every_steps",
    "keep_last",
    "keep_every_steps",
)

# What may change because training does not look at it: what is scored, and by which probes.
SCORING_FIELDS = ("data.fit_split", "data.test_split", "data.factors")

# What is known of the images, not which images they are.
SUPERVISION = ("data.grouped_fraction", "data.group_chunk")

NAMED = 4  # Differing fields that a message lists.

# What may change too, but not without a word.
WARN_FIELDS = {
    "num_train_steps": "the schedule of the learning rate changes with it",
    "parallel.map": "what is computed over a batch changes with it, see parallel.py",
}


# (what a value must be, whether it is, the fields): of each number or each number of a tuple.
RULES = (
    (
        "a number greater than 0",
        lambda v: 0 < v < math.inf,
        (
            "num_train_steps",
            "batch_size",
            "log_every_steps",
            "eval_every_steps",
            "checkpoint_every_steps",
            "keep_last",
            "data.resolution",
            "data.group_chunk",
            "latents.content",
            "latents.style",
            "latents.common",
            "latents.target",
            "latents.z",
            "network.encoder_widths",
            "network.decoder_start_width",
            "network.decoder_widths",
            "network.critic_features",
            "method.delta",
            "method.scale",
            "optimizer.learning_rate",
            "critic_optimizer.learning_rate",
            "optimizer.decay_factor",
        ),
    ),
    (
        "a number from 0 on",
        lambda v: 0 <= v < math.inf,
        (
            "keep_every_steps",
            "method.k",
            "method.w_rep",
            "method.w_cent",
            "method.w_image",
            "method.w_latent",
            "method.beta",
            "method.gamma",
            "method.w_off_diagonal",
            "method.w_diagonal",
            "method.w_kl",
            "method.w_adversarial",
        ),
    ),
    (
        "a number from 0 to 1",
        lambda v: 0 <= v <= 1,
        ("data.grouped_fraction", "optimizer.decay_at", "method.block_dropout"),
    ),
    (
        "a number from 0 to below 1",
        lambda v: 0 <= v < 1,
        ("optimizer.b1", "optimizer.b2", "critic_optimizer.b1", "critic_optimizer.b2"),
    ),
    ("a number from 0 to below 0.5", lambda v: 0 <= v < 0.5, ("data.hold_out",)),
    ("-1, 0 or a number of pixels", lambda v: v >= -1 and v == int(v), ("data.crop",)),
    ("from 0 to below 2**32", lambda v: 0 <= v < 2**32, ("seed",)),
)


def nearest(name, known):
    """A hint ' Did you mean ...?' for a misspelt name, or ''."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def flatten(config):
    """{"data.name": value, ...} of a ConfigDict, tuples as lists, as JSON keeps them."""
    flat = {}
    for name, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            flat |= {f"{name}.{inner}": v for inner, v in flatten(value).items()}
        else:
            flat[name] = list(value) if isinstance(value, tuple) else value
    return flat


def check(config):
    """Raises UserError, in one sentence, for the first field whose value cannot be meant."""
    flat = flatten(config)
    for field, known in CHOICES.items():
        value = flat[field]
        if value not in known:
            raise UserError(
                f"config.{field} is {value!r} but must be one of {', '.join(known)}."
                f"{nearest(value, known)}"
            )
    for rule, allowed, fields in RULES:
        for field in fields:
            values = flat[field] if isinstance(flat[field], list) else [flat[field]]
            if not all(isinstance(v, int | float) and allowed(v) for v in values):
                raise UserError(f"config.{field} is {flat[field]!r} but must be {rule}.")
    widths = flat["network.encoder_widths"] + flat["network.decoder_widths"]
    if not all(isinstance(width, int) for width in widths):
        raise UserError(f"The widths of config.network must be whole numbers, not {widths}.")


def read(path):
    """The ConfigDict of a config.json."""
    return ml_collections.ConfigDict(json.loads(Path(path).read_text()))


def write(config, path):
    """Writes config.json whole or not at all."""
    write_json(config.to_dict(), path)


def differences(old, new, exempt=FREE_FIELDS):
    """[field] that two flat configs both have, but with other values; those of `exempt` aside.

    data.dir counts where it names the user's own images, whatever `exempt` says.
    """
    names = sorted(name for name in old.keys() & new.keys() if old[name] != new[name])
    moved = ["data.dir"] * other_folder(old, new)
    return [name for name in names if name not in {*exempt, "data.dir"}] + moved


def same_run(old, new, workdir):
    """Checks that a run of `old` may go on under `new`.

    Returns:
      A warning to print, or "".

    Raises:
      UserError: naming the first fields that differ.
    """
    old, new = flatten(old), flatten(new)
    exempt = FREE_FIELDS + SCORING_FIELDS
    names = differences(old, new, exempt) + sorted((old.keys() ^ new.keys()) - {*exempt})
    changes = [f"config.{name} was {old.get(name)!r}, is {new.get(name)!r}" for name in names]
    if set(names) - WARN_FIELDS.keys():
        more = f"; and {len(changes) - NAMED} more" if len(changes) > NAMED else ""
        raise UserError(
            f"{workdir} holds a run of another config ({'; '.join(changes[:NAMED])}{more}): "
            f"take another --workdir, or the old values."
        )
    return "; ".join(f"{c}: {WARN_FIELDS[n]}" for n, c in zip(names, changes, strict=True))


def other_folder(old, new):
    """Whether two flat configs are of the user's own images in different folders.

    Of other sets data.dir only says where they lie; of these it is all that names them.
    """
    folders = {Path(flat.get("data.dir", "")).expanduser().resolve() for flat in (old, new)}
    return new.get("data.name") == FOLDER and len(folders) > 1
