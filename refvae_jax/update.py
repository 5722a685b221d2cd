"""One training step for any number of players; no branch per method."""

import jax
import jax.numpy as jnp
import optax

from refvae_jax.state import TrainState, variables_of


def to_float(batch):
    """Images from uint8 to float32 in [0, 1], at any depth; everything else as it is.

    The pipeline ships bytes: a quarter of the memory traffic to the device.
    """

    def convert(leaf):
        return leaf.astype(jnp.float32) / 255 if leaf.dtype == jnp.uint8 else leaf

    return jax.tree.map(convert, batch)


ORDERS = ("simultaneous", "alternating")


def make_update(method, optimizers, seed, axis_name=None, order="simultaneous"):
    """Builds update(state, batch) -> (state, scalars).

    Every player's loss is differentiated with respect to that player's parameters only, for the
    same batch and the same rng. With "simultaneous" updates all players see the same old state,
    share one forward pass, and move at the same time. With "alternating" ones each sees where those
    before it, in the order of `method.players`, have moved.

    Args:
      method: a Method.
      optimizers: {player: optax transformation}, the same players.
      seed: int; step n draws from fold_in(seed, n).
      axis_name: None where the function sees the global batch; else the name of the mapped axis,
        over which gradients, statistics and scalars are averaged, and into which the rng is folded.
      order: one of ORDERS.

    Returns:
      update; its scalars are those of the losses, and `loss/PLAYER`, `grad_norm/PLAYER`.
    """

    def average(tree):
        return tree if axis_name is None else jax.lax.pmean(tree, axis_name)

    def gradients(players, variables, batch, rng):
        """{player: (gradient, loss, mutable, scalars)}."""

        def losses_of(params):
            found = method.losses(variables | {"params": params}, batch, rng)
            return {p: found[p][0] for p in players}, {p: found[p][1] for p in players}

        # Not jax.grad for each player: the compiler finds too little of what they have in common.
        losses, pull_back, aux = jax.vjp(losses_of, variables["params"], has_aux=True)

        def gradient(player):
            (by_player,) = pull_back(
                {p: jnp.asarray(p == player, losses[p].dtype) for p in players}
            )
            return by_player[player]

        return {p: average((gradient(p), losses[p], *aux[p])) for p in players}

    def update(state, batch):
        rng = jax.random.fold_in(jax.random.key(seed), state.step)
        if axis_name is not None:
            rng = jax.random.fold_in(rng, jax.lax.axis_index(axis_name))
        batch = to_float(batch)
        params, mutable, opt_state, logged = {}, {}, {}, {}
        finite = jnp.array(True)
        seen = variables_of(state)
        together = order == "simultaneous"
        found = gradients(method.players, seen, batch, rng) if together else {}
        for player in method.players:
            if not together:
                found |= gradients((player,), seen, batch, rng)
            tx = optimizers[player]
            grads, loss, mutable[player], scalars = found[player]
            updates, opt_state[player] = tx.update(
                grads, state.opt_state[player], state.params[player]
            )
            params[player] = optax.apply_updates(state.params[player], updates)
            seen = seen | {"params": seen["params"] | {player: params[player]}}
            norm = optax.tree.norm(grads)
            finite &= jnp.isfinite(loss) & jnp.isfinite(norm)
            logged |= scalars | {f"loss/{player}": loss, f"grad_norm/{player}": norm}
        healthy = finite | (state.nonfinite_step >= 0)
        nonfinite_step = jnp.where(healthy, state.nonfinite_step, state.step + 1)
        new = TrainState(state.step + 1, params, mutable, opt_state, nonfinite_step)
        return new, logged

    return update
