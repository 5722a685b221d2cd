"""Rematerialised networks: the same parameters, values and gradients, with less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from refvae_jax.networks import progressive, strided
from tests.small_methods import FAST

PLAIN = "tpu"  # Plain convolutions are quick to compile.
BATCH = 4
RESOLUTION = {"strided": 128, "progressive": 32}  # The second takes longer to compile.
LATENTS = {"z": 3}


def make_networks(kind, remat):
    """(encoder, decoder, what they are called with) for images of RESOLUTION."""
    rest = PLAIN, jnp.float64, remat  # Else a sign near zero is rounded to the other side.
    if kind == "strided":
        encoder = strided.Encoder((4,) * 4, LATENTS, *rest)
        return encoder, strided.Decoder(4, (4,) * 4, 1, *rest), {"train": True}
    encoder = progressive.Encoder((4,) * 4, LATENTS, *rest)
    return encoder, progressive.Decoder(4, (4,) * 3, 1, *rest), {}


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", ["strided", "progressive"])
def test_gradients_are_equal_and_need_less_memory(kind):
    size = RESOLUTION[kind]
    image = np.random.default_rng(0).uniform(size=(BATCH, size, size, 1))
    image = image.astype(np.float32)
    found = []
    for remat in (False, True):
        encoder, decoder, how = make_networks(kind, remat)

        def init(encoder=encoder, decoder=decoder, how=how):
            codes = {"z": jnp.zeros((BATCH, 3))}
            rng = jax.random.key(0)
            return encoder.init(rng, image, **how), decoder.init(rng, codes, **how)

        def loss(params, rest, encoder=encoder, decoder=decoder, how=how):
            variables = [{"params": p} | r for p, r in zip(params, rest, strict=True)]
            q, new = encoder.apply(variables[0], image, **how, mutable=["batch_stats"])
            codes = {"z": q["z"].mean}
            recon, newer = decoder.apply(variables[1], codes, **how, mutable=["batch_stats"])
            return jnp.mean((recon - image) ** 2), (new, newer)

        variables = jax.jit(init, compiler_options=FAST)()
        params = [v["params"] for v in variables]
        rest = [{n: x for n, x in v.items() if n != "params"} for v in variables]
        compiled = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(params, rest).compile(FAST)
        bytes_needed = compiled.memory_analysis().temp_size_in_bytes
        found.append((bytes_needed, params, compiled(params, rest)))
    (plain, *same), (slim, *as_well) = found
    if jax.__version_info__ >= (0, 12):  # XLA:CPU before merges what is computed twice again.
        assert slim < 0.75 * plain
    assert jax.tree.structure(same) == jax.tree.structure(as_well)
    for whole, other in zip(*map(jax.tree.leaves, (same, as_well)), strict=True):
        np.testing.assert_allclose(other, whole, rtol=1e-4, atol=1e-5 * np.abs(whole).max())
