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
    with pytest.raises(ValueError, match="6 x 4 pixels"):
        resize.fit(white, resize.PAD, 5)
