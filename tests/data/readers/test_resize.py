"""How an image becomes one of the resolution."""

import numpy as np
import pytest
from PIL import Image

from refvae_jax.data.readers import resize


def test_small_images_are_padded_around_the_centre_or_give_their_largest_square():
    white = Image.new("L", (6, 4), 255)
    padded = np.zeros((16, 16, 1), np.uint8)
    padded[6:10, 5:11] = 255
    np.testing.assert_array_equal(resize.fit(white, resize.PAD, 16), padded)
    assert (resize.fit(white, 10, 8) == 255).all()


@pytest.mark.parametrize(
    ("size", "enough"), [((6, 4), 8), ((28, 28), 32), ((33, 64), 64), ((65, 9), 128)]
)
def test_the_size_that_large_images_are_padded_to_is_one_that_networks_make(size, enough):
    image = Image.new("L", size)
    words = f"{size[0]} x {size[1]} pixels: .*--config.data.resolution={enough} "
    with pytest.raises(ValueError, match=words):
        resize.fit(image, resize.PAD, 5)
    assert resize.fit(image, resize.PAD, enough).shape == (enough, enough, 1)


@pytest.mark.parametrize(("largest", "padded"), [(256, True), (257, False), (4000, False)])
def test_no_networks_for_photographs_are_advised(largest, padded):
    advice = resize.advice_for(largest)
    assert "--config.data.crop=-1" in advice and ("to pad" in advice) == padded
