"""Which images a checkpoint was trained on, and a check that they are still the same."""

from collections.abc import Mapping
from typing import Any

from refvae_jax.data import cache
from refvae_jax.errors import UserError


def image_record(train: cache.ImageSet, reference: cache.ImageSet | None = None) -> dict[str, Any]:
    """Fingerprint of the training images, stored with a checkpoint; JSON-ready."""
    count, *shape = train.image.shape
    found: dict[str, Any] = {
        "image_shape": shape,
        "num_train_images": count,
        "train_digest": cache.digest(train),
    }
    if train.value_range:
        found["value_range"] = train.value_range
    return found | ({"reference_digest": cache.digest(reference)} if reference else {})


def check_same_images(record: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raises UserError if two records differ in a field of `image_record` that both have."""
    for name in ("image_shape", "num_train_images", "train_digest", "reference_digest"):
        old, new = record.get(name), now.get(name)
        if name in record and name in now and old != new:
            raise UserError(
                f"The images are not those that this run was trained on: {name} was {old}, is "
                f"{new}. Restore the images, or choose another --workdir."
            )
