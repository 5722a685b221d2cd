"""What a checkpoint remembers of the images that it was trained on."""

from refvae_jax.data import cache
from refvae_jax.errors import UserError


def image_record(train, reference=None):
    """What tells ImageSets from others, JSON-ready: part of a checkpoint's record."""
    count, *shape = train.image.shape
    found = {
        "image_shape": shape,
        "num_train_images": count,
        "train_digest": cache.digest(train),
    }
    return found | ({"reference_digest": cache.digest(reference)} if reference else {})


def check_same_images(record, now):
    """Raises UserError unless what two records both hold of `image_record` is the same."""
    for name in ("image_shape", "num_train_images", "train_digest", "reference_digest"):
        old, new = record.get(name), now.get(name)
        if name in record and name in now and old != new:
            raise UserError(
                f"The images are not those that this run was trained on: {name} was {old}, is "
                f"{new}. Restore the images, or take another --workdir."
            )
