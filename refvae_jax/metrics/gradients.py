"""The gradient step that all classifiers and regressors of this package share."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax


def loss_gradients(
    network: nn.Module,
    loss: Callable[[jax.Array, jax.Array], jax.Array],
    variables: Mapping[str, Any],
    inputs: jax.Array,
    targets: jax.Array,
) -> tuple[Any, dict[str, Any]]:
    """The gradient of the mean loss, and the batch statistics after this batch.

    Args:
      network: called as network(inputs, train=True), with batch norm.
      loss: (outputs [B, K], targets [B, ...]) -> [B] or [B, K].
      variables: {"params", "batch_stats"}.
      inputs: [B, ...].
      targets: [B, ...].

    Returns:
      The gradient with respect to the parameters; {"batch_stats": tree}.
    """

    def mean_loss(params: Any) -> tuple[jax.Array, Any]:
        outputs, mutable = network.apply(
            {**variables, "params": params}, inputs, train=True, mutable="batch_stats"
        )
        return loss(outputs, targets).mean(), mutable

    return jax.grad(mean_loss, has_aux=True)(variables["params"])
