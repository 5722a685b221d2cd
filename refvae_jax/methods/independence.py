"""The independence term: a latent should not depend on what is known of the images.

    L_independence = w(step) * dependence(means, label)

Ours, for any method with groups or references: the papers' objectives let the second latent keep
what the first should own. `label` is the group, and the latent `style`; or the set (unlabelled or
reference), and the latent `common`. docs/independence.md says what it does and what it cannot do.

term = make_term(config, "style")
value, scalars = term(q, group, batch)    # add `value` to the model's loss
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from refvae_jax.distributions import Gaussian
from refvae_jax.methods import losses
from refvae_jax.methods.base import Batch, Config, Scalar, Scalars

Term = Callable[[Gaussian, Int[Array, " B"], Batch], tuple[Scalar, Scalars]]


def make_term(config: Config, latent: str) -> Term:
    """Makes term(q, label, batch) -> (value to add to the model's loss, scalars to log).

    q is the Gaussian of [B, D] of `latent`; label is int [B], -1 for an image of which nothing is
    known; batch["step"] is the number of updates made. The scalars, under the latent's name:

    - `between_label_variance`, see that function;
    - with a weight above 0 `dependence`, see `losses.dependence`, of the posterior means, and
      `equal_labels`, the share of pairs whose labels are equal.

    Args:
      config: `method.w_independence` is the weight, from the step on that is the share
        `method.independence_from` of num_train_steps; before it the weight is 0.
      latent: its name.
    """
    weight = config.method.w_independence
    first_step = round(config.method.independence_from * config.num_train_steps)

    def term(q: Gaussian, label: Int[Array, " B"], batch: Batch) -> tuple[Scalar, Scalars]:
        scalars = {f"{latent}/between_label_variance": between_label_variance(q, label)}
        if not weight:
            return jnp.zeros(()), scalars
        dependence = losses.dependence(q.mean, label)
        equal, pairs = losses.label_pairs(label)
        scalars[f"{latent}/dependence"] = dependence
        scalars[f"{latent}/equal_labels"] = jnp.sum(equal) / jnp.maximum(jnp.sum(pairs), 1)
        return jnp.where(batch["step"] >= first_step, weight, 0) * dependence, scalars

    return term


def set_labels(num_unlabelled: int, num_reference: int) -> Int[Array, " B"]:
    """0 for each unlabelled image, then 1 for each reference image: int [B]."""
    return jnp.concatenate([jnp.zeros(num_unlabelled, int), jnp.ones(num_reference, int)])


def between_label_variance(q: Gaussian, label: Int[Array, " B"]) -> Float[Array, ""]:
    """Variance of the means between labels over the mean posterior variance, a scalar.

    Both are sums over the latent's dimensions. Far below 1 the decoder sees little of what a probe
    may still read from the means. The variance between labels is half of the mean squared distance
    over pairs of different labels, less the same over pairs of equal labels: not biased by the
    number of images, so it may be slightly negative. 0 without pairs of both kinds.
    """
    equal, pairs = losses.label_pairs(label)
    distance = losses.squared_distances(q.mean)
    num_equal, num_different = jnp.sum(equal), jnp.sum(pairs - equal)
    within = jnp.sum(equal * distance) / jnp.maximum(num_equal, 1)
    between = jnp.sum((pairs - equal) * distance) / jnp.maximum(num_different, 1)
    variance = jnp.where((num_equal > 0) & (num_different > 0), between - within, 0) / 2
    return variance / jnp.mean(jnp.sum(jnp.exp(q.logvar), axis=-1))
