"""Which latent should carry what, and which images may be compared with which."""

import functools
import itertools

import numpy as np
import pytest

from refvae_jax.data.cache import ImageSet
from refvae_jax.data.readers.source import Factors
from refvae_jax.data.splits import Splits, comparable
from refvae_jax.errors import UserError
from refvae_jax.evaluation.ground_truth import GroundTruth, expected_latents, ground_truth

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


def chance_of(splits, factor, probe, latent="z", source="mean", class_name="", expected="z"):
    """The chance level of a score whose factor is expected in the latent `expected`."""
    truth = ground_truth("unsupervised", splits)
    truth = truth._replace(expected_latent=dict.fromkeys(truth.expected_latent, expected))
    fields = {"probe": probe, "source": source, "latent": latent, "factor": factor}
    return truth.score(0.5, class_name=class_name, **fields).chance


def test_groups_share_their_content():
    part = make_set(
        [5, 5, 8, 8, 5],
        kinds={"hair": [1, 1, 0, 0, 1], "pose": [0, 1, 0, 1, 0]},
        numbers={"age": [3, 3, 3, 3, 3], "light": [0.1, 0.2, 0.1, 0.1, 0.1]},
    )
    assert expected_latents("group", comparable(same_splits(part))) == {
        "label": "content",
        "hair": "content",
        "pose": "style",
        "age": "content",
        "light": "style",
    }


def test_what_is_constant_in_the_reference_is_a_target_factor():
    part = make_set([0, 1, 2], ("a", "b", "c"), {"hair": [0, 1, 1]}, {"red": [0, 1, 2]})
    plain = make_set([0, 1, 0], ("a", "b", "c"), {"hair": [1, 1, 1]}, {"red": [4, 4, 4]})
    found = expected_latents("reference", same_splits(part, plain))
    assert found == {"label": "common", "hair": "target", "red": "target", "average": "target"}


def test_a_label_that_the_reference_lacks_is_a_target_factor():
    part, neutral = make_set([0, 1, 1], ("happy", "sad")), make_set([-1, -1], ("happy", "sad"))
    assert expected_latents("reference", same_splits(part, neutral)) == {"label": "target"}


def test_a_lone_latent_should_carry_everything():
    part = make_set([0, 1], ("a", "b"), numbers={"red": [0, 1]})
    found = expected_latents("unsupervised", same_splits(part))
    assert set(found.values()) == {"z"} and found.keys() == {"label", "red", "average"}


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
    with pytest.raises(UserError, match=r"a single image.*put four or more"):
        comparable(Splits(make_set([1]), make_set([7, 9]), make_set([3]), make_set([7, 9])))


def test_one_test_image_of_a_known_group_cannot_be_exchanged():
    part = make_set([1, 1])
    with pytest.raises(UserError, match="Only one test image"):
        comparable(Splits(part, part, part, make_set([1, 2, 2])))


def test_chance_of_a_class_is_one_over_their_number():
    splits = same_splits(make_set([0, 1, 1, 1, 2], ("a", "b", "c")))
    for source in ("mean", "sample"):
        known = functools.partial(chance_of, splits, "label", source=source)
        assert known("linear_accuracy") == known("strong_accuracy") == 3 / 5
        assert known("balanced_accuracy") == 1 / 3
        assert known("linear_accuracy", class_name="b") == 1 / 3


def test_chance_of_a_class_that_a_picture_shows_is_another_images():
    labels = [0, 1, 1, 1, 2]
    splits = same_splits(make_set(labels, ("a", "b", "c")))
    same = np.mean([a == b for a, b in itertools.combinations(labels, 2)])
    for source, expected in itertools.product(("swap", "resample"), ("common", "target")):
        level = chance_of(splits, "label", "accuracy", "common", source, expected=expected)
        assert level == pytest.approx(same)
    for source in ("reconstruction", "images"):
        assert chance_of(splits, "label", "accuracy", "", source) == 3 / 5


def test_chance_of_a_continuous_factor():
    learned = make_set([0] * 3, numbers={"red": [1, 2, 6], "size": [4, 4, 4]})
    test = make_set([0] * 4, numbers={"red": [1, 1, 4, 9], "size": [2, 4, 8, 6]})
    splits = same_splits(learned)._replace(test=test)
    for latent, source in (("target", "mean"), ("", "reconstruction"), ("", "images")):
        level = chance_of(splits, "red", "mae", latent, source)
        assert level == pytest.approx(11 / 4)  # The mean of probe_train is 3.
    average = chance_of(splits, "average", "strong_mae", "common", "sample")
    assert average == pytest.approx((11 / 4 + 8 / 4) / 2)
    assert chance_of(splits, "red", "r2") == 0
    # A decoded image shows some digit: it errs at most like another one, at best like the mean.
    pairs = [abs(a - b) for a, b in itertools.combinations([1, 1, 4, 9], 2)]
    for source, latent in (("swap", "common"), ("swap", "target"), ("resample", "common")):
        other = "target" if latent == "common" else "common"
        high = chance_of(splits, "red", "mae", latent, source, expected=other)
        assert high == pytest.approx(np.mean(pairs))
        low = chance_of(splits, "red", "mae", latent, source, expected=latent)
        assert low == pytest.approx(11 / 4)
    sizes = [abs(a - b) for a, b in itertools.combinations([2, 4, 8, 6], 2)]
    both = (np.mean(pairs) + np.mean(sizes)) / 2
    level = chance_of(splits, "average", "mae", "target", "swap", expected="common")
    assert level == pytest.approx(both)


def test_seen_groups_keep_their_splits():
    part = make_set([0, 1, 2, 2], ("a", "b", "c"))
    for found in comparable(same_splits(part))[:4]:
        np.testing.assert_array_equal(found.label, part.label)
        assert found.class_names == ("a", "b", "c")


def test_nothing_to_compare_with():
    with pytest.raises(UserError, match=r"No group of the test split.*test@members\[:50%\]"):
        comparable(Splits(make_set([1]), make_set([1]), make_set([2]), make_set([3] * 4)))
    with pytest.raises(UserError, match="put four or more images into each test group"):
        comparable(Splits(make_set([1]), make_set([1]), make_set([2]), make_set([3, 3])))


@pytest.mark.parametrize(
    ("name", "source", "latent", "factor", "probe", "class_name", "better"),
    [
        ("content/label/mae", "mean", "content", "label", "mae", "", "lower"),
        ("content/pose/strong_accuracy", "mean", "content", "pose", "strong_accuracy", "", "lower"),
        ("swap/style/pose/accuracy", "swap", "style", "pose", "accuracy", "", "higher"),
        ("style/label/a/sample", "sample", "style", "label", "a", "", "lower"),
        ("common/label/b", "mean", "common", "label", "b", "", "higher"),
        ("target/label/c/3", "mean", "target", "label", "c", "3", "lower"),
        ("target/red/mae", "mean", "target", "red", "mae", "", "lower"),
        ("common/red/mae", "mean", "common", "red", "mae", "", "higher"),
        ("common/size/r2", "mean", "common", "size", "r2", "", "lower"),
        ("z/average/strong_mae", "mean", "z", "average", "strong_mae", "", "lower"),
        ("z/label/strong_accuracy", "mean", "z", "label", "strong_accuracy", "", "higher"),
        ("swap/common/label/accuracy", "swap", "common", "label", "accuracy", "", "higher"),
        ("swap/common/red/mae", "swap", "common", "red", "mae", "", "higher"),
        ("swap/target/red/mae", "swap", "target", "red", "mae", "", "lower"),
        ("swap/target/label/accuracy", "swap", "target", "label", "accuracy", "", "lower"),
        ("resample/common/width/mae", "resample", "common", "width", "mae", "", "higher"),
        ("resample/target/width/mae", "resample", "target", "width", "mae", "", "lower"),
        ("resample/target/label/accuracy", "resample", "target", "label", "accuracy", "", "lower"),
        ("reconstruction/label/accuracy", "reconstruction", "", "label", "accuracy", "", "higher"),
        ("judge/red/mae", "images", "", "red", "mae", "", "lower"),
    ],
)
def test_name_and_direction_of_a_score(name, source, latent, factor, probe, class_name, better):
    expected = GROUP if latent in ("content", "style") else REFERENCE
    levels = dict.fromkeys((*GROUP, *REFERENCE), 0.5)
    truth = GroundTruth(expected, levels, levels, levels, levels, 0.5)
    score = truth.score(
        0.7, probe=probe, source=source, latent=latent, factor=factor, class_name=class_name
    )
    assert (score.name, score.better, score.value) == (name, better, 0.7)


def test_an_average_over_factors_of_different_latents_is_left_out():
    errors = dict.fromkeys(("age", "light", "average"), 0.3)
    truth = GroundTruth({"age": "content", "light": "style"}, {}, {}, errors, {}, 0.07)
    names, values = ("age", "light"), np.array([0.1, 0.2])
    of = {"probe": "mae", "source": "mean", "latent": "content"}
    found = truth.scores_of_factors(names, values, **of)
    assert [(s.name, s.better) for s in found] == [
        ("content/age/mae", "lower"),
        ("content/light/mae", "higher"),
    ]
    truth = truth._replace(expected_latent={**truth.expected_latent, "average": "content"})
    *_, average = truth.scores_of_factors(names, values, **of)
    assert average.name == "content/average/mae" and average.value == pytest.approx(0.15)


def test_factors_named_like_a_latent_or_a_probe_have_their_own_chance():
    column = np.arange(8.0)
    numbers = {"style": 10 * column, "age": column, "mae": column}
    splits = same_splits(make_set([0, 1] * 4, ("a", "b"), numbers=numbers))
    age = chance_of(splits, "age", "mae")
    assert chance_of(splits, "style", "mae") == pytest.approx(10 * age)
    assert chance_of(splits, "mae", "mae") == pytest.approx(age)
    low = chance_of(splits, "style", "mae", "style", "swap", expected="style")
    assert low == pytest.approx(10 * age)


def test_recall_by_chance_is_of_the_classes_that_are_in_test():
    known = make_set([0, 1, 2], ("a", "b", "c"))
    test = make_set([0, 1, 1], ("a", "b", "c"))
    splits = Splits(known, known, known, test)
    assert chance_of(splits, "label", "balanced_accuracy") == 1 / 2


def test_chance_learns_from_probe_train_and_is_scored_on_test():
    train = make_set([0] + [1] * 5, ("a", "b"), numbers={"red": [9.0] * 6})
    learned = make_set([0] * 3 + [1], ("a", "b"), numbers={"red": [0.0, 0, 0, 4]})
    test = make_set([1, 1, 0], ("a", "b"), numbers={"red": [1.0, 1, 4]})
    splits = Splits(train, learned, train, test)
    assert chance_of(splits, "label", "strong_accuracy") == pytest.approx(1 / 3)
    assert chance_of(splits, "red", "mae") == pytest.approx(1)  # The median would err by 2.
    error = np.mean(np.square([1 / 6, 1 / 6, 5 / 6]))  # The mean of train is 5 / 6.
    truth = ground_truth("unsupervised", splits)
    assert truth.mse == pytest.approx(error / 255**2)
