"""Parts of splits: what they hold, and that they neither overlap nor leave gaps."""

import numpy as np
import pytest

from refvae_jax.data.builders import cars3d, digits5k
from refvae_jax.data.groups import known_groups
from refvae_jax.data.order import make_rng
from refvae_jax.data.readers.partition import parse, resolve, select
from refvae_jax.errors import UserError

LABELS = np.random.default_rng(0).integers(0, 40, 1000) * 7


def rows(expression):
    return set(select(LABELS, parse(expression)[1]).tolist())


@pytest.mark.parametrize("unit", ["groups", "members"])
def test_parts_divide_the_split(unit):
    parts = [rows(f"train@{unit}[{part}]") for part in (":60%", "60%:90%", "90%:")]
    assert set.union(*parts) == set(range(1000))
    assert sum(map(len, parts)) == 1000
    assert rows(f"train@{unit}[:60%]") < rows(f"train@{unit}[:70%]")


def test_groups_are_whole():
    kept = np.array(sorted(rows("train@groups[:25%]")))
    assert len(np.unique(LABELS[kept])) == 10
    assert not np.isin(np.delete(LABELS, kept), LABELS[kept]).any()


def test_members_of_every_group():
    kept = np.array(sorted(rows("train@members[:50%]")))
    for group, size in zip(*np.unique(LABELS, return_counts=True), strict=True):
        assert abs(np.sum(LABELS[kept] == group) - size / 2) <= 0.5


def test_balanced():
    kept = np.array(sorted(rows("train@balanced")))
    smallest = np.unique(LABELS, return_counts=True)[1].min()
    assert (np.unique(LABELS[kept], return_counts=True)[1] == smallest).all()
    assert len(rows("train@groups[:50%]@balanced")) % 20 == 0


@pytest.mark.parametrize(
    "bad", ["a@group[:5%]", "a@groups[5:]", "a@groups[50%:20%]", "a@groups[:101%]", "a@", "a@x"]
)
def test_invalid_parts(bad):
    with pytest.raises(UserError, match="after an @"):
        parse(bad)


def test_missing_splits_come_out_of_train():
    def found(*available):
        names = ("train", "validation", "test", "test@members[50%:]")
        return [resolve(name, available, 0.1, "groups") for name in names]

    assert found("train", "validation", "test")[:3] == ["train", "validation", "test"]
    assert found("train", "test")[:3] == ["train@groups[0%:90%]", "train@groups[90%:100%]", "test"]
    assert found("train") == [
        "train@groups[0%:80%]",
        "train@groups[80%:90%]",
        "train@groups[90%:100%]",
        "train@groups[90%:100%]@members[50%:]",
    ]
    assert resolve("train[:5]", ("train",), 0.1, "groups") == "train[:5]"
    assert resolve("train", ("train",), 0.0, "groups") == "train"


def test_groups_are_drawn_and_the_draw_never_changes():
    """Pinned: other numbers would divide every data set differently and invalidate stored runs."""
    labels = np.arange(20)
    groups, members = (
        select(labels if unit == "groups" else 0 * labels, parse(f"x@{unit}[:30%]")[1]).tolist()
        for unit in ("groups", "members")
    )
    assert groups == [2, 5, 8, 10, 16, 19] and members == [0, 3, 4, 6, 7, 8]
    assert make_rng(3, "a", 5).integers(1000, size=3).tolist() == [759, 366, 897]
    known = known_groups(labels, 0.3, seed=0) >= 0
    assert np.flatnonzero(known).tolist() == [0, 1, 7, 11, 13, 18]
    assert sorted(cars3d.test_cars(183))[:4] == [0, 5, 10, 39]
    train, test = digits5k._stratified_rows(np.repeat(np.arange(10), 500))
    assert train[:3].tolist() == [190, 231, 98] and test[:3].tolist() == [227, 50, 436]
