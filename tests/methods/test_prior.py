"""What codes are drawn from before any image is seen."""

import jax
import numpy as np
import pytest

from refvae_jax.methods.base import standard_normal_prior
from tests.small_methods import make_method, quick_jit


def check_standard_normal(z):
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.04)
    np.testing.assert_allclose(np.cov(z.T), np.eye(z.shape[1]), atol=0.05)


def test_the_prior_is_standard_normal_and_its_latents_are_independent():
    sizes = {"content": 2, "style": 2}
    drawn = standard_normal_prior(sizes)({}, jax.random.key(0), 20_000)
    assert {name: z.shape[1] for name, z in drawn.items()} == sizes
    z = np.concatenate([drawn["content"], drawn["style"]], axis=1)
    check_standard_normal(z)


def test_fewer_draws_are_the_first_of_more():
    """So a model may draw whole chunks, by one program, and keep what it was asked for."""
    prior = standard_normal_prior({"content": 3, "style": 2})
    few, many = (prior({}, jax.random.key(5), n) for n in (4, 300))
    for name, z in few.items():
        np.testing.assert_array_equal(z, many[name][:4])


@pytest.mark.slow
def test_mathieu_draws_targets_from_its_bank_alone():
    method = make_method("mathieu")
    variables = quick_jit(method.init)(jax.random.key(0))
    bank = np.random.default_rng(0).normal(size=(512, 2)).astype(np.float32)
    variables["mutable"]["model"]["target_codes"] = bank
    drawn = method.prior(variables, jax.random.key(1), 20_000)
    check_standard_normal(np.asarray(drawn["common"]))
    found, counts = np.unique(drawn["target"], axis=0, return_counts=True)
    np.testing.assert_array_equal(found, np.unique(bank, axis=0))
    assert counts.min() > 10 and counts.max() < 80  # 39 expected.
