"""The independence term: a latent should not depend on what is known of the images.

    L_independence = w(step) * dependence(means, label)

Ours, for any method with groups or references: the papers' objectives let the second latent keep
what the first should own. `label` is the group, and the latent `style`; or the set (unlabelled or
reference), and the latent `common`. docs/independence.md says what it does and what it cannot do.

term = make_term(config)
value, scalars = term(encode(batch), encode, batch)    # add `value` to the model's loss
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from refvae_jax.distributions import PRECISION, Gaussian, same_group
from refvae_jax.methods import METHODS, losses
from refvae_jax.methods.base import Batch, Config, Scalar, Scalars
from refvae_jax.shares import gathered, joined

FLOOR = 1e-8  # Chosen: keeps a collapsed code from dividing by zero.

# A latent of images, a Gaussian of [B, D], and their label; -1 for one of which nothing is known.
Labelled = tuple[Gaussian, Int[Array, " B"]]
Term = Callable[[Labelled, Callable[[Batch], Labelled], Batch], tuple[Scalar, Scalars]]


def make_term(config: Config) -> Term:
    """Makes term(labelled, encode, batch) -> (value to add to the model's loss, scalars to log).

    `labelled` is the method's independent latent of the batch's images, and their label, which
    `encode` would give too. A few hundred codes say little of what is left, so as soon as the term
    counts those of batch["others"], where there are any, are encoded and compared as well.
    batch["step"] is the number of updates made. The scalars, under the latent's name:

    - `between_label_variance`, see that function;
    - with a weight above 0 `dependence`, see `dependence`, of the posterior means, and
      `equal_labels`, the share of pairs of the batch whose labels are equal.

    Args:
      config: `method.w_independence` is the weight, from the step on that is the share
        `method.independence_from` of num_train_steps; before it the weight is 0.
    """
    latent = METHODS[config.method.name].independent
    weight, begins = config.method.w_independence, first_step(config)

    def term(
        labelled: Labelled, encode: Callable[[Batch], Labelled], batch: Batch
    ) -> tuple[Scalar, Scalars]:
        q, label = labelled
        scalars = {f"{latent}/between_label_variance": between_label_variance(q, label)}
        if not weight:
            return jnp.zeros(()), scalars
        equal, pairs = label_pairs(label)
        scalars[f"{latent}/equal_labels"] = jnp.sum(equal) / jnp.maximum(jnp.sum(pairs), 1)

        def with_others() -> Scalar:
            others, their_label = encode(batch["others"])
            return dependence(joined(q.mean, others.mean), joined(label, their_label))

        def of_batch() -> Scalar:
            return dependence(q.mean, label)

        counts = batch["step"] >= begins
        found = jax.lax.cond(counts, with_others, of_batch) if "others" in batch else of_batch()
        scalars[f"{latent}/dependence"] = found
        return jnp.where(counts, weight, 0) * found, scalars

    return term


def first_step(config: Config) -> int:
    """How many updates come before the term counts; 0 without a weight."""
    share = config.method.independence_from if config.method.w_independence else 0
    return round(share * config.num_train_steps)


def num_others(config: Config) -> int:
    """How many images beside the batch's it compares with them; 0 without a weight."""
    method = config.method
    return max(method.independence_batch - config.batch_size, 0) if method.w_independence else 0


def over_batch(config: Config) -> str:
    """What the term adds to `over_batch` of a Method whose loss is a mean over examples else."""
    return "the independence term" if config.method.w_independence else ""


def with_sets(unlabelled: Gaussian, reference: Gaussian) -> Labelled:
    """Both sets' codes in one batch, and their labels: 0 for unlabelled images, 1 for reference."""
    labels = jnp.zeros(len(unlabelled.mean), int), jnp.ones(len(reference.mean), int)
    return joined(unlabelled, reference), joined(*labels)


def between_label_variance(q: Gaussian, label: Int[Array, " B"]) -> Float[Array, ""]:
    """Variance of the means between labels over the mean posterior variance, a scalar.

    Both are sums over the latent's dimensions. Far below 1 the decoder sees little of what a probe
    may still read from the means. The variance between labels is half of the mean squared distance
    over pairs of different labels, less the same over pairs of equal labels: not biased by the
    number of images, so it may be slightly negative. 0 without pairs of both kinds.
    """
    equal, pairs = label_pairs(label)
    distance = losses.squared_distances(q.mean)
    num_equal, num_different = jnp.sum(equal), jnp.sum(pairs - equal)
    within = jnp.sum(equal * distance) / jnp.maximum(num_equal, 1)
    between = jnp.sum((pairs - equal) * distance) / jnp.maximum(num_different, 1)
    variance = jnp.where((num_equal > 0) & (num_different > 0), between - within, 0) / 2
    return variance / jnp.mean(jnp.sum(jnp.exp(q.logvar), axis=-1))


def dependence(codes: Float[Array, "B D"], label: Int[Array, " B"]) -> Float[Array, ""]:
    """How much codes depend on a label: a scalar, 0 in the mean if they do not, at most about 1.

    HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), each by `unbiased_hsic`: the alignment of the kernel K
    of the codes, `local_kernel`, with L, which is 1 for equal labels and 0 for others. HSIC(K, K)
    has no gradient: codes should not become independent by changing their own norm.

    Args:
      codes: [B, D], such as posterior means.
      label: int [B]; an image with -1 takes no part.

    Returns:
      The estimate, negative as often as positive for independent codes. Exactly 0 with fewer than
      four labelled images, or if no two labels are equal, or all are.
    """
    equal, pairs = label_pairs(label)
    num_known = jnp.sum(label >= 0)
    n = jnp.maximum(num_known, 4)  # Of fewer the estimate is not defined; the result is 0 below.
    kernel = pairs * local_kernel(codes, label >= 0)
    norm = jax.lax.stop_gradient(unbiased_hsic(kernel, kernel, n)) * unbiased_hsic(equal, equal, n)
    num_equal = jnp.sum(equal)
    informative = (num_known == n) & (num_equal > 0) & (num_equal < jnp.sum(pairs)) & (norm > 0)
    value = unbiased_hsic(kernel, equal, n) / jnp.sqrt(jnp.where(informative, norm, 1))
    return jnp.where(informative, value, 0)


def unbiased_hsic(
    a: Float[Array, "B B"], b: Float[Array, "B B"], n: Int[Array, ""]
) -> Float[Array, ""]:
    """The Hilbert-Schmidt independence criterion of two kernels, without bias: a scalar.

    Song et al., "Feature selection via dependence maximization", JMLR 2012, equation 5.

    Args:
      a, b: symmetric [B, B], 0 on the diagonal and wherever an image takes no part.
      n: how many images take part, at least 4.
    """
    total = (
        jnp.sum(a * b)
        + jnp.sum(a) * jnp.sum(b) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * jnp.sum(jnp.sum(a, axis=1) * jnp.sum(b, axis=1))
    )
    return total / (n * (n - 3))


def label_pairs(label: Int[Array, " B"]) -> tuple[Float[Array, "B B"], Float[Array, "B B"]]:
    """(1 for two images with equal labels, 1 for two images with labels), 0 on the diagonal."""
    off_diagonal = 1 - jnp.eye(len(label))
    known, others_known = ((x >= 0).astype(off_diagonal.dtype) for x in (label, gathered(label)))
    pairs = known[:, None] * others_known[None, :]
    return same_group(label) * off_diagonal, pairs * off_diagonal


def local_kernel(codes: Float[Array, "B D"], known: Bool[Array, " B"]) -> Float[Array, "B B"]:
    """exp(-|m_i - m_j|^2 / (s_i s_j)) of standardised codes m: near 1 for near neighbours only.

    s_i, without gradient, is half of the distance of i to its sqrt(n)-th neighbour, n the number of
    images that are known (Zelnik-Manor and Perona, "Self-tuning spectral clustering", 2004). What a
    strong probe can still read lies in the neighbourhoods, which wider kernels average away; and it
    may lie in dimensions whose means are tiny, so each dimension has variance 1 here, over the
    images that are known.
    """
    n = jnp.sum(known)
    weight = known / jnp.maximum(n, 1)
    centred = codes - jnp.matmul(weight, codes, precision=PRECISION)
    variance = jnp.matmul(weight, centred**2, precision=PRECISION)
    distance = losses.squared_distances(centred / jnp.sqrt(variance + FLOOR))
    others = known[None, :] & ~jnp.eye(len(codes), dtype=bool)
    to_others = jnp.where(others, jax.lax.stop_gradient(distance), jnp.inf)
    nearest, _ = jax.lax.top_k(-to_others, round(len(codes) ** 0.5))
    neighbour = jnp.maximum(jnp.round(jnp.sqrt(n)).astype(int), 1)
    scale = jnp.sqrt(FLOOR - nearest[:, neighbour - 1]) / 2
    return jnp.exp(-distance / (scale[:, None] * scale[None, :]))
