"""Which losses are means over examples, so that a batch may be computed in parts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from refvae_jax.methods import METHODS
from tests.small_methods import INFO, MIXTURE, make_batch, make_config, quick_jit, variables_of

# Without those whose losses are another's with other constants.
CASES = [name for name in METHODS if name not in ("mlvae", "betavae", "dipvae2")]
CASES += ["rbvae, independent"]


def two_batches(supervision):
    """{field: [2, B, ...]}: two batches, with two groups where there are groups."""
    parts = [make_batch(supervision, seed) for seed in (0, 1)]
    if supervision == "group":
        parts = [part | {"group": np.array([0, 1, 1, 0, 0, 1])} for part in parts]
    return jax.tree.map(lambda *x: np.stack(x), *parts)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_a_method_says_rightly_whether_its_losses_are_means_over_examples(case, monkeypatch):
    """Without noise, as parts draw noise of their own."""
    monkeypatch.setattr(jax.random, "normal", lambda rng, shape=(), *_: jnp.zeros(shape))
    name, _, independent = case.partition(", ")
    config = make_config("vae" if name in MIXTURE else name, block_dropout=0.0)
    config.method.name = name
    if name in MIXTURE:
        config.network.decoder_widths = ()  # Their smallest image is 8x8.
    if independent:
        config.method.w_independence, config.method.independence_from = 1e3, 0.0
    method = METHODS[name](config, INFO)
    variables = variables_of(method)
    both = two_batches(method.supervision)

    def losses(batch):
        found = method.losses(variables, batch | {"step": 0}, jax.random.key(0))
        return jnp.stack([found[player][0] for player in method.players])

    whole = quick_jit(losses)(jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), both))
    part = quick_jit(losses)
    parts = np.mean([part(jax.tree.map(lambda x, i=i: x[i], both)) for i in (0, 1)], axis=0)
    is_mean = np.allclose(parts, whole, rtol=1e-5)
    assert is_mean == (not method.over_batch), (parts, whole)
