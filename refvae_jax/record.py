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
    """Raises UserError unless what a record holds of images is as in the `image_record` of now."""
    for name in record.keys() & now.keys():
        old, new = record[name], now[name]
        if old != new:
            raise UserError(
                f"The images are not those that this run was trained on: {name} was {old}, is "
                f"{new}. Restore the images, or take another --workdir."
            )
