"""The mixture paper's classifier on codes and its training, for `probes.py`.

    network = Classifier(num_classes=10)
    rng = make_rng(seed)
    state = init(network, rng, codes[:1])
    state = train_epoch(network, state, codes, labels, rng, 1e-3)
    labels = predict(network, state.variables, codes)

Every function is compiled once per shape of its arrays, and the learning rate is an argument, so
all probes of codes of one shape share the compiled functions.
"""

import functools
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from refvae_jax.metrics.gradients import loss_gradients

BATCH_SIZE = 128


class Classifier(nn.Module):
    """2 x [linear 256, batch norm, leaky ReLU 0.2], linear (mixture paper, evaluation)."""

    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Codes [B, D] -> logits [B, num_classes]; `train` takes the batch's own moments."""
        for _ in range(2):
            x = _torch_linear(256, x.shape[-1])(x)
            # PyTorch's momentum 0.1 is 0.9 here.
            x = nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5)(x)
            x = nn.leaky_relu(x, 0.2)
        return _torch_linear(self.num_classes, x.shape[-1])(x)


def _torch_linear(features: int, fan_in: int) -> nn.Dense:
    """A linear layer initialised as PyTorch does: uniform in +-1/sqrt(fan_in), bias included.

    3,000 steps of 1e-5 move a weight by .03 at most, against an initial +-.06 in the second layer,
    so the paper's probe depends on its initialisation.
    """

    def uniform(key: jax.Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -1, 1) / np.sqrt(fan_in)

    return nn.Dense(features, kernel_init=uniform, bias_init=uniform)


def make_rng(seed: int) -> jax.Array:
    """The key of a probe; XLA would take a second more to compile threefry."""
    return jax.random.key(seed, impl="rbg")


class State(NamedTuple):
    """Parameters, batch statistics and Adam's moments."""

    variables: Any  # {"params", "batch_stats"}
    opt_state: Any


_ADAM = optax.scale_by_adam()
CROSS_ENTROPY = optax.softmax_cross_entropy_with_integer_labels


@functools.partial(jax.jit, static_argnums=0)
def init(network: Classifier, rng: jax.Array, codes: jax.Array) -> State:
    """A new state for codes of the shape of `codes` [1, D]; the values do not matter."""
    variables = network.init(rng, codes, train=False)
    return State(variables, _ADAM.init(variables["params"]))


@functools.partial(jax.jit, static_argnums=0)
def train_epoch(
    network: Classifier,
    state: State,
    codes: jax.Array,
    labels: jax.Array,
    rng: jax.Array,
    learning_rate: float,
) -> State:
    """One pass over the codes in a new order, without the rest that does not fill a batch."""

    def step(state: State, index: jax.Array) -> tuple[State, None]:
        grads, mutable = loss_gradients(
            network, CROSS_ENTROPY, state.variables, codes[index], labels[index]
        )
        updates, opt_state = _ADAM.update(grads, state.opt_state)
        # Not optax's schedule: the learning rate is an argument of the compiled function.
        params = jax.tree.map(
            lambda p, u: p - learning_rate * u, state.variables["params"], updates
        )
        return State({"params": params, **mutable}, opt_state), None

    n = len(codes)
    batch_size = min(BATCH_SIZE, n)
    order = jax.random.permutation(rng, n)[: n - n % batch_size]
    return jax.lax.scan(step, state, order.reshape(-1, batch_size))[0]


@functools.partial(jax.jit, static_argnums=0)
def predict(network: Classifier, variables: Any, codes: jax.Array) -> jax.Array:
    """Labels int [N] with the highest logits for codes [N, D]."""
    return network.apply(variables, codes, train=False).argmax(-1)
