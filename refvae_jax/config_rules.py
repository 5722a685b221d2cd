"""The schema of a config: every field once, with its default, its rule and what it means.

config = defaults()      # a locked ConfigDict
check(config)            # UserError for the first field whose value is not allowed
follow_resolution(config, {"data.resolution"})  # widths that nobody set

A field is set from the command line as `--config.batch_size=128`, `--config.method.k=3`,
`--config.network.encoder_widths="(8, 16)"`. A new constant is one line of FIELDS.
"""

import math
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import ml_collections

from refvae_jax.config import CADENCES, flatten
from refvae_jax.data.readers.value_range import are_limits
from refvae_jax.errors import UserError, did_you_mean
from refvae_jax.methods import METHODS
from refvae_jax.networks.sizes import WIDTH_FIELDS


class Numbers(NamedTuple):
    """A rule for a number, or for each number of a tuple."""

    words: str
    allows: Callable[[float], bool]

    def check(self, field: str, value: Any) -> None:
        """Raises UserError, naming the field, if the value is not allowed."""
        values = value if isinstance(value, list | tuple) else [value]
        if not all(isinstance(v, int | float) and self.allows(v) for v in values):
            raise UserError(f"config.{field} is {value!r} but must be {self.words}.")


class Choice(NamedTuple):
    """A rule for one of several words."""

    known: tuple[str, ...]

    def check(self, field: str, value: Any) -> None:
        """Raises UserError, naming the field, if the value is none of them."""
        if value not in self.known:
            raise UserError(
                f"config.{field} is {value!r} but must be one of {', '.join(self.known)}."
                f"{did_you_mean(value, self.known)}"
            )


class Limits(NamedTuple):
    """A rule for the ends of a range of pixel values, or ()."""

    def check(self, field: str, value: Any) -> None:
        """Raises UserError, naming the field, if the value is not allowed."""
        if not isinstance(value, list | tuple) or not are_limits(value):
            raise UserError(
                f"config.{field} is {value!r} but must be (), or two numbers or percentiles such "
                f"as (0, 4095) or ('0.1%', '99.9%'), the lower one first."
            )


class Field(NamedTuple):
    """One field: its dotted name, default, rule (None: any value of that type) and meaning."""

    name: str
    default: Any
    rule: Numbers | Choice | Limits | None
    meaning: str


POSITIVE = Numbers("a number greater than 0", lambda v: 0 < v < math.inf)
WEIGHT = Numbers("a number from 0 on", lambda v: 0 <= v < math.inf)
SHARE = Numbers("a number from 0 to 1", lambda v: 0 <= v <= 1)
DECAY = Numbers("a number from 0 to below 1", lambda v: 0 <= v < 1)
HALF = Numbers("a number from 0 to below 0.5", lambda v: 0 <= v < 0.5)
CROP = Numbers("-1, 0 or a number of pixels", lambda v: v >= -1 and v == int(v))
SEED = Numbers("from 0 to below 2**32", lambda v: 0 <= v < 2**32)
WIDTHS = Numbers("whole numbers greater than 0", lambda v: v > 0 and isinstance(v, int))

# The defaults: the mixture paper's MNIST setting on the digits that need no download.
FIELDS = (
    Field("seed", 0, SEED, "of everything random: initialisation, noise, data order, groups"),
    Field("num_train_steps", 39_063, POSITIVE, "updates in all"),
    Field("batch_size", 256, POSITIVE, "images per step, over all devices and processes"),
    Field("log_every_steps", 100, POSITIVE, "between lines of metrics.jsonl and of progress"),
    Field("validate_every_steps", 1_000, POSITIVE, "between validations; each saves a checkpoint"),
    Field("checkpoint_every_steps", 1_000, POSITIVE, "what a killed run loses at most"),
    Field("steps_per_call", 1, POSITIVE, "that the devices make without the host, where it would "
          "hold them up: with small networks; at most the cadences above"),
    Field("keep_last", 2, POSITIVE, "checkpoints kept beside the best (lowest validation error)"),
    Field("keep_every_steps", 0, WEIGHT, "also keep checkpoints at multiples of this; 0 = none"),
    Field("dtype", "float32", Choice(("float32", "bfloat16")), "of the networks' computation"),
    Field("remat", False, None, "compute the inside of each network block again for its gradient "
          "instead of keeping it: less memory, more time"),
    # data: splits are in TFDS's language; behind an @ parts of groups, data/readers/partition.py.
    Field("data.name", "digits5k", None, "a TFDS set, or digits5k, reference_mnist/..., cars3d, "
          "affectnet; or folder or arrays, your own images in data.dir"),
    Field("data.dir", "", None, "where TFDS keeps it (else $TFDS_DATA_DIR), or your images; sets "
          "and folders may be gs://BUCKET/FOLDER"),
    Field("data.cache_dir", "", None, "of decoded images; else the user's cache folder"),
    Field("data.label", "label", None, "the feature that is the group or class"),
    Field("data.factors", (), None, "features to score by, such as ('attributes/Male',)"),
    Field("data.exclude", (), None, "labels whose images are left out"),
    Field("data.train_split", "train[:3600]", None, "images to train on"),
    Field("data.reference_split", "", None, "images whose target factors are constant"),
    Field("data.probe_train_split", "", None, "probes learn from it; else from train_split"),
    Field("data.validation_split", "train[3600:]", None, "chooses the checkpoint and the probes"),
    Field("data.test_split", "test", None, "scored once"),
    Field("data.hold_out", 0.0, HALF, "share of train held out for each missing split"),
    Field("data.split_by", "members", Choice(("members", "groups")),
          "hold out members of each group, or whole groups"),
    Field("data.reference_class", "", None, "of own images: the class that is the reference"),
    Field("data.resolution", 32, POSITIVE, "height and width in pixels"),
    Field("data.crop", 0, CROP, "side of the centred square that is resized to the resolution; "
          "-1 = the largest; 0 = none, smaller images are padded with zeros"),
    Field("data.value_range", (), Limits(), "of own images of more than 8 bits: what becomes black "
          "and white, as (0, 4095) or percentiles ('0.1%', '99.9%'); () = the upper 8 of 16 bits"),
    Field("data.grouped_fraction", 1.0, SHARE, "share of training images whose group is known"),
    Field("data.group_chunk", 1, POSITIVE, "members of a group that follow each other"),
    Field("method.name", "gmvae", Choice(tuple(METHODS)), "see refvae_jax/methods"),
    Field("method.k", 2.0, WEIGHT, "gmvae: attraction of content to its group's mean (5)"),
    Field("method.w_rep", 7.0, WEIGHT, "gmvae: repulsion; chosen: w_cent 2 D_c^2 G / (G - 1)"),
    Field("method.w_cent", 0.05, WEIGHT, "gmvae: centring of the groups' means; chosen"),
    Field("method.delta", 0.1, POSITIVE, "gmvae: in the repulsion 1 / (s^2 + delta); chosen"),
    Field("method.scale", 0.1, POSITIVE, "rbvae, vae.py, factorvae: lambda of the Laplace "
          "likelihood of images in [-1, 1]; chosen"),
    Field("method.w_image", 300.0, WEIGHT, "srbvae, svae: of the mean absolute error per pixel and "
          "channel, so lambda is H W C / w_image; chosen"),
    Field("method.w_latent", 1.0, WEIGHT, "srbvae, svae: of the latent error, nats; chosen"),
    Field("method.latent_error", "squared", Choice(("squared", "likelihood")),
          "srbvae, svae: half the squared distance to the mean, or the likelihood"),
    Field("method.reconstruction_gradient", "paper", Choice(("paper", "stopped")),
          "srbvae, svae: the paper stops nothing, see srbvae.py"),
    Field("method.block_dropout", 0.3, SHARE,
          "srbvae, svae: chance that a discriminator misses an example's image or code; chosen"),
    Field("method.w_independence", 0.0, WEIGHT, "gmvae, mlvae, rbvae, srbvae: of the dependence of "
          "style on the group, or of common on the set; ours, see methods/independence.py"),
    Field("method.independence_batch", 0, WEIGHT, "images of each set that it compares; those "
          "beyond batch_size are encoded for it alone"),
    Field("method.independence_from", 0.5, DECAY, "share of num_train_steps before it counts"),
    Field("method.beta", 4.0, WEIGHT, "betavae, betatcvae: of the KL or the total correlation"),
    Field("method.gamma", 10.0, WEIGHT, "factorvae: of the total correlation"),
    Field("method.w_off_diagonal", 10.0, WEIGHT, "dipvae1, dipvae2: of the squared covariances"),
    Field("method.w_diagonal", 100.0, WEIGHT, "dipvae1, dipvae2: of the squared distance of the "
          "variances from 1"),
    Field("method.w_kl", 1e-4, WEIGHT, "mathieu: of the KL of the common latent; chosen"),
    Field("method.w_adversarial", 0.01, WEIGHT, "mathieu: of the adversarial term; chosen"),
    Field("latents.content", 8, WIDTHS, "gmvae, mlvae"),
    Field("latents.style", 8, WIDTHS, "gmvae, mlvae"),
    Field("latents.common", 32, WIDTHS, "rbvae, srbvae, mathieu; chosen"),
    Field("latents.target", 32, WIDTHS, "rbvae, srbvae, mathieu; chosen"),
    Field("latents.z", 32, WIDTHS, "the methods of one latent; chosen"),
    # network: of gmvae and mlvae the mixture paper's Table 2, networks/strided.py; of the others
    # the reference paper's, networks/progressive.py.
    # Where only the resolution or the method is set, their number follows: follow_resolution.
    Field("network.encoder_widths", (32, 64, 128, 256), WIDTHS, "of the 5x5 convolutions of stride "
          "2; or of the 1x1 convolution and then of the blocks that halve the image"),
    Field("network.decoder_start_width", 128, WIDTHS, "of the smallest map (Table 2: per latent)"),
    Field("network.decoder_widths", (128, 64), WIDTHS, "of the transposed 4x4 convolutions, or of "
          "the blocks that double the image"),
    Field("network.discriminator_features", 256, WIDTHS, "of its image block and its code block"),
    Field("optimizer.learning_rate", 1e-3, POSITIVE, "of Adam"),
    Field("optimizer.b1", 0.9, DECAY, "of Adam"),
    Field("optimizer.b2", 0.999, DECAY, "of Adam"),
    Field("optimizer.schedule", "step", Choice(("step", "cosine")),
          "times decay_factor at each of decay_at, or cosine decay to 0"),
    Field("optimizer.decay_at", (0.25, 0.5), SHARE, "as shares of num_train_steps"),
    Field("optimizer.decay_factor", 0.2, POSITIVE, "of the step schedule"),
    Field("optimizer.warmup_steps", 0, WEIGHT, "in which the rate rises to that of the schedule"),
    Field("optimizer.accumulate_steps", 1, POSITIVE, "parts in which a batch's gradients are "
          "computed, for less memory; where the loss is a mean over examples"),
    Field("discriminator_optimizer.learning_rate", 1e-4, POSITIVE, "of Adam, the same schedule"),
    Field("discriminator_optimizer.b1", 0.5, DECAY, "of Adam"),
    Field("discriminator_optimizer.b2", 0.999, DECAY, "of Adam"),
    Field("profile.first_step", 10, POSITIVE, "the first step to trace, from 1 on; the calls that "
          "make these steps are traced whole"),
    Field("profile.num_steps", 0, WEIGHT, "steps to trace for TensorBoard, into WORKDIR/profile"),
    Field("parallel.map", "jit", Choice(("jit", "pmap")),
          "global batch, or pmap, one replica per device: see training/devices.py"),
    Field("parallel.start_seconds", 300.0, POSITIVE,
          "how long the processes of a run wait until all have started"),
    Field("parallel.silence_seconds", 90.0, POSITIVE,
          "how long a process may be silent, until the others end; it is named after a quarter"),
)  # fmt: skip


def defaults() -> ml_collections.ConfigDict:
    """The config of FIELDS, locked: a misspelt field in a config file is an error."""
    config = ml_collections.ConfigDict()
    for field in FIELDS:
        *sections, name = field.name.split(".")
        place = config
        for section in sections:
            if section not in place:
                place[section] = ml_collections.ConfigDict()
            place = place[section]
        place[name] = field.default
    return config.lock()


def with_defaults(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A copy of a config in which each field of FIELDS that it lacks has its default."""
    whole = defaults().to_dict()
    for name, value in config.to_dict().items():
        whole[name] = whole.get(name, {}) | value if isinstance(value, dict) else value
    return ml_collections.ConfigDict(whole)


def follow_resolution(config: ml_collections.ConfigDict, overrides: Collection[str]) -> list[str]:
    """Gives networks whose widths nobody set as many as the resolution and the method take.

    Widths that `check` allows stay as they are. Those of a config file are for the resolution and
    the method of that file, so they count as set unless one of these two is overridden, or they are
    the defaults.

    Args:
      config: is changed.
      overrides: dotted names of the fields that were set after the config file.

    Returns:
      The names of the fields that changed; none if there is no such method, or if it has no widths
      for that resolution.
    """
    if config.method.name not in METHODS:
        return []  # `check` says so.
    made, resolution = METHODS[config.method.name].sizes, config.data.resolution
    widths = [tuple(config.network[name]) for name in WIDTH_FIELDS]
    if not widths[0] or made.enough_for(resolution) != resolution:
        return []  # `check` says so.
    schema = {field.name: field.default for field in FIELDS}
    file_is_for_another = not {"data.resolution", "method.name"}.isdisjoint(overrides)
    changed = []
    for name, old, new in zip(
        WIDTH_FIELDS, widths, made.widths_for(resolution, *widths), strict=True
    ):
        field = f"network.{name}"
        is_free = file_is_for_another or old == schema[field]
        if new != old and is_free and field not in overrides:
            config.network[name] = new
            changed.append(field)
    return changed


def check(config: ml_collections.ConfigDict) -> None:
    """Raises UserError, in one sentence, for the first field whose value is not allowed.

    Also if the method has no independence term, where one is asked for, if the term compares less
    than a batch, if no call could have so many steps, if the learning rate would never reach its
    schedule, if the step to trace first is none of the run, or if the networks make no images of
    that resolution, or have too many or too few widths.
    """
    flat = flatten(config)
    for field in FIELDS:
        if field.rule is not None:
            field.rule.check(field.name, flat[field.name])
    method = METHODS[config.method.name]
    if config.method.w_independence and not method.independent:
        have = ", ".join(name for name, known in METHODS.items() if known.independent)
        raise UserError(
            f"{config.method.name} has no independence term: set --config.method.w_independence=0, "
            f"or --config.method.name to one of {have}."
        )
    compared = config.method.independence_batch
    if 0 < compared < config.batch_size:
        raise UserError(
            f"config.method.independence_batch is {compared}, fewer than the batch has: set "
            f"--config.method.independence_batch={config.batch_size} or more, or 0."
        )
    cadences = {n: config[n] for n in CADENCES if config[n] < config.steps_per_call}
    for name, steps in cadences.items():
        raise UserError(
            f"config.steps_per_call is {config.steps_per_call}, but config.{name} is {steps}, and "
            f"the host must see that step: set --config.steps_per_call={steps}, or a larger "
            f"--config.{name}."
        )
    warmup_steps = config.optimizer.warmup_steps
    if warmup_steps > config.num_train_steps:
        raise UserError(
            f"config.optimizer.warmup_steps is {warmup_steps}, but the run has "
            f"{config.num_train_steps} steps: set --config.optimizer.warmup_steps to fewer."
        )
    first_traced = config.profile.first_step
    if config.profile.num_steps and first_traced > config.num_train_steps:
        raise UserError(
            f"config.profile.first_step is {first_traced}, but the run has "
            f"{config.num_train_steps} steps: set --config.profile.first_step to one of them."
        )
    widths = (config.network[name] for name in WIDTH_FIELDS)
    method.sizes.check(config.data.resolution, *widths)
