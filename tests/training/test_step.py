"""The step: who moves, with whose gradient, from which noise."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from refvae_jax.methods.base import Method
from refvae_jax.training import state
from refvae_jax.training.step import make_update, mean_over_parts, to_unit_range
from tests.small_methods import make_batch, make_method, quick_jit, variables_of


class Toy(NamedTuple):
    method: Method
    optimizers: dict
    state: state.TrainState


@pytest.fixture
def toy():
    """Two players in a game with known gradients: model a c + a^2, discriminator b^2 - a c."""

    def losses(variables, batch, rng):
        a, c = variables["params"]["model"], variables["params"]["discriminator"]
        model, discriminator = (
            variables["mutable"]["model"] + 1,
            variables["mutable"]["discriminator"] - 1,
        )
        return {
            "model": (a * c + a**2, (model, {"noise": jax.random.normal(rng)})),
            "discriminator": (
                c**2 - a * c,
                (discriminator, {"discriminator_noise": jax.random.normal(rng)}),
            ),
        }

    players = ("model", "discriminator")
    method = Method("group", players, None, losses, encode=None, decode=None, prior=None)
    optimizers = {"model": optax.sgd(0.1), "discriminator": optax.sgd(0.01)}
    variables = {
        "params": {"model": jnp.array(3.0), "discriminator": jnp.array(5.0)},
        "mutable": {"model": jnp.array(0), "discriminator": jnp.array(0)},
    }
    return Toy(method, optimizers, state.create(variables, optimizers))


def test_each_player_descends_its_own_loss_from_the_same_old_state(toy):
    new, scalars = jax.jit(make_update(toy.method, toy.optimizers, 0))(toy.state, {})
    np.testing.assert_allclose(new.params["model"], 3 - 0.1 * (5 + 2 * 3), rtol=1e-6)
    # From the old a = 3, not the new one: the updates are simultaneous.
    np.testing.assert_allclose(new.params["discriminator"], 5 - 0.01 * (2 * 5 - 3), rtol=1e-6)
    assert new.mutable == {"model": 1, "discriminator": -1}
    assert new.step == 1
    assert scalars["grad_norm/model"] == 11 and scalars["loss/discriminator"] == 10
    assert scalars["noise"] == scalars["discriminator_noise"], "players share one rng"


@pytest.mark.slow
def test_noise_is_a_function_of_seed_and_step(toy):
    def noises(seed, start):
        update, current, drawn = make_update(toy.method, toy.optimizers, seed), start, []
        for _ in range(3):
            current, scalars = update(current, {})
            drawn.append(float(scalars["noise"]))
        return drawn

    drawn = noises(0, toy.state)
    assert len(set(drawn)) == 3
    resumed = toy.state._replace(step=jnp.array(2, jnp.int32))
    assert noises(0, resumed)[0] == drawn[2]
    assert noises(1, toy.state) != drawn


def test_first_nonfinite_step_is_remembered(toy):
    update = make_update(toy.method, toy.optimizers, 0)
    healthy, _ = update(toy.state, {})
    assert healthy.nonfinite_step == -1
    broken = healthy._replace(params=healthy.params | {"discriminator": jnp.array(jnp.inf)})
    first, _ = update(broken, {})
    second, _ = update(first, {})
    assert first.nonfinite_step == second.nonfinite_step == 2


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("player", ["model", "discriminator"])
def test_any_players_nonfinite_loss_or_gradient_is_remembered(toy, player, what):
    def losses(variables, batch, rng):
        found, own = toy.method.losses(variables, batch, rng), variables["params"][player]
        # The root has a finite value and an infinite slope at 0.
        bad = jnp.inf if what == "loss" else jnp.sqrt(own - jax.lax.stop_gradient(own))
        loss, aux = found[player]
        return found | {player: (loss + bad, aux)}

    update = make_update(toy.method._replace(losses=losses), toy.optimizers, 0)
    assert update(toy.state, {})[0].nonfinite_step == 1


@pytest.mark.slow
def test_replicas_average_gradients_statistics_and_scalars(toy):
    def losses(variables, batch, rng):
        a, m, x = variables["params"]["model"], variables["mutable"]["model"], batch["x"]
        return {"model": (a * x, (m + x, {"seen": x}))}

    method = toy.method._replace(players=("model",), losses=losses)
    optimizers = {"model": optax.sgd(0.1)}
    start = state.create({"params": {"model": 3.0}, "mutable": {"model": 0.0}}, optimizers)
    update = make_update(method, optimizers, 0, axis_name="batch")
    # As pmap and shard_map, on one device.
    step = jax.vmap(update, in_axes=(None, 0), axis_name="batch")
    new, scalars = step(start, {"x": jnp.array([1.0, 5.0])})
    np.testing.assert_allclose(new.params["model"], 2 * [3 - 0.1 * 3], rtol=1e-6)
    np.testing.assert_allclose(new.mutable["model"], [3, 3])
    np.testing.assert_allclose(scalars["seen"], [3, 3])
    np.testing.assert_allclose(scalars["loss/model"], [9, 9])


def test_the_mean_over_parts_is_that_of_the_batch_with_noise_of_each_parts_own():
    def function(batch, rng):
        x = batch["x"].astype(float)
        return {"mean": x.mean(), "of products": (x[:, 0] * x[:, 1]).mean(), "noise": draw(rng)}

    def draw(rng):
        return jax.random.normal(rng)

    rng = jax.random.key(3)
    batch = {"x": np.random.default_rng(0).integers(0, 256, (12, 2), np.uint8)}
    whole, parts = function(batch, rng), mean_over_parts(function, batch, rng, 3)
    for name in ("mean", "of products"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-6)
    drawn = [draw(jax.random.fold_in(rng, p)) for p in range(3)]
    np.testing.assert_allclose(parts["noise"], np.mean(drawn), rtol=1e-5)
    assert len(set(map(float, drawn))) == 3
    assert mean_over_parts(function, batch, rng, 1)["noise"] == draw(rng)


def test_parts_are_every_nth_row():
    """So that a device that has a block of rows has a share of each part."""
    seen = []

    def function(batch, rng):
        jax.debug.callback(lambda x: seen.append(x.tolist()), batch["x"])
        return jnp.zeros(())

    mean_over_parts(function, {"x": jnp.arange(6)}, jax.random.key(0), 2)
    jax.effects_barrier()
    assert seen == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rbvae", "svae"])
def test_accumulated_gradients_are_those_of_the_large_batch(name, monkeypatch):
    """Without noise; the update of plain gradient descent at rate 1 is the gradient."""
    monkeypatch.setattr(jax.random, "normal", lambda rng, shape=(), *_: jnp.zeros(shape))
    method = make_method(name, block_dropout=0.0)
    batch, variables = make_batch(method.supervision), variables_of(method)
    optimizers = dict.fromkeys(method.players, optax.sgd(1.0))
    start = state.create(variables, optimizers)
    (large, of_large), (parts, of_parts) = (
        quick_jit(make_update(method, optimizers, 0, accumulate_steps=n))(start, batch)
        for n in (1, 3)
    )
    for whole, found in zip(*map(jax.tree.leaves, (large.params, parts.params)), strict=True):
        np.testing.assert_allclose(found, whole, rtol=0, atol=1e-4 * np.abs(whole).max())
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), variables["params"], large.params)
    assert min(jax.tree.leaves(moved)) > 1e-4, "or it shows nothing"
    for player in method.players:
        np.testing.assert_allclose(
            of_parts[f"loss/{player}"], of_large[f"loss/{player}"], rtol=1e-5
        )


def test_to_unit_range_scales_bytes_and_leaves_ids():
    batch = {"image": np.array([0, 255], np.uint8), "group": np.array([-1, 300], np.int32)}
    got = to_unit_range(batch)
    np.testing.assert_array_equal(got["image"], [0.0, 1.0])
    np.testing.assert_array_equal(got["group"], batch["group"])
