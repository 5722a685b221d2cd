"""What a checkpoint remembers of the images that it was trained on."""

from refvae_jax.data import cache
from refvae_jax.errors import UserError


def image_record(train_images):
    """What tells an ImageSet from another, JSON-ready: part of a checkpoint's record."""
    count, *shape = train_images.image.shape
    return {
        "image_shape": shape,
        "num_train_images": count,
        "train_digest": cache.digest(train_images),
    }


def check_same_images(record, now):
    """Raises UserError unless two records hold the same `image_record`."""
    for name in ("image_shape", "num_train_images", "train_digest"):
        old, new = record.get(name), now[name]
        if old != new:
            raise UserError(
                f"The images are not those that this run was trained on: {name} was {old}, is "
                f"{new}. Restore the images, or take another --workdir."
            )
