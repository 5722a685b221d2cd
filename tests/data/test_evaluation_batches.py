import numpy as np
import pytest

from refvae_jax.data.cache import ImageSet
from refvae_jax.data.evaluation_batches import evaluation_batches
from refvae_jax.data.readers.source import Factors


@pytest.mark.parametrize("batch_size", [1, 4, 5, 10, 16])
def test_every_image_once_in_order(batch_size):
    image = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    label, height = np.arange(10, dtype=np.int32), np.arange(10, 20, dtype=np.float32)[:, None]
    factors = Factors(height, ("height",), np.zeros((10, 0), np.int32), {})
    images = ImageSet(image, label, (), factors)
    found = list(evaluation_batches(images, batch_size=batch_size))
    assert len(found) == -(-10 // batch_size)
    for batch in found:
        assert batch["image"].shape == (batch_size, 2, 2, 1)
        assert batch["mask"].dtype == np.float32
    joined = {key: np.concatenate([b[key] for b in found]) for key in found[0]}
    kept = joined["mask"] == 1
    np.testing.assert_array_equal(joined["image"][kept], image)
    np.testing.assert_array_equal(joined["label"][kept], np.arange(10))
    np.testing.assert_array_equal(joined["factors"][kept, 0], np.arange(10, 20))
    assert np.all(joined["label"][~kept] == 9)  # Padding repeats the last image.
    assert np.all(np.sort(joined["mask"])[::-1] == joined["mask"])  # Padding comes last.
