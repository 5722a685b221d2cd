"""The mixture paper's classifier: its layers, their initial values, and one step."""

import math

import numpy as np
import pytest

from refvae_jax.metrics import classifier


def halves(n, rng):
    codes = rng.normal(size=(n, 2)).astype(np.float32)
    return codes, (codes[:, 0] > 0).astype(np.int32)


@pytest.mark.slow
def test_layers_start_as_in_pytorch():
    network = classifier.Classifier(10)
    state = classifier.init(network, classifier.make_rng(0), np.zeros((1, 16), np.float32))
    for name, fan_in in (("Dense_0", 16), ("Dense_1", 256), ("Dense_2", 256)):
        layer, bound = state.variables["params"][name], 1 / math.sqrt(fan_in)
        for values in (layer["kernel"], layer["bias"]):
            assert np.abs(values).max() <= bound
            assert np.abs(values).max() > 0.7 * bound
        assert np.std(layer["kernel"]) == pytest.approx(bound / math.sqrt(3), rel=0.05)


@pytest.mark.slow
def test_one_step_of_one_batch():
    """128 codes are one step: Adam's first moves by the rate, batch norm's moments by a tenth."""
    codes, labels = halves(128, np.random.default_rng(0))
    network = classifier.Classifier(2)
    before = classifier.init(network, classifier.make_rng(0), codes[:1])
    after = classifier.train_epoch(network, before, codes, labels, classifier.make_rng(1), 1e-3)
    assert after.opt_state.count == 1
    params = before.variables["params"]
    change = np.abs(after.variables["params"]["Dense_2"]["kernel"] - params["Dense_2"]["kernel"])
    assert np.median(change) == pytest.approx(1e-3, rel=0.01)
    hidden = codes @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"]
    moments = after.variables["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(moments["mean"], 0.1 * hidden.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(moments["var"], 0.9 + 0.1 * hidden.var(axis=0), atol=1e-5)


@pytest.mark.slow
def test_the_network_is_the_papers():
    """At test time: batch norm by its running moments (0 and 1 at first), leaky ReLU of .2."""
    network = classifier.Classifier(3)
    codes = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    variables = classifier.init(network, classifier.make_rng(0), codes[:1]).variables
    x = codes
    for name in ("Dense_0", "Dense_1", "Dense_2"):
        layer = variables["params"][name]
        x = x @ layer["kernel"] + layer["bias"]
        if name != "Dense_2":
            x = x / np.sqrt(1 + 1e-5)
            x = np.where(x > 0, x, 0.2 * x)
    np.testing.assert_allclose(network.apply(variables, codes, train=False), x, atol=1e-5)
