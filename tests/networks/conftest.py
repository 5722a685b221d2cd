"""For the tests of networks."""

import jax
import pytest


@pytest.fixture
def float64():
    """Numbers of 64 bits, in which equal sums differ by nothing that matters."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)
