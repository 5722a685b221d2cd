"""What a batch holds for each supervision, and what is wrong with the sets."""

import typing

import numpy as np
import pytest

from configs import quickstart, reference_mnist_rbvae
from refvae_jax.data import batches, cache
from refvae_jax.data.groups import known_groups
from refvae_jax.data.readers.factors_file import no_factors
from refvae_jax.data.readers.source import Factors
from refvae_jax.data.splits import Splits
from refvae_jax.errors import UserError
from refvae_jax.methods.base import Supervision


def images(size, shape=(4, 4, 3), first=0):
    row = np.arange(first, first + size)
    image = np.broadcast_to(row[:, None, None, None], (size, *shape)).astype(np.uint8)
    return cache.ImageSet(image, (row % 10).astype(np.int32), (), no_factors(size))


@pytest.fixture
def splits():
    """40 training and 20 reference images; no test looks at the other parts."""
    unused = images(0)
    return Splits(images(40), unused, unused, unused, reference=images(20, first=100))


@pytest.fixture
def config():
    config = reference_mnist_rbvae.get_config("smoke")
    config.batch_size, config.num_train_steps = 10, 4
    return config


def test_group_batches_hold_images_with_their_groups(splits, config):
    config.data.grouped_fraction = 0.5
    group = known_groups(splits.train.label, 0.5, config.seed)
    sets = batches.training_sets(config, "group", splits)
    for batch in batches.training_batches(sets, config, 0):
        assert batch.keys() == {"image", "group"}
        np.testing.assert_array_equal(batch["group"], group[batch["image"][:, 0, 0, 0]])


def test_reference_batches_hold_images_of_both_sets(splits, config):
    sets = batches.training_sets(config, "reference", splits)
    for batch in batches.training_batches(sets, config, 0):
        assert batch.keys() == {"unlabelled", "reference"}
        assert batch["unlabelled"].keys() == batch["reference"].keys() == {"image"}
        assert batch["unlabelled"]["image"].max() < 40
        assert batch["reference"]["image"].min() >= 100


def test_unsupervised_batches_hold_images_only(splits, config):
    sets = batches.training_sets(config, "unsupervised", splits)
    (batch, *_) = batches.training_batches(sets, config, 0)
    assert batch.keys() == {"image"}


@pytest.mark.parametrize("supervision", typing.get_args(Supervision))
def test_example_has_the_form_of_a_batch(splits, config, supervision):
    sets = batches.training_sets(config, supervision, splits)
    (batch, *_) = batches.training_batches(sets, config, 0)
    example = batches.example_batch(sets, config.batch_size)
    assert form(example) == form(batch)
    (batch, *_) = batches.training_batches(sets, config, 0, num_others=6)
    assert form(batches.example_batch(sets, config.batch_size, 6)) == form(batch)
    shapes = batches.batch_shapes(supervision, config.batch_size, (4, 4, 3), 6)
    assert form(shapes) == form(batch)


def form(part):
    return {
        name: form(x) if isinstance(x, dict) else (x.shape, x.dtype) for name, x in part.items()
    }


def test_no_reference_split(splits):
    config = quickstart.get_config("smoke")
    config.method.name = "rbvae"
    splits = splits._replace(reference=None)
    with pytest.raises(UserError, match=r"rbvae needs reference images.*reference_split"):
        batches.training_sets(config, "reference", splits)


def test_shapes_differ(splits, config):
    splits = splits._replace(reference=images(20, (4, 4, 1)))
    with pytest.raises(UserError, match=r"\[4, 4, 3\].*\[4, 4, 1\].*prepare both"):
        batches.training_sets(config, "reference", splits)


def test_empty_reference_split(splits, config):
    splits = splits._replace(reference=images(0))
    with pytest.raises(UserError, match="reference split is empty"):
        batches.training_sets(config, "reference", splits)


def test_fewer_reference_images_than_a_batch(splits, config):
    splits = splits._replace(reference=images(9))
    with pytest.raises(UserError, match="the reference split has 9 images"):
        batches.training_sets(config, "reference", splits)


def test_the_seed_decides_the_order(splits, config):
    sets = batches.training_sets(config, "unsupervised", splits)
    drawn = []
    for config.seed in (0, 0, 1):
        (batch, *_) = batches.training_batches(sets, config, 0)
        drawn.append(batch["image"])
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.any(drawn[0] != drawn[2])


def test_members_of_a_group_follow_each_other(splits, config):
    """40 images in 10 groups of 4, in chunks of 2: a batch of 10 holds whole pairs."""
    config.data.group_chunk, config.data.grouped_fraction = 2, 1.0
    sets = batches.training_sets(config, "group", splits)
    for batch in batches.training_batches(sets, config, 0):
        pairs = batch["group"].reshape(5, 2)
        np.testing.assert_array_equal(pairs[:, 0], pairs[:, 1])


@pytest.mark.parametrize("batch_size", [1, 4, 5, 10, 16])
def test_every_image_once_in_order(batch_size):
    image = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    label, height = np.arange(10, dtype=np.int32), np.arange(10, 20, dtype=np.float32)[:, None]
    factors = Factors(height, ("height",), np.zeros((10, 0), np.int32), {})
    part = cache.ImageSet(image, label, (), factors)
    found = list(batches.evaluation_batches(part, batch_size=batch_size))
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
