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


def mean_over_parts(
    function: Callable[[Any, jax.Array], Any], batch: Any, rng: jax.Array, parts: int
) -> Any:
    """The mean of function(part of the batch, rng of its own), computed part after part.

    In one part it is function(batch, rng). A loop, so that the memory is that of one part.

    Args:
      function: (batch, rng) -> tree of float arrays.
      batch: arrays [B, ...]; part p has every parts-th row from row p on. Blocks of rows would lie
        on some of the devices only.
      rng: of the batch; that of part p is fold_in(rng, p).
      parts: their number, which divides B.
    """
    if parts == 1:
        return function(batch, rng)

    def add(total: Any, numbered: tuple[jax.Array, Any]) -> tuple[Any, None]:
        number, part = numbered
        found = function(part, jax.random.fold_in(rng, number))
        return jax.tree.map(jnp.add, total, found), None

    rows = jax.tree.map(lambda x: x.reshape(-1, parts, *x.shape[1:]).swapaxes(0, 1), batch)
    shapes = jax.eval_shape(function, jax.tree.map(lambda x: x[0], rows), rng)
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    total, _ = jax.lax.scan(add, zeros, (jnp.arange(parts), rows))
    return jax.tree.map(lambda x: x / parts, total)


def in_a_row(
    update: Callable[[Any, Any], tuple[Any, Any]],
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """From update(state, batch) to the same for arrays [n, B, ...] of n batches, in one loop.

    The results are those of the last.
    """

    def updates(state: Any, batches: Any) -> tuple[Any, Any]:
        first = jax.tree.map(lambda x: x[0], batches)
        _, shapes = jax.eval_shape(update, state, first)
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        # The results are carried: where XLA stacks them it may round them otherwise.
        last, _ = jax.lax.scan(lambda old, b: (update(old[0], b), None), (state, zeros), batches)
        return last

    return updates


def make_update(
    method: Method,
    optimizers: Mapping[str, optax.GradientTransformation],
    seed: int,
    axis_name: str | None = None,
    accumulate_steps: int = 1,
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
      accumulate_steps: parts in which the gradients of a batch are computed, see
        `mean_over_parts`; with more than one the method's losses must be means over examples.

    Returns:
      update; its scalars are those of the losses, and `loss/PLAYER`, `grad_norm/PLAYER`.
    """

    def average(tree: Any) -> Any:
        return tree if axis_name is None else jax.lax.pmean(tree, axis_name)

    def update(state: TrainState, batch: Any) -> tuple[TrainState, dict[str, jax.Array]]:
        rng = jax.random.fold_in(jax.random.key(seed), state.step)
        if axis_name is not None:
            rng = jax.random.fold_in(rng, jax.lax.axis_index(axis_name))

        def gradients_of(part: Any, rng: jax.Array) -> dict[str, Any]:
            seen = to_unit_range(part) | {"step": state.step}
            return gradients(method, variables_of(state), seen, rng)

        found = mean_over_parts(gradients_of, batch, rng, accumulate_steps)
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
