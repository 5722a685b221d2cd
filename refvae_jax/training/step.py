"""One training step for any number of players; no branch per method."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from refvae_jax.methods.base import Method
from refvae_jax.training.state import TrainState, variables_of


def to_unit_range(batch: Any) -> Any:
    """Images from uint8 to float32 in [0, 1], at any depth; everything else as it is.

    The pipeline ships bytes: a quarter of the memory traffic to the device.
    """

    def convert(leaf: jax.Array) -> jax.Array:
        return leaf.astype(jnp.float32) / 255 if leaf.dtype == jnp.uint8 else leaf

    return jax.tree.map(convert, batch)


def gradients(
    method: Method, variables: dict[str, Any], batch: Any, rng: jax.Array
) -> dict[str, tuple[Any, jax.Array, Any, dict[str, jax.Array]]]:
    """{player: (gradient of its loss by its own parameters, loss, new mutable, scalars)}."""

    def losses_of(params: dict[str, Any]) -> tuple[dict, dict]:
        found = method.losses(variables | {"params": params}, batch, rng)
        return {p: f[0] for p, f in found.items()}, {p: f[1] for p, f in found.items()}

    # Not jax.grad for each player: the compiler finds too little of what they have in common.
    losses, pull_back, aux = jax.vjp(losses_of, variables["params"], has_aux=True)

    def gradient(player: str) -> Any:
        (by_player,) = pull_back({p: jnp.asarray(p == player, losses[p].dtype) for p in losses})
        return by_player[player]

    return {p: (gradient(p), losses[p], *aux[p]) for p in method.players}


def make_update(
    method: Method,
    optimizers: Mapping[str, optax.GradientTransformation],
    seed: int,
    axis_name: str | None = None,
) -> Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]]:
    """Makes update(state, batch) -> (state, scalars).

    Every player's loss is differentiated with respect to that player's parameters only, for the
    same batch, the same rng and the same old state, so that the players share one forward pass.

    Args:
      method: whose losses are minimised.
      optimizers: of the method's players.
      seed: step n draws from fold_in(seed, n).
      axis_name: None where the function sees the global batch; else the name of the mapped axis,
        over which gradients, statistics and scalars are averaged, and into which the rng is folded.

    Returns:
      update; its scalars are those of the losses, and `loss/PLAYER`, `grad_norm/PLAYER`.
    """

    def average(tree: Any) -> Any:
        return tree if axis_name is None else jax.lax.pmean(tree, axis_name)

    def update(state: TrainState, batch: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        rng = jax.random.fold_in(jax.random.key(seed), state.step)
        if axis_name is not None:
            rng = jax.random.fold_in(rng, jax.lax.axis_index(axis_name))
        seen = to_unit_range(batch) | {"step": state.step}
        found = gradients(method, variables_of(state), seen, rng)
        found = {player: average(parts) for player, parts in found.items()}
        params, mutable, opt_state = {}, {}, {}
        logged: dict[str, jax.Array] = {}
        finite = jnp.array(True)
        for player, (grads, loss, statistics, scalars) in found.items():
            updates, opt_state[player] = optimizers[player].update(
                grads, state.opt_state[player], state.params[player]
            )
            params[player] = optax.apply_updates(state.params[player], updates)
            mutable[player] = statistics
            norm = optax.tree.norm(grads)
            finite &= jnp.isfinite(loss) & jnp.isfinite(norm)
            logged |= scalars | {f"loss/{player}": loss, f"grad_norm/{player}": norm}
        healthy = finite | (state.nonfinite_step >= 0)
        nonfinite_step = jnp.where(healthy, state.nonfinite_step, state.step + 1)
        new = TrainState(state.step + 1, params, mutable, opt_state, nonfinite_step)
        return new, logged

    return update
