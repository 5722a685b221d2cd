"""Every method's `losses` as a whole, weights and signs and labels, against `expected_losses`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from scipy import stats

from refvae_jax.config_rules import FIELDS
from refvae_jax.distributions import Gaussian
from refvae_jax.methods import METHODS, srbvae, symmetric_kl
from refvae_jax.methods.base import DISCRIMINATOR
from tests.methods.expected_losses import EXPECTED, RNG, WEIGHTS, floored_nats
from tests.small_methods import (
    INFO,
    MIXTURE,
    MOSTLY_SLOW,
    NAMES,
    make_batch,
    make_config,
    make_method,
    quick_jit,
    variables_of,
)

HEADS = {"common_head", "target_head", "z_head", "e_ref"}


@functools.cache
def small(name, **changes):
    return make_method(name, **WEIGHTS | changes)


@functools.cache
def parameters(name):
    method = small(name)
    variables = variables_of(method)
    if name == "factorvae":  # Noise in layers of 1000 makes logits of hundreds.
        initial = quick_jit(method.init)(jax.random.key(0))
        variables["params"][DISCRIMINATOR] = initial["params"][DISCRIMINATOR]
    return jax.tree.map(lambda a: np.asarray(a, np.float32), variables)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "latent_error"),
    [(name, "squared") for name in NAMES] + [(name, "likelihood") for name in ("svae", "srbvae")],
)
def test_losses_are_those_of_the_equations(name, latent_error):
    method, variables = small(name, latent_error=latent_error), parameters(name)
    batch = make_batch(method.supervision)
    found = quick_jit(method.losses)(variables, batch, RNG)
    values = {player: value for player, (value, _) in found.items()}
    expected = EXPECTED[name]
    if latent_error == "likelihood":
        expected = functools.partial(expected, latent_error=floored_nats)
    want = expected(variables["params"], batch)
    assert values.keys() == want.keys()
    for player, value in values.items():
        np.testing.assert_allclose(value, want[player], rtol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "how"),
    [(name, how) for name in ("svae", "srbvae") for how in ("paper", "stopped")]
    + [("factorvae", "paper")],
)
def test_which_parts_of_the_model_each_term_reaches(name, how):
    method, variables = small(name, reconstruction_gradient=how), parameters(name)
    batch = make_batch(method.supervision)
    kinds = ("recon", "total_correlation" if name == "factorvae" else "latent_error")

    def terms(model):
        moved = variables | {"params": variables["params"] | {"model": model}}
        scalars = method.losses(moved, batch, RNG)["model"][1][1]
        return [sum(v for k, v in scalars.items() if k.startswith(kind)) for kind in kinds]

    @quick_jit
    def gradients(model):
        _, pull_back = jax.vjp(terms, model)
        return {kinds[0]: pull_back([1.0, 0.0])[0], kinds[1]: pull_back([0.0, 1.0])[0]}

    found = gradients(variables["params"]["model"])
    reached = {
        (kind, part)
        for kind, by_part in found.items()
        for part, gradient in by_part.items()
        if any(np.any(g != 0) for g in jax.tree.leaves(gradient))
    }
    want = {("recon", "decoder"), (kinds[1], "encoder")}
    if how == "paper":  # The codes that are decoded, and the images that are encoded.
        want |= {("recon", "encoder")}
        want |= {("latent_error", "decoder")} if name != "factorvae" else set()
    if name == "srbvae":
        want |= {("recon", "e_ref")}
        want |= {("latent_error", "e_ref")} if how == "paper" else set()
    assert reached == want


@pytest.mark.slow
@pytest.mark.parametrize("name", MOSTLY_SLOW)
def test_gradients_are_those_of_finite_differences(name):
    """Of what makes the codes: a term that is cut off from them changes no value, only these."""
    config = make_config(name, **WEIGHTS)
    config.dtype = "float64"
    with jax.enable_x64(True):
        method = METHODS[name](config, INFO)
        batch, variables = jax.tree.map(
            lambda a: np.asarray(a, np.float64), (make_batch(method.supervision), parameters(name))
        )
        model = flatten_dict(variables["params"]["model"])
        heads = {p: leaf for p, leaf in model.items() if {*p} & HEADS}
        assert heads

        @quick_jit
        @jax.value_and_grad
        def loss(heads):
            moved = variables["params"] | {"model": unflatten_dict(model | heads)}
            return method.losses(variables | {"params": moved}, batch, RNG)["model"][0]

        _, gradients = loss(heads)
        for path, leaf in heads.items():
            steps = 3e-4 * np.random.default_rng(0).normal(size=(8, *leaf.shape))
            steps /= np.sqrt(leaf.size)
            up, down = (
                np.array([loss(heads | {path: leaf + side * step})[0] for step in steps])
                for side in (1, -1)
            )
            slopes, found = (up - down) / 2, np.tensordot(steps, gradients[path], leaf.ndim)
            error = np.linalg.norm(found - slopes)
            assert error < 0.1 * np.linalg.norm(slopes), path  # Images are float32.


def test_likelihood_of_codes_is_floored_in_its_log_variance():
    rng = np.random.default_rng(0)
    mean, z = rng.normal(size=(2, 5, 3)).astype(np.float32)
    logvar = np.float32(srbvae.LOGVAR_FLOOR + rng.uniform(-5, 5, size=(5, 3)))
    got = jnp.mean(srbvae.LATENT_ERRORS["likelihood"](z, Gaussian(mean, logvar)))
    np.testing.assert_allclose(got, floored_nats(z, Gaussian(mean, logvar)), rtol=1e-5)


def test_equation_7_has_its_minimum_at_the_log_ratio_of_encoder_and_generator():
    """q = N(1, .7^2), p = N(-.5, 1.3^2); the mean gradient by the coefficients of 1, x, x^2."""
    q, p = stats.norm(1.0, 0.7), stats.norm(-0.5, 1.3)
    quantiles = (np.arange(20_000) + 0.5) / 20_000
    basis = {side: np.stack([side.ppf(quantiles) ** k for k in range(3)]) for side in (q, p)}
    # log q/p = -(x - 1)^2 / (2 .7^2) + (x + .5)^2 / (2 1.3^2) + log(1.3 / .7)
    a, b = 1 / (2 * 0.7**2), 1 / (2 * 1.3**2)
    truth = np.array([-a + 0.25 * b + np.log(1.3 / 0.7), 2 * a + b, b - a])

    def objective(coefficients):
        pair = coefficients @ jnp.float32(basis[q]), coefficients @ jnp.float32(basis[p])
        return symmetric_kl.discriminator_objective({"unlabelled": pair})[0]

    gradient = jax.grad(objective)
    np.testing.assert_allclose(gradient(jnp.float32(truth)), 0, atol=2e-3)
    assert np.abs(gradient(jnp.float32(-truth))).max() > 0.5


def test_every_method_has_its_loss_in_numpy():
    """See CONTRIBUTING.md: of the mixture paper's networks in test_mixture.py, else here."""
    assert EXPECTED.keys() == METHODS.keys() - set(MIXTURE)


def test_a_config_may_ask_for_the_latent_errors_that_there_are():
    (field,) = [field for field in FIELDS if field.name == "method.latent_error"]
    assert set(field.rule.known) == srbvae.LATENT_ERRORS.keys()
