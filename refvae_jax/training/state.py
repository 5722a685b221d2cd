"""The training state: everything that step n+1 needs to know of the first n steps."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class TrainState(NamedTuple):
    """`params`, `mutable` and `opt_state` are {player: tree}.

    Random numbers need no state: step n draws from fold_in(seed, n).

    Attributes:
      step: int32, the number of updates made.
      params: parameters of each player.
      mutable: batch statistics of each player.
      opt_state: optimiser state of each player.
      nonfinite_step: int32, the first step, counted from 1, whose loss or gradient was not finite;
        -1 if none was.
    """

    step: jax.Array
    params: dict[str, Any]
    mutable: dict[str, Any]
    opt_state: dict[str, Any]
    nonfinite_step: jax.Array


def create(
    variables: dict[str, Any], optimizers: Mapping[str, optax.GradientTransformation]
) -> TrainState:
    """The state before the first step; `optimizers` is {player: optax transformation}."""
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        mutable=variables["mutable"],
        opt_state={player: tx.init(params[player]) for player, tx in optimizers.items()},
        nonfinite_step=jnp.full((), -1, jnp.int32),
    )


def variables_of(state: TrainState) -> dict[str, Any]:
    """The `variables` that the functions of a Method take."""
    return {"params": state.params, "mutable": state.mutable}
