"""Mathieu et al.'s bank of target codes, and that its target is deterministic."""

import jax
import numpy as np
import pytest

from refvae_jax.errors import UserError
from refvae_jax.methods import METHODS, mathieu
from tests.small_methods import (
    BATCH,
    INFO,
    make_batch,
    make_config,
    make_method,
    quick_jit,
    variables_of,
)


@pytest.mark.slow
def test_mathieu_draws_targets_among_those_of_recent_images():
    method = make_method("mathieu")
    batch, variables = make_batch("reference"), variables_of(method)
    losses = quick_jit(method.losses)
    _, (mutable, _) = losses(variables, batch, jax.random.key(0))["model"]
    kept = variables | {"mutable": variables["mutable"] | {"model": mutable}}
    codes = np.asarray(method.encode(variables, batch["unlabelled"]["image"])["target"].mean)
    bank = np.asarray(mutable["target_codes"])
    np.testing.assert_allclose(bank[:BATCH], codes, atol=1e-6)
    assert len(bank) == mathieu.KEPT_CODES
    drawn = np.asarray(method.prior(kept, jax.random.key(3), 50)["target"])
    distance = np.abs(drawn[:, None] - bank[None]).max(axis=-1).min(axis=1)
    assert distance.max() < 1e-6
    # The next step's codes come first, and push these back.
    later = make_batch("reference", seed=1)
    _, (mutable, _) = losses(kept, later, jax.random.key(0))["model"]
    bank = np.asarray(mutable["target_codes"])
    newest = np.asarray(method.encode(variables, later["unlabelled"]["image"])["target"].mean)
    np.testing.assert_allclose(bank[: 2 * BATCH], [*newest, *codes], atol=1e-6)
    assert len(bank) == mathieu.KEPT_CODES


def test_mathieu_is_not_replicated():
    config = make_config("mathieu")
    config.parallel.map = "pmap"
    with pytest.raises(UserError, match=r"parallel\.map=jit"):
        METHODS["mathieu"](config, INFO)


@pytest.mark.slow
def test_mathieus_target_is_its_mean_without_variance():
    method = make_method("mathieu")
    q = method.encode(variables_of(method), make_batch("reference")["unlabelled"]["image"])
    assert np.exp(q["target"].logvar / 2).max() < 1e-6
    assert np.exp(q["common"].logvar / 2).min() > 1e-3
