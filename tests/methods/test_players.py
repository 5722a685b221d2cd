"""Who moves by which loss, in every method of the reference paper; and equation 3."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from refvae_jax.distributions import Gaussian
from refvae_jax.errors import UserError
from refvae_jax.methods import factorvae, rbvae
from refvae_jax.training import state
from refvae_jax.training.step import make_update
from tests.small_methods import (
    MOSTLY_SLOW,
    SHAPE,
    WITH_DISCRIMINATOR,
    make_batch,
    make_config,
    make_method,
    quick_jit,
    variables_of,
)


def changed(old, new):
    """Whether every leaf changed; an error if some did and some did not."""
    answers = {bool(np.any(a != b)) for a, b in zip(*map(jax.tree.leaves, (old, new)), strict=True)}
    assert len(answers) == 1, "some parameters of a player moved and some did not"
    return answers.pop()


@pytest.mark.slow
@pytest.mark.parametrize("name", MOSTLY_SLOW)
def test_each_loss_moves_all_parameters_of_its_player_and_of_no_other(name):
    method = make_method(name)
    assert method.players == (
        ("discriminator", "model") if name in WITH_DISCRIMINATOR else ("model",)
    )
    batch, variables = make_batch(method.supervision), variables_of(method)

    @jax.jit
    def step(rates):
        optimizers = {player: optax.sgd(rate) for player, rate in rates.items()}
        update = make_update(method, optimizers, 0)
        return update(state.create(variables, optimizers), batch)

    for moving in method.players:
        new, scalars = step({player: 1.0 if player == moving else 0.0 for player in method.players})
        for player in method.players:
            moved = changed(variables["params"][player], new.params[player])
            assert moved == (player == moving)
        assert np.isfinite(list(scalars.values())).all()
        assert scalars[f"grad_norm/{moving}"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["svae", "factorvae"])
def test_players_that_move_together_follow_their_own_losses_only(name):
    method, rate = make_method(name), 1e-2
    batch, variables = make_batch(method.supervision), variables_of(method)
    optimizers = {player: optax.sgd(rate) for player in method.players}
    start = state.create(variables, optimizers)
    rng = jax.random.fold_in(jax.random.key(0), 0)
    new, _ = quick_jit(make_update(method, optimizers, 0))(start, batch)

    @quick_jit
    def gradients(params):
        """{the loss's player: {the parameters' player: gradient}}."""

        def losses(params):
            found = method.losses(variables | {"params": params}, batch, rng)
            return [found[player][0] for player in ("discriminator", "model")]

        _, pull_back = jax.vjp(losses, params)
        return {"discriminator": pull_back([1.0, 0.0])[0], "model": pull_back([0.0, 1.0])[0]}

    old = variables["params"]
    found = gradients(old)
    for player in ("discriminator", "model"):
        moved = jax.tree.map(lambda a, b: (a - b) / rate, old[player], new.params[player])
        own, others = (
            flat(found[p][player]) for p in (player, *({"discriminator", "model"} - {player}))
        )
        assert np.linalg.norm(flat(moved) - own) < 0.002 * np.linalg.norm(own)
        if (name, player) == ("factorvae", "model"):  # Its discriminator sees stopped codes.
            np.testing.assert_array_equal(others, 0)
        else:
            assert np.linalg.norm(others) > 0.005 * np.linalg.norm(own), "or it shows nothing"


def flat(tree):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


@pytest.mark.slow
def test_players_share_their_forward_pass():
    """The compiled step of both costs less than those of each, by about a forward pass."""
    method = make_method("svae")
    batch = make_batch(method.supervision)
    optimizers = {player: optax.sgd(1.0) for player in method.players}
    start = jax.eval_shape(lambda: state.create(method.init(jax.random.key(0)), optimizers))

    def operations(players):
        update = make_update(method._replace(players=players), optimizers, 0)
        return jax.jit(update).lower(start, batch).compile().cost_analysis()["flops"]

    alone = operations(("discriminator",)) + operations(("model",))
    assert operations(("discriminator", "model")) < 0.87 * alone


@pytest.mark.slow
def test_equation_3_against_numpy():
    rng = np.random.default_rng(0)
    lam, n, m = 0.2, 5, 3

    def gaussian(size, d):
        return Gaussian(rng.normal(size=(size, d)), rng.normal(size=(size, d)))

    def images(size):
        return rng.uniform(size=(size, 4, 4, 3)), rng.uniform(size=(size, 4, 4, 3))

    unlabelled = (*images(n), {"common": gaussian(n, 4), "target": gaussian(n, 2)})
    reference = (*images(m), {"common": gaussian(m, 4)})
    got, scalars = rbvae.objective(unlabelled, reference, scale=lam)

    want = 0.0
    for x, recon, latents in (unlabelled, reference):
        for i in range(len(x)):
            # -log Laplace(x; recon, lam) for images in [-1, 1], without its constant.
            bound = np.abs((2 * x[i] - 1) - (2 * recon[i] - 1)).sum() / lam
            for q in latents.values():
                s2 = np.exp(q.logvar[i])
                bound += 0.5 * np.sum(s2 + q.mean[i] ** 2 - 1 - np.log(s2))
            want += bound / len(x)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_allclose(
        scalars["recon/reference"], 2 * np.abs(reference[0] - reference[1]).mean(), rtol=1e-5
    )


def test_reference_images_are_decoded_with_e_ref():
    params = {"e_ref": jnp.array([7.0, 8.0])}
    common = np.arange(6.0).reshape(3, 2)
    codes = rbvae.with_reference_target(params, common)
    np.testing.assert_array_equal(codes["common"], common)
    np.testing.assert_array_equal(codes["target"], [[7, 8]] * 3)


def test_factorvaes_discriminator_loss_does_not_reach_the_codes():
    z = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)

    def loss(z):
        return factorvae.discriminator_objective(lambda z: z @ jnp.ones(3), z, jax.random.key(0))[0]

    assert loss(z) > 0
    np.testing.assert_array_equal(jax.grad(loss)(z), 0)


def test_permuting_keeps_the_marginals_and_removes_dependence():
    column = np.random.default_rng(0).normal(size=4000)
    z = np.stack([column, column], axis=1).astype(np.float32)
    permuted = np.asarray(factorvae.permute_dimensions(jax.random.key(0), z))
    np.testing.assert_array_equal(np.sort(permuted, axis=0), np.sort(z, axis=0))
    assert abs(np.corrcoef(permuted.T)[0, 1]) < 5 / np.sqrt(4000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count", "words"), [("factorvae", 5, "so that they are even"), ("betatcvae", 1, "two")]
)
def test_a_batch_that_a_loss_cannot_use(name, count, words):
    method = make_method(name)
    batch = {"image": make_batch("unsupervised")["image"][:count]}
    with pytest.raises(UserError, match=f"{name}.*batch_size.*{words}"):
        jax.eval_shape(method.losses, variables_of(method), batch, jax.random.key(0))


@pytest.mark.slow
@pytest.mark.parametrize("name", MOSTLY_SLOW)
def test_images_are_in_range_and_codes_as_the_config_says(name):
    method, config = make_method(name), make_config(name)
    variables = variables_of(method)
    latents = method.encode(variables, make_batch("unsupervised")["image"])
    expected = ("z",) if method.supervision == "unsupervised" else ("common", "target")
    assert {n: q.mean.shape[1] for n, q in latents.items()} == {
        n: config.latents[n] for n in expected
    }
    images = method.sample(variables, jax.random.key(0), 4)
    assert images.shape == (4, *SHAPE)
    assert 0 <= images.min() < images.max() <= 1


def with_logit_bias(variables, bias):
    """Discriminators that answer the same to everything."""

    def change(path, leaf):
        keys = jax.tree_util.keystr(path)
        if "logit" not in keys and "Dense_6" not in keys:
            return leaf
        return jnp.full_like(leaf, bias) if "bias" in keys else jnp.zeros_like(leaf)

    discriminator = jax.tree.map_with_path(change, variables["params"]["discriminator"])
    return variables | {"params": variables["params"] | {"discriminator": discriminator}}


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_DISCRIMINATOR)
def test_a_discriminator_that_takes_all_for_the_encoders_is_right_there_only(name):
    """`on_real > 0` and `on_made < 0`: what the watch for a discriminator that has won reads."""
    method = make_method(name)
    batch = make_batch(method.supervision)
    losses = quick_jit(method.losses)
    for bias, right in (
        (1.0, ("encoder", "joint", "real")),
        (-1.0, ("generator", "permuted", "made")),
    ):
        variables = with_logit_bias(variables_of(method), bias)
        scalars = losses(variables, batch, jax.random.key(0))["discriminator"][1][1]
        found = {n: float(v) for n, v in scalars.items() if n.startswith("discriminator/accuracy/")}
        assert found and found == {n: float(n.endswith(right)) for n in found}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["srbvae", "rbvae"])
def test_e_ref_starts_at_zero(name):
    params = quick_jit(make_method(name).init)(jax.random.key(0))["params"]["model"]
    np.testing.assert_array_equal(params["e_ref"], np.zeros(2))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["factorvae", "mathieu"])
def test_the_discriminators_gradient_is_of_all_its_inputs(name):
    """The slope of the last bias: sigmoid(d) of what is made, less sigmoid(-d) of what is real."""
    method = make_method(name)
    batch = make_batch(method.supervision)
    variables = with_logit_bias(variables_of(method), 0.3)

    @quick_jit
    @jax.grad
    def slope(discriminator):
        moved = variables | {"params": variables["params"] | {"discriminator": discriminator}}
        return method.losses(moved, batch, jax.random.key(0))["discriminator"][0]

    sets = 2 if name == "mathieu" else 1
    layer = slope(variables["params"]["discriminator"])["logit" if name == "mathieu" else "Dense_6"]
    s = 1 / (1 + np.exp(-0.3))
    np.testing.assert_allclose(layer["bias"], [sets * (s - (1 - s))], rtol=1e-4)
