"""The fingerprint of the images in a checkpoint, and which other images are refused."""

import numpy as np
import pytest

from refvae_jax.data import cache
from refvae_jax.data.cache import ImageSet
from refvae_jax.data.image_identity import check_same_images, image_record
from refvae_jax.data.readers.factors_file import no_factors
from refvae_jax.errors import UserError


def images(count, value=0):
    image = np.full((count, 4, 4, 1), value, np.uint8)
    return ImageSet(image, np.zeros(count, np.int32), (), no_factors(count))


@pytest.mark.parametrize("reference", [images(5), images(6, value=1)])
def test_other_reference_images_are_refused(reference):
    record = image_record(images(8), images(6)) | {"config": 1}
    check_same_images(record, image_record(images(8), images(6)) | {"config": 2})
    check_same_images(record, image_record(images(8)))  # Figures do without them.
    with pytest.raises(UserError, match="reference_digest was"):
        check_same_images(record, image_record(images(8), reference))


def test_other_labels_are_other_images():
    image = np.zeros((4, 2, 2, 1), np.uint8)
    one, two = (
        ImageSet(image, np.array(label, np.int32), (), no_factors(4))
        for label in ([0, 0, 1, 1], [0, 1, 1, 0])
    )
    assert cache.digest(one) != cache.digest(two)
