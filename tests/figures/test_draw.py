"""Which images and codes the figures of a run are drawn from."""

import numpy as np

from refvae_jax.data.cache import open_split
from refvae_jax.figures import draw
from refvae_jax.inference import posterior_sample


def test_neighbouring_pictures_differ_in_label():
    labels = np.array([1, 1, 1, 0, 0, 2])
    order = draw.one_of_each(labels)
    np.testing.assert_array_equal(labels[order], [0, 1, 2, 0, 1, 1])
    assert sorted(order) == list(range(6))
    firsts = draw.one_of_each(np.repeat(np.arange(20), 10))[:20] % 10
    assert len(set(firsts)) > 5, "the same place in every group"


def test_figures_are_of_test_images_and_the_aggregate_of_training_codes(config, trained):
    model, shown, codes = draw.figure_inputs(config, trained)
    train, test = (open_split(config.data, name) for name in ("train", "test"))
    assert len(shown) == 100
    assert {image.tobytes() for image in shown} <= {image.tobytes() for image in test.image}
    for name, q in model.encode(train.image).items():
        np.testing.assert_array_equal(codes[name], posterior_sample(q, config.seed, name))
