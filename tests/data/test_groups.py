import numpy as np
import pytest

from refvae_jax.data.groups import check_groups, known_groups
from refvae_jax.errors import UserError


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


@pytest.mark.parametrize(
    ("group", "message"),
    [
        ([-1, -1, -1], "known groups in the training split is 0"),
        ([4, 4, -1], "training split is 1, and at least two"),
        ([0, 1, 2, -1, -1], "single image"),
    ],
)
def test_too_few_groups(group, message):
    with pytest.raises(UserError, match=message):
        check_groups(np.array(group), "folder")


@pytest.mark.parametrize(
    ("dataset", "advice"),
    [("folder", "into a subfolder"), ("arrays", "add an array `label`"), ("lfw", "set data.label")],
)
def test_the_advice_fits_how_the_images_are_stored(dataset, advice):
    with pytest.raises(UserError, match=f"at least two are needed: .*{advice}"):
        check_groups(np.array([0, 0]), dataset)


def test_two_groups_are_enough_if_one_has_two_images():
    group = np.array([3, 3, 5, -1])
    check_groups(group, "folder")
    for hidden in range(3):
        fewer = np.where(np.arange(4) == hidden, -1, group)
        with pytest.raises(UserError):
            check_groups(fewer, "folder")
