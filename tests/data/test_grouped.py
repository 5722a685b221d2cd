import numpy as np
import pytest

from refvae_jax.data.cache import ImageSet
from refvae_jax.data.grouped import grouped_batches, known_groups
from refvae_jax.errors import UserError


@pytest.fixture
def images():
    """50 images, each filled with its own row number."""
    rows = np.arange(50)
    image = np.broadcast_to(rows[:, None, None, None], (50, 4, 4, 1)).astype(np.uint8)
    return ImageSet(image, (rows % 10).astype(np.int32), 10)


def batches(images, **changes):
    options = {
        "batch_size": 12,
        "seed": 3,
        "first_step": 0,
        "num_steps": 15,
        "grouped_fraction": 0.5,
    }
    return list(grouped_batches(images, **{**options, **changes}))


def rows_of(batch):
    return batch["image"][:, 0, 0, 0]


def assert_same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a["image"], b["image"])
        np.testing.assert_array_equal(a["group"], b["group"])


@pytest.mark.parametrize(("fraction", "known"), [(0, 0), (0.1, 5), (0.333, 17), (1, 50)])
def test_known_groups_counts(fraction, known):
    label = np.arange(50) % 10
    group = known_groups(label, fraction, seed=0)
    assert group.dtype == np.int32
    assert np.sum(group >= 0) == known
    np.testing.assert_array_equal(group[group >= 0], label[group >= 0])


def test_known_groups_depend_on_the_seed_only():
    label = np.arange(50) % 10
    first = known_groups(label, 0.5, seed=0)
    np.testing.assert_array_equal(first, known_groups(label, 0.5, seed=0))
    assert np.any(first != known_groups(label, 0.5, seed=1))
    more = known_groups(label, 0.8, seed=0)
    assert np.all(more[first >= 0] >= 0)


@pytest.mark.parametrize("fraction", [-0.1, 1.5, float("nan")])
def test_bad_fraction(fraction):
    with pytest.raises(UserError, match="grouped_fraction"):
        known_groups(np.zeros(5, int), fraction, seed=0)


def test_batches_have_the_contract_and_match_their_rows(images):
    group = known_groups(images.label, 0.5, seed=3)
    found = batches(images)
    assert len(found) == 15
    for batch in found:
        assert batch["image"].shape == (12, 4, 4, 1) and batch["image"].dtype == np.uint8
        assert batch["group"].dtype == np.int32
        np.testing.assert_array_equal(batch["group"], group[rows_of(batch)])


def test_every_image_once_an_epoch(images):
    rows = np.concatenate([rows_of(b) for b in batches(images)])[:150].reshape(3, 50)
    np.testing.assert_array_equal(np.sort(rows, axis=1), np.tile(np.arange(50), (3, 1)))


@pytest.mark.parametrize("first_step", [1, 4, 14, 15])
def test_resuming_gives_the_tail(images, first_step):
    assert_same(batches(images, first_step=first_step), batches(images)[first_step:])


def test_process_slices_concatenate_to_the_global_batch(images):
    parts = [batches(images, process_index=i, process_count=3) for i in range(3)]
    joined = [
        {key: np.concatenate([part[key] for part in step]) for key in ("image", "group")}
        for step in zip(*parts, strict=True)
    ]
    assert_same(joined, batches(images))


def test_batch_size_that_processes_cannot_share(images):
    with pytest.raises(UserError, match=r"12.*5 processes"):
        batches(images, process_count=5)


def test_batch_larger_than_the_set(images):
    with pytest.raises(UserError, match=r"51.*50 images"):
        batches(images, batch_size=51)
