"""GM-VAE's and ML-VAE's objectives against independent numpy, and where their gradients go."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from refvae_jax import distributions
from refvae_jax.distributions import Gaussian
from refvae_jax.errors import UserError
from refvae_jax.methods import METHODS, gmvae, mixture_networks, mlvae
from refvae_jax.methods.base import DataInfo
from refvae_jax.training.setup import initial_variables
from tests.small_methods import PLAIN

CONSTANTS = {"k": 2.0, "w_rep": 7.0, "w_cent": 0.05, "delta": 0.1}
GROUPS = {
    "singletons and pairs": [7, 7, 3, 5, 3, 7],
    "some without a group": [-1, 4, -1, 4, 9, -1],
    "one group": [5] * 6,
    "all different": [1, 2, 3, 4, 5, 6],
    "nobody has a group": [-1] * 6,
}
BATCH, CONTENT, STYLE = 6, 3, 2


def arrays(seed):
    rng = np.random.default_rng(seed)
    x, recon = rng.uniform(size=(2, BATCH, 4, 4, 1))
    mu_c, lv_c = rng.normal(size=(2, BATCH, CONTENT))
    mu_s, lv_s = rng.normal(size=(2, BATCH, STYLE))
    return x, recon, mu_c, lv_c, mu_s, lv_s


def posterior(mu, lv, members):
    """Mean and variance of the product of the members' Gaussians, one dimension at a time."""
    precision = sum(1 / np.exp(lv[i]) for i in members)
    return sum(mu[i] / np.exp(lv[i]) for i in members) / precision, 1 / precision


def groups_of(group):
    return {g: [i for i, other in enumerate(group) if other == g] for g in set(group) if g >= 0}


def equation_5(group, x, recon, mu_c, lv_c, mu_s, lv_s, k, w_rep, w_cent, delta):
    """The whole objective with loops over images, groups and pairs of groups."""
    mu = {g: posterior(mu_c, lv_c, members)[0] for g, members in groups_of(group).items()}
    total = 0.0
    for i, g in enumerate(group):
        mu_g = mu[g] if g >= 0 else np.zeros(CONTENT)
        trace = np.exp(lv_c[i]).sum() + np.exp(lv_s[i]).sum()
        log_det = lv_c[i].sum() + lv_s[i].sum()
        quadratic = k * ((mu_c[i] - mu_g) ** 2).sum() + (mu_s[i] ** 2).sum()
        total += ((x[i] - recon[i]) ** 2).sum()
        total += 0.5 * (trace + quadratic - (CONTENT + STYLE) - log_det)
    total /= len(group)
    pairs = list(itertools.combinations(mu.values(), 2))
    if pairs:
        total += w_rep * np.mean([1 / (((a - b) ** 2).sum() + delta) for a, b in pairs])
    if mu:
        total += w_cent * np.mean([(m**2).sum() for m in mu.values()])
    return total


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS.keys())
def test_gmvae_objective_is_equation_5(group):
    values = arrays(0)
    x, recon, mu_c, lv_c, mu_s, lv_s = (jnp.asarray(v, jnp.float32) for v in values)
    latents = {"content": Gaussian(mu_c, lv_c), "style": Gaussian(mu_s, lv_s)}
    loss, _ = gmvae.objective(x, recon, latents, jnp.array(group), **CONSTANTS)
    np.testing.assert_allclose(loss, equation_5(group, *values, **CONSTANTS), rtol=1e-5)


def kl_to_normal(mu, variance):
    return 0.5 * (variance + mu**2 - 1 - np.log(variance)).sum()


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS.keys())
def test_mlvae_objective_counts_each_groups_content_once(group):
    x, recon, mu_c, lv_c, mu_s, lv_s = arrays(1)
    members = {**groups_of(group), **{("alone", i): [i] for i, g in enumerate(group) if g < 0}}
    expected = ((x - recon) ** 2).sum()
    expected += sum(kl_to_normal(mu_s[i], np.exp(lv_s[i])) for i in range(BATCH))
    expected += sum(kl_to_normal(*posterior(mu_c, lv_c, m)) for m in members.values())
    as_jax = [jnp.asarray(v, jnp.float32) for v in (x, recon, mu_s, lv_s, mu_c, lv_c)]
    ids = jnp.array(group)
    product = mlvae.distributions.product_of_gaussians(Gaussian(*as_jax[4:]), ids)
    loss, _ = mlvae.objective(*as_jax[:2], Gaussian(*as_jax[2:4]), product, ids)
    np.testing.assert_allclose(loss, expected / BATCH, rtol=1e-5)


@pytest.mark.slow
def test_attraction_moves_the_whole_group_through_its_mean():
    """Image 0's content is pulled to mu_G, so its gradient in mu_G must reach images 1 and 2."""
    x, recon, mu_c, lv_c, mu_s, lv_s = (jnp.asarray(v, jnp.float32) for v in arrays(2))
    group = jnp.array([1, 1, 1, 2, -1, 2])

    def attraction(mu_c):
        latents = {"content": Gaussian(mu_c, lv_c), "style": Gaussian(mu_s, lv_s)}
        _loss, scalars = gmvae.objective(x, recon, latents, group, **CONSTANTS)
        return scalars["content/distance_to_group"]

    # With mu_G held fixed, the gradient of image 0 would be 2 (mu_0 - mu_G) / B exactly.
    grad = jax.grad(attraction)(mu_c)
    mean, variance = posterior(np.asarray(mu_c), np.asarray(lv_c), [0, 1, 2])
    weight = variance / np.exp(lv_c[0])  # d mu_G / d mu_0
    pulled = sum(np.asarray(mu_c[i]) - mean for i in range(3))
    expected = 2 * (np.asarray(mu_c[0]) - mean - weight * pulled) / BATCH
    np.testing.assert_allclose(grad[0], expected, rtol=1e-4)
    assert np.all(np.abs(np.asarray(2 * (mu_c[0] - mean) / BATCH) - grad[0]) > 1e-4)
    np.testing.assert_allclose(grad[4], 2 * mu_c[4] / BATCH, rtol=1e-5)  # mu_G = 0: no group.


INFO = DataInfo((16, 16, 1), 100, PLAIN)


def small_config(name):
    config = default.form(default.get_config(), "smoke")
    config.method.name = name
    config.network.encoder_widths, config.network.decoder_widths = (4, 8), (4,)
    return config


def small(name):
    method = METHODS[name](small_config(name), INFO)
    variables = jax.jit(lambda: initial_variables(method, 0))()
    rng = np.random.default_rng(0)
    batch = {
        "image": jnp.asarray(rng.uniform(size=(6, 16, 16, 1)), jnp.float32),
        "group": jnp.array([0, 0, 1, 1, 1, -1]),
    }
    return method, variables, batch


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gmvae", "mlvae"])
def test_every_parameter_of_the_player_receives_gradient(name):
    method, variables, batch = small(name)
    (player,) = method.players

    def loss(params):
        moved = variables | {"params": {player: params}}
        return method.losses(moved, batch, jax.random.key(1))[player][0]

    grads = jax.jit(jax.grad(loss))(variables["params"][player])
    for path, grad in jax.tree.leaves_with_path(grads):
        assert np.any(np.asarray(grad) != 0), jax.tree_util.keystr(path)


def codes_in_training(name, mean, content, style, group, rng):
    q = Gaussian(mean, content.logvar)
    if name == "gmvae":
        return gmvae.sample_codes({"content": q, "style": style}, rng)
    return mlvae.sample_codes(mlvae.distributions.product_of_gaussians(q, group), style, rng)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gmvae", "mlvae"])
def test_whose_posterior_an_images_content_is_drawn_from(name):
    """ML-VAE draws from the group's, with gradient to every member's encoding (cutting it in the
    product, as a well-known implementation does, fails here); GM-VAE from the image's own (4).
    """
    rng = np.random.default_rng(3)
    content, style = (Gaussian(*jnp.asarray(rng.normal(size=(2, 6, 3)))) for _ in range(2))
    group = jnp.array([0, 0, 1, 1, 1, -1])

    def first(mean, key=0):
        return codes_in_training(name, mean, content, style, group, jax.random.key(key))

    grad = np.asarray(jax.grad(lambda mean: first(mean)["content"][0].sum())(content.mean))
    assert np.all(grad[0] != 0)
    assert np.all(grad[1] != 0) == (name == "mlvae")
    assert np.all(grad[2:] == 0)

    draws = [first(content.mean, key) for key in range(2_000)]
    owner = mlvae.distributions.product_of_gaussians(content, group) if name == "mlvae" else content
    for latent, q in (("content", owner), ("style", style)):
        z = np.stack([draw[latent] for draw in draws])
        sigma = np.exp(0.5 * q.logvar)
        np.testing.assert_array_less(np.abs(z.mean(0) - q.mean), 5 * sigma / np.sqrt(2_000))
        np.testing.assert_allclose(z.std(0), sigma, rtol=0.1)
    assert abs(np.corrcoef(z[:, 0, 0], [d["content"][0, 0] for d in draws])[0, 1]) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gmvae", "mlvae"])
def test_loss_in_training_depends_on_the_partner_as_the_equations_say(name):
    """The whole loss, networks included: moving a partner into another group changes it."""
    method, variables, batch = small(name)
    loss = jax.jit(lambda b: method.losses(variables, b, jax.random.key(1))["model"][0])
    together = loss(batch)
    apart = loss(batch | {"group": jnp.array([0, 5, 1, 1, 1, -1])})
    renamed = loss(batch | {"group": jnp.array([70, 70, 9, 9, 9, -1])})
    assert abs(together - apart) > 1e-4
    np.testing.assert_allclose(together, renamed, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gmvae", "mlvae"])
def test_batch_statistics_move_a_tenth_of_the_way(name):
    method, variables, batch = small(name)
    _, (mutable, _) = method.losses(variables, batch, jax.random.key(1))["model"]
    before, after = (v["encoder"] for v in (variables["mutable"]["model"], mutable))
    kernel = variables["params"]["model"]["encoder"]["Conv_0"]["kernel"]
    features = jax.lax.conv_general_dilated(
        batch["image"], kernel, (2, 2), [(2, 2)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    expected = 0.9 * before["BatchNorm_0"]["mean"] + 0.1 * features.mean((0, 1, 2))
    np.testing.assert_allclose(after["BatchNorm_0"]["mean"], expected, rtol=1e-3, atol=1e-6)


def test_decoder_that_does_not_fit_the_image_says_so():
    config = default.get_config()
    config.network.decoder_widths = (8,)
    with pytest.raises(UserError, match=r"decoder_widths has 1 width, but .* take 2 for"):
        gmvae.make_method(config, DataInfo((32, 32, 1), 10, PLAIN))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gmvae", "mlvae"])
def test_the_step_is_composed_of_the_tested_parts(name):
    """Loss, gradient and both networks' statistics: whose posterior is drawn, decoded and paid."""
    config, (method, variables, batch) = small_config(name), small(name)
    net = mixture_networks.make_networks(config, INFO)
    image, group, rng = batch["image"], batch["group"], jax.random.key(1)

    def found(params):
        moved = variables | {"params": {"model": params}}
        loss, (mutable, _) = method.losses(moved, batch, rng)["model"]
        return loss, mutable

    def wanted(params):
        moved = variables | {"params": {"model": params}}
        q, of_encoder = net.train_encode(moved, image)
        of_group = distributions.product_of_gaussians(q["content"], group)
        rng_content, rng_style = jax.random.split(rng)
        codes = {
            "content": distributions.sample(
                rng_content, of_group if name == "mlvae" else q["content"]
            ),
            "style": distributions.sample(rng_style, q["style"]),
        }
        recon, of_decoder = net.train_decode(moved, codes)
        if name == "mlvae":
            loss, _ = mlvae.objective(image, recon, q["style"], of_group, group)
        else:
            constants = {n: config.method[n] for n in ("k", "w_rep", "w_cent", "delta")}
            loss, _ = gmvae.objective(image, recon, q, group, **constants)
        return loss, {"encoder": of_encoder, "decoder": of_decoder}

    def evaluated(function):
        step = jax.jit(jax.value_and_grad(function, has_aux=True))
        return step(variables["params"]["model"])

    (loss, mutable), gradient = evaluated(found)
    (want, want_mutable), want_gradient = evaluated(wanted)
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    for a, b in ((mutable, want_mutable), (gradient, want_gradient)):
        assert jax.tree.structure(a) == jax.tree.structure(b)
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5 * np.abs(y).max())
