"""Which latent should carry what, and which images may be compared with which."""

import itertools

import numpy as np
import pytest

from refvae_jax.data.cache import ImageSet
from refvae_jax.data.readers.source import Factors
from refvae_jax.data.splits import Splits, comparable
from refvae_jax.errors import UserError
from refvae_jax.evaluation.ground_truth import carriers, chance_levels, lower_is_better

GROUP = {"label": "content", "pose": "style"}
TARGETS = dict.fromkeys(("red", "size", "width", "average"), "target")
REFERENCE = {"label": "common", **TARGETS}


def make_set(label, names=(), kinds=None, numbers=None):
    """Images that hold their label, with further ground truth by name."""
    label = np.asarray(label, np.int32)
    kinds, numbers = kinds or {}, numbers or {}
    columns = [np.zeros((len(label), 0)), *(np.reshape(v, (-1, 1)) for v in numbers.values())]
    places = [np.zeros((len(label), 0)), *(np.reshape(v, (-1, 1)) for v in kinds.values())]
    factors = Factors(
        np.concatenate(columns, axis=1).astype(np.float32),
        tuple(numbers),
        np.concatenate(places, axis=1).astype(np.int32),
        {name: tuple(map(str, range(max(v) + 1))) for name, v in kinds.items()},
    )
    image = np.broadcast_to(label[:, None, None, None] % 256, (len(label), 2, 2, 1))
    return ImageSet(image.astype(np.uint8), label, names, factors)


def same_splits(part, reference=None):
    return Splits(part, part, part, part, reference)


def test_groups_share_their_content():
    part = make_set(
        [5, 5, 8, 8, 5],
        kinds={"hair": [1, 1, 0, 0, 1], "pose": [0, 1, 0, 1, 0]},
        numbers={"age": [3, 3, 3, 3, 3], "light": [0.1, 0.2, 0.1, 0.1, 0.1]},
    )
    assert carriers("group", comparable(same_splits(part))) == {
        "label": "content",
        "hair": "content",
        "pose": "style",
        "age": "content",
        "light": "style",
    }


def test_what_is_constant_in_the_reference_is_a_target_factor():
    part = make_set([0, 1, 2], ("a", "b", "c"), {"hair": [0, 1, 1]}, {"red": [0, 1, 2]})
    plain = make_set([0, 1, 0], ("a", "b", "c"), {"hair": [1, 1, 1]}, {"red": [4, 4, 4]})
    found = carriers("reference", same_splits(part, plain))
    assert found == {"label": "common", "hair": "target", "red": "target", "average": "target"}


def test_a_label_that_the_reference_lacks_is_a_target_factor():
    part, neutral = make_set([0, 1, 1], ("happy", "sad")), make_set([-1, -1], ("happy", "sad"))
    assert carriers("reference", same_splits(part, neutral)) == {"label": "target"}


def test_a_lone_latent_should_carry_everything():
    part = make_set([0, 1], ("a", "b"), numbers={"red": [0, 1]})
    found = carriers("unsupervised", same_splits(part))
    assert set(found.values()) == {"z"} and found.keys() == {"label", "red", "average"}
    assert not lower_is_better("z/label/strong_accuracy", found)
    assert lower_is_better("z/red/mae", found)


def test_unseen_groups_are_compared_among_themselves():
    train, validation = make_set([1, 1, 2, 2]), make_set([3, 3])
    fit = make_set([70] * 10 + [90] * 10)
    test = make_set([70, 90, 90, 95])  # Nothing to learn 95 from.
    parts = comparable(Splits(train, fit, validation, test))
    assert parts.test.label.tolist() == [0, 1, 1]
    assert parts.test.class_names == ("70", "90")
    assert parts.test.image[:, 0, 0, 0].tolist() == [70, 90, 90]
    np.testing.assert_array_equal(np.bincount(parts.validation.label), [2, 2])
    np.testing.assert_array_equal(np.bincount(parts.probe_train.label), [8, 8])
    np.testing.assert_array_equal(parts.train.label, parts.probe_train.label)
    images = np.concatenate([parts.probe_train.image, parts.validation.image])[:, 0, 0, 0]
    assert sorted(images) == [70] * 10 + [90] * 10


def test_probes_are_never_chosen_on_what_they_learn_from():
    train, validation, fit = make_set([1, 1]), make_set([3]), make_set([7] * 3 + [9] * 2 + [11])
    fit = fit._replace(image=np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1))
    parts = comparable(Splits(train, fit, validation, make_set([7, 9])))
    learned, held = (set(p.image.ravel().tolist()) for p in (parts.probe_train, parts.validation))
    assert not learned & held and learned | held == set(range(6))
    np.testing.assert_array_equal(np.bincount(parts.validation.label), [1, 1])


def test_groups_of_a_single_image_leave_nothing_to_choose_probes_on():
    with pytest.raises(UserError, match=r"a single image.*probe_train_split"):
        comparable(Splits(make_set([1]), make_set([7, 9]), make_set([3]), make_set([7, 9])))


def test_one_test_image_of_a_known_group_cannot_be_exchanged():
    part = make_set([1, 1])
    with pytest.raises(UserError, match="Only one test image"):
        comparable(Splits(part, part, part, make_set([1, 2, 2])))


def test_chance_of_a_class_is_one_over_their_number():
    part = make_set([0, 1, 1, 1, 2], ("a", "b", "c"))
    known = chance_levels(same_splits(part))
    assert known.of("target/label/linear_accuracy", False) == 3 / 5
    assert known.of("target/label/linear_accuracy/sample", False) == 3 / 5
    assert known.of("target/label/balanced_accuracy", False) == 1 / 3
    assert known.of("target/label/balanced_accuracy/sample", False) == 1 / 3
    assert known.of("target/label/linear_accuracy/b", False) == 1 / 3
    assert known.of("target/label/linear_accuracy/b/sample", False) == 1 / 3


def test_chance_of_a_class_that_a_picture_shows_is_another_images():
    labels = [0, 1, 1, 1, 2]
    known = chance_levels(same_splits(make_set(labels, ("a", "b", "c"))))
    same = np.mean([a == b for a, b in itertools.combinations(labels, 2)])
    for name in ("swap/target/label/accuracy", "resample/common/label/accuracy"):
        assert known.of(name, True) == known.of(name, False) == pytest.approx(same)
    assert known.of("reconstruction/label/accuracy", False) == 3 / 5


def test_chance_of_a_number():
    fit = make_set([0] * 3, numbers={"red": [1, 2, 6], "size": [4, 4, 4]})
    test = make_set([0] * 4, numbers={"red": [1, 1, 4, 9], "size": [2, 4, 8, 6]})
    known = chance_levels(same_splits(fit)._replace(test=test))
    for name in ("target/red/mae", "reconstruction/red/mae", "judge/red/mae/sample"):
        assert known.of(name, False) == pytest.approx(11 / 4)  # The mean of `fit` is 3.
    assert known.of("common/average/mae", False) == pytest.approx((11 / 4 + 8 / 4) / 2)
    # A decoded image shows some digit: it errs at most like another one, at best like the mean.
    pairs = [abs(a - b) for a, b in itertools.combinations([1, 1, 4, 9], 2)]
    for name in ("swap/common/red/mae", "swap/target/red/mae", "resample/common/red/mae"):
        assert known.of(name, False) == pytest.approx(np.mean(pairs))
        assert known.of(name, True) == known.of("target/red/mae", True)
    sizes = [abs(a - b) for a, b in itertools.combinations([2, 4, 8, 6], 2)]
    both = (np.mean(pairs) + np.mean(sizes)) / 2
    assert known.of("swap/target/average/mae", False) == pytest.approx(both)


def test_seen_groups_keep_their_splits():
    part = make_set([0, 1, 2, 2], ("a", "b", "c"))
    for found in comparable(same_splits(part))[:4]:
        np.testing.assert_array_equal(found.label, part.label)
        assert found.class_names == ("a", "b", "c")


def test_nothing_to_compare_with():
    with pytest.raises(UserError, match=r"No group of the test split.*test@members\[:50%\]"):
        comparable(Splits(make_set([1]), make_set([1]), make_set([2]), make_set([3, 3])))


@pytest.mark.parametrize(
    ("name", "lower"),
    [
        ("content/label/paper_accuracy", False),
        ("content/pose/strong_accuracy", True),
        ("swap/style/pose/accuracy", False),
        ("style/label/strong_accuracy/sample", True),
        ("common/label/linear_accuracy", False),
        ("target/label/linear_accuracy/3", True),
        ("target/red/mae", True),
        ("common/red/mae", False),
        ("common/size/r2", True),
        ("z/average/strong_mae", True),
        ("z/label/strong_accuracy", False),
        ("swap/common/label/accuracy", False),
        ("swap/common/red/mae", False),
        ("swap/target/red/mae", True),
        ("swap/target/label/accuracy", True),
        ("swap/common/target_moved", False),
        ("swap/common/pixel_change", False),
        ("resample/common/width/mae", False),
        ("resample/target/width/mae", True),
        ("resample/target/label/accuracy", True),
        ("reconstruction/mse", True),
        ("reconstruction/label/accuracy", False),
        ("judge/red/mae", True),
    ],
)
def test_which_direction_speaks_for_the_separation(name, lower):
    group = any(latent in name for latent in ("content", "style"))
    assert lower_is_better(name, GROUP if group else REFERENCE) == lower


def test_a_factor_named_like_a_latent_has_its_own_chance():
    column = np.arange(8.0)
    part = make_set([0, 1] * 4, ("a", "b"), numbers={"style": 10 * column, "age": column})
    levels = chance_levels(Splits(part, part, part, part))
    own = {factor: levels.of(f"content/{factor}/mae", True) for factor in ("style", "age")}
    assert own["style"] == pytest.approx(10 * own["age"])
    for factor, error in own.items():
        assert levels.of(f"swap/style/{factor}/mae", True) == error
        assert levels.of(f"style/{factor}/mae/sample", True) == error


def test_recall_by_chance_is_of_the_classes_that_are_in_test():
    known = make_set([0, 1, 2], ("a", "b", "c"))
    test = make_set([0, 1, 1], ("a", "b", "c"))
    levels = chance_levels(Splits(known, known, known, test))
    assert levels.of("z/label/balanced_accuracy", False) == 1 / 2


def test_chance_learns_from_fit_and_is_scored_on_test():
    train = make_set([0] + [1] * 5, ("a", "b"), numbers={"red": [9.0] * 6})
    fit = make_set([0] * 3 + [1], ("a", "b"), numbers={"red": [0.0, 0, 0, 4]})
    test = make_set([1, 1, 0], ("a", "b"), numbers={"red": [1.0, 1, 4]})
    known = chance_levels(Splits(train, fit, train, test))
    assert known.of("content/label/strong_accuracy", False) == pytest.approx(1 / 3)
    assert known.of("content/red/mae", False) == pytest.approx(1)  # The median would err by 2.
    error = np.mean(np.square([1 / 6, 1 / 6, 5 / 6]))  # The mean of train is 5 / 6.
    assert known.of("reconstruction/mse", True) == pytest.approx(error / 255**2)
