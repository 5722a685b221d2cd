"""The independence term: the estimate against its definition, and whom it reaches."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from refvae_jax.distributions import Gaussian
from refvae_jax.methods import METHODS, independence
from refvae_jax.methods.base import MODEL, DataInfo
from tests.small_methods import (
    INFO,
    MIXTURE,
    PLAIN,
    make_batch,
    make_config,
    quick_jit,
    variables_of,
)

LABEL = np.array([0, 0, 1, -1, 1, 2, 0, 3, 1])  # Two singletons, one image of which none knows.


def codes_of(label, leak, seed=0, size=3):
    """Normal codes whose means differ between labels by about `leak`."""
    rng = np.random.default_rng(seed)
    shift = rng.normal(size=(label.max() + 2, size))
    return (rng.normal(size=(len(label), size)) + leak * shift[label]).astype(np.float32)


def over_quadruples(a, b):
    """The mean of a_ij (b_ij + b_qr - 2 b_iq) over all quadruples of different images."""
    return np.mean(
        [
            a[i, j] * (b[i, j] + b[q, r] - 2 * b[i, q])
            for i, j, q, r in itertools.permutations(range(len(a)), 4)
        ]
    )


def by_definition(codes, label):
    m, label = codes[label >= 0].astype(float), label[label >= 0]
    neighbour = round(np.sqrt(len(label)))
    m = (m - m.mean(0)) / m.std(0)
    distance = np.sqrt(((m[:, None] - m[None, :]) ** 2).sum(-1))
    scale = np.sort(distance, axis=1)[:, neighbour] / 2  # The nearest, at 0, is the image itself.
    kernel = np.exp(-(distance**2) / np.outer(scale, scale))
    same = (label[:, None] == label[None, :]).astype(float)
    norms = over_quadruples(kernel, kernel) * over_quadruples(same, same)
    return over_quadruples(kernel, same) / np.sqrt(norms)


@pytest.mark.parametrize("leak", [0.0, 2.0])
def test_dependence_is_the_mean_over_quadruples(leak):
    codes = codes_of(LABEL, leak)
    found = independence.dependence(codes, LABEL)
    np.testing.assert_allclose(found, by_definition(codes, LABEL), rtol=1e-4)


def test_images_of_which_nothing_is_known_change_nothing():
    codes = codes_of(LABEL, 1.0)
    more = np.concatenate([codes, 9 + codes_of(np.arange(200) % 4, 1.0)])
    label = np.concatenate([LABEL, np.full(200, -1)])
    found = independence.dependence(more, label)
    np.testing.assert_allclose(found, independence.dependence(codes, LABEL), rtol=1e-4)


def test_independent_codes_have_no_dependence_in_the_mean_and_dependent_ones_do():
    label = np.arange(60) % 4
    estimate = jax.jit(independence.dependence)
    found = [estimate(codes_of(label, 0.0, seed), label) for seed in range(300)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))
    leaking = [float(estimate(codes_of(label, leak), label)) for leak in (0.0, 1.0, 2.0, 4.0)]
    assert leaking == sorted(leaking) and leaking[1] > 3 * np.std(found)
    one_hot = np.eye(4, dtype=np.float32)[label]
    assert 0.6 < estimate(one_hot, label) <= 1


def test_dimensions_count_the_same_at_any_scale():
    codes = codes_of(LABEL, 1.0)
    scaled = 5 + codes * np.float32([1e-2, 1.0, 30.0])
    np.testing.assert_allclose(
        independence.dependence(scaled, LABEL), independence.dependence(codes, LABEL), rtol=5e-3
    )


@pytest.mark.parametrize(
    "label", [[-1] * 6, [2] * 6, [2] * 5 + [-1], list(range(6)), [0, 0, 1, -1, -1, -1]]
)
@pytest.mark.parametrize("collapsed", [False, True])
def test_without_two_kinds_of_pairs_it_is_zero_and_so_is_its_gradient(label, collapsed):
    codes = jnp.zeros((6, 2)) if collapsed else codes_of(LABEL[:6], 1.0, size=2)
    value, gradient = jax.value_and_grad(independence.dependence)(codes, np.array(label))
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_collapsed_codes_have_a_finite_gradient():
    gradient = jax.grad(independence.dependence)(jnp.zeros((9, 2)), LABEL)
    assert np.isfinite(gradient).all()


def test_variance_between_labels_is_that_of_their_means():
    """Many images of a label, so that the textbook's formula, which is biased, agrees."""
    label = np.repeat(np.arange(4), 500)
    codes = codes_of(label, 2.0)
    means = np.stack([codes[label == i].mean(0) for i in range(4)])
    logvar = np.full_like(codes, np.log(0.25))
    found = independence.between_label_variance(Gaussian(codes, logvar), label)
    np.testing.assert_allclose(found, means.var(0, ddof=1).sum() / (3 * 0.25), rtol=0.02)
    lonely = independence.between_label_variance(Gaussian(codes[:6], logvar[:6]), np.arange(6))
    assert lonely == 0


def test_the_weight_counts_from_its_step_on():
    config = default.get_config()
    config.num_train_steps = 100
    config.method.w_independence, config.method.independence_from = 7.0, 0.3
    term = independence.make_term(config)
    codes = codes_of(LABEL, 2.0)
    q = Gaussian(codes, np.zeros_like(codes))
    dependence = independence.dependence(codes, LABEL)
    for step, weight in ((0, 0), (29, 0), (30, 7), (99, 7)):
        value, scalars = term((q, LABEL), None, {"step": jnp.array(step)})
        np.testing.assert_allclose(value, weight * dependence, rtol=1e-6)
        assert scalars["style/dependence"] == dependence
    equal = sum(a == b for a, b in itertools.permutations([i for i in LABEL if i >= 0], 2))
    np.testing.assert_allclose(scalars["style/equal_labels"], equal / (8 * 7), rtol=1e-6)


def test_from_its_step_on_the_term_compares_the_others_too():
    config = default.get_config()
    config.num_train_steps, config.batch_size = 100, 8
    config.method.w_independence, config.method.independence_batch = 7.0, 24
    assert independence.num_others(config) == 16
    term = independence.make_term(config)
    label = np.random.default_rng(0).integers(0, 3, 24)
    codes = codes_of(label, 2.0)

    def bent(bend):
        return codes + bend * codes**2

    def found(bend, step):
        def encode(batch):
            rows = batch["rows"]
            return Gaussian(bent(bend)[rows], jnp.zeros((len(rows), 3))), label[rows]

        own, others = {"rows": np.arange(8)}, {"rows": np.arange(8, 24)}
        return term(encode(own), encode, {"step": jnp.array(step), "others": others})

    few, many = (independence.dependence(bent(0.3)[:n], label[:n]) for n in (8, 24))
    (_, before), (value, after) = found(0.3, 49), found(0.3, 50)
    np.testing.assert_allclose(before["style/dependence"], few, atol=1e-6)
    np.testing.assert_allclose((after["style/dependence"], value / 7), many, atol=1e-6)

    # The others' codes are no constants.
    gradient = jax.grad(lambda bend: found(bend, 50)[0])(0.3)
    wanted = jax.grad(lambda bend: 7 * independence.dependence(bent(bend), label))(0.3)
    assert abs(wanted) > 0.01
    np.testing.assert_allclose(gradient, wanted, rtol=1e-3)


def small(name, weight):
    """A small method with the weight from the first step on, and a batch for it."""
    changes = {"w_independence": weight, "independence_from": 0.0}
    if name not in MIXTURE:
        method = METHODS[name](make_config(name, **changes), INFO)
        batch = make_batch("reference")
        batch["reference"] = {"image": batch["reference"]["image"][:4]}  # Of different sizes.
        return method, batch
    config = default.get_config("smoke")
    config.network.encoder_widths, config.network.decoder_widths = (4, 8), (4,)
    config.method.name = name
    config.method.update(changes)
    images = np.random.default_rng(0).uniform(size=(len(LABEL), 16, 16, 1)).astype(np.float32)
    method = METHODS[name](config, DataInfo((16, 16, 1), 100, PLAIN))
    return method, {"image": images, "group": LABEL}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "head"),
    [("gmvae", "style"), ("mlvae", "style"), ("rbvae", "common"), ("srbvae", "common")],
)
def test_it_reaches_the_encoder_of_its_latent_only(name, head):
    """The gradient of what a weight adds, by parameter of every player."""
    with_term, batch = small(name, 1e4)  # Large beside the rounding of what cancels.
    without, _ = small(name, 0.0)
    batch["step"] = jnp.zeros((), int)
    variables = variables_of(with_term)
    not_reached = {"content", "target", "target_head", "e_ref", "decoder"}
    assert with_term.players == without.players

    def added(params):
        moved = variables | {"params": params}
        found, base = (m.losses(moved, batch, jax.random.key(0)) for m in (with_term, without))
        return {p: found[p][0] - base[p][0] for p in found}

    @quick_jit
    def derivatives(params):
        value, pull_back = jax.vjp(added, params)
        (gradient,) = pull_back({p: jnp.asarray(p == MODEL, float) for p in value})
        return value, gradient

    value, gradient = derivatives(variables["params"])
    assert value.pop(MODEL) != 0 and not any(value.values())
    seen, largest = False, max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient))
    for player, tree in gradient.items():
        for path, leaf in jax.tree.leaves_with_path(tree):
            names = [key.key for key in path]
            if player != MODEL or not_reached & set(names):
                assert np.abs(leaf).max() < 1e-4 * largest, (player, names)
            elif names[-2:] == [head if name in MIXTURE else f"{head}_head", "kernel"]:
                mean, logvar = (np.abs(half).max() for half in np.split(leaf, 2, axis=-1))
                assert mean > 0.01 * largest and logvar < 1e-4 * largest
                seen = True
    assert seen
