import numpy as np
import pytest
import tensorflow_datasets as tfds

from refvae_jax.data.builders import reference_mnist
from refvae_jax.data.builders.digit_styles import Style, draw_style, edges, factors_of, transform
from refvae_jax.data.builders.reference_mnist import Digits, ReferenceMnist

NAMES = ("red", "green", "blue", "size", "width")
SIZES = {
    "reference": 2000,
    "unlabelled": 3500,
    "validation": 500,
    "probe_fit": 500,
    "probe_test": 500,
}


def read(builder, split):
    """Returns images, labels and factors [N, 5] of a split in TFDS's order."""
    rows = tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False, batch_size=-1))
    factors = np.stack([rows["factors"][name] for name in NAMES], axis=-1)
    return rows["image"], rows["label"], factors


@pytest.fixture(scope="module")
def splits(digits_dir):
    builder = ReferenceMnist(data_dir=digits_dir, config="32x32_digits5k")
    builder.download_and_prepare()
    return {name: read(builder, name) for name in SIZES}


@pytest.fixture(scope="module")
def source(digits_dir):
    builder = tfds.builder("digits5k", data_dir=digits_dir)
    rows = tfds.as_numpy(builder.as_dataset(shuffle_files=False, batch_size=-1))
    return {split: rows[split]["image"][..., 0] for split in ("train", "test")}


def slow_filter(image, k, pick):
    """A k x k square's largest or smallest value around each pixel, by loops; mirrored borders."""
    before = (k - 1) // 2  # An even square reaches one pixel further down and right.
    padded = np.pad(image, (before, k - 1 - before), mode="symmetric")
    return np.array(
        [
            [pick(padded[y : y + k, x : x + k]) for x in range(image.shape[1])]
            for y in range(image.shape[0])
        ]
    )


def slow_bilinear(image, side):
    """Enlarges by the interpolation formula, pixel centres at .5."""
    at = (np.arange(side) + 0.5) * len(image) / side - 0.5
    weight = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(-1, len(image) + 1)))
    weight[:, 1] += weight[:, 0]  # What lies outside counts for the border.
    weight[:, -2] += weight[:, -1]
    weight = weight[:, 1:-1]
    return weight @ image @ weight.T


def some_digit(seed=0):
    """A smooth blob with a hole, off centre, [28, 28] uint8."""
    y, x = np.mgrid[:28, :28]
    radius = np.hypot(y - 12 - seed % 3, x - 15)
    return np.clip(255 - 60 * np.abs(radius - 7), 0, 255).astype(np.uint8)


def dilate(images, k):
    """The dilation of images [N, H, W], as the largest of k x k shifted copies."""
    _, height, width = images.shape
    before = (k - 1) // 2
    padded = np.pad(images, ((0, 0), (before, k - 1 - before), (before, k - 1 - before)))
    shifted = [padded[:, y : y + height, x : x + width] for y in range(k) for x in range(k)]
    return np.max(shifted, axis=0)


def extent(images):
    """Root mean square distance from the centre of mass along both axes, [N, H, W] -> [N, 2]."""
    images = images / images.sum((1, 2), keepdims=True)
    place = np.arange(images.shape[1])
    sides = images.sum(2), images.sum(1)
    return np.stack([np.sqrt(side @ place**2 - (side @ place) ** 2) for side in sides], axis=-1)


@pytest.mark.parametrize("resolution", [32, 64])
def test_edges_are_the_gradient_of_the_enlarged_digit(resolution):
    enlarged = slow_bilinear(some_digit().astype(float), resolution)
    expected = slow_filter(enlarged, 3, np.max) - slow_filter(enlarged, 3, np.min)
    found = edges(some_digit(), resolution)
    assert found.dtype == np.uint8
    # Two rounded numbers are subtracted, each within .5 or, by fixed-point weights, a little more.
    np.testing.assert_allclose(found, expected, atol=2)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_width_is_a_dilation_by_a_square(k):
    edge_image = edges(some_digit(), 64)
    image = transform(edge_image, k, np.ones(3), 64)
    expected = slow_filter(edge_image, k, np.max)
    np.testing.assert_array_equal(image, np.repeat(expected[..., None], 3, axis=-1))


def test_a_pixel_becomes_a_square():
    edge_image = np.zeros((32, 32), np.uint8)
    edge_image[10, 20] = 255
    rows, columns = np.nonzero(transform(edge_image, 3, np.ones(3), 32)[..., 0])
    assert set(rows) == {9, 10, 11} and set(columns) == {19, 20, 21} and len(rows) == 9


def test_colour_multiplies_the_channels():
    edge_image = edges(some_digit(), 32)
    colour = np.array([0.2, 0.5, 0.84])
    image = transform(edge_image, 1, colour, 32)
    np.testing.assert_array_equal(image, np.rint(edge_image[..., None] * colour))


def test_halving_averages_with_a_tent_and_centres():
    edge_image = edges(some_digit(), 32)
    image = transform(edge_image, 1, np.ones(3), 16)[..., 0]
    assert not image[:8].any() and not image[24:].any() and not image[:, :8].any()
    # An antialiased bilinear half is the tent (1, 3, 3, 1) / 8 along both axes.
    tent = np.array([1, 3, 3, 1]) / 8
    expected = np.array(
        [
            [
                tent @ edge_image[y - 1 : y + 3, x - 1 : x + 3] @ tent  # The border is black.
                for x in range(2, 30, 2)
            ]
            for y in range(2, 30, 2)
        ]
    )
    np.testing.assert_allclose(image[9:23, 9:23], expected, atol=0.51)


@pytest.mark.parametrize("side", range(16, 33))
def test_size_pads_to_the_centre(side):
    image = transform(np.full((32, 32), 255, np.uint8), 1, np.ones(3), side)[..., 0]
    rows, columns = np.nonzero(image)
    for places in (rows, columns):
        assert np.ptp(places) + 1 == side
        assert abs(places.min() + places.max() - 31) <= 1
    assert set(image[image > 0]) == {255}


def box(image):
    """Height and width of what is not black."""
    return np.array([np.ptp(places) + 1 for places in np.nonzero(image.max(-1))[:2]])


@pytest.mark.parametrize(("resolution", "k"), [(32, 1), (32, 3), (64, 1), (64, 2), (64, 5)])
def test_width_and_size_are_those_of_the_digits_box(resolution, k):
    outline = edges(some_digit(), resolution)
    before = box(outline[..., None])
    for side in range(resolution // 2, resolution + 1):
        after = box(transform(outline, k, np.ones(3), side))
        # A square of k reaches k - 1 pixels further; the tent may lose what is faint at the rim.
        np.testing.assert_allclose(after, (before + k - 1) * side / resolution, atol=2.5)


def test_draws_are_uniform_and_distinct():
    styles = [
        draw_style(split, row, copy, resolution=64, max_width=5)
        for split in ("train", "test")
        for row in range(1000)
        for copy in range(2)
    ]
    assert len({style.colour.tobytes() for style in styles}) == 4000
    counts = np.bincount([style.k for style in styles], minlength=6)
    assert counts[0] == 0 and len(counts) == 6
    np.testing.assert_allclose(counts[1:], 800, atol=4 * np.sqrt(800 * 0.8))
    sides = np.array([style.side for style in styles])
    assert (sides.min(), sides.max()) == (32, 64)
    # A uniform size has mean .75 and standard deviation .5 / sqrt(12).
    assert abs(sides.mean() / 64 - 0.75) < 4 * 0.5 / np.sqrt(12 * 4000)
    colours = np.stack([style.colour for style in styles])
    np.testing.assert_allclose(np.linalg.norm(colours, axis=1), 1, atol=1e-6)
    # Of a uniform point of the cube, each coordinate is the largest one time in three.
    largest = np.bincount(colours.argmax(1), minlength=3)
    np.testing.assert_allclose(largest, 4000 / 3, atol=4 * np.sqrt(4000 * 2 / 9))
    # The median of the ratio of two uniform numbers is 1, and P(ratio < 1/2) = 1/4.
    ratio = colours[:, 0] / colours[:, 1]
    assert abs((ratio < 0.5).mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4000)


def test_a_draw_never_changes():
    small = draw_style("train", 4, 1, resolution=32, max_width=3)
    large = draw_style("train", 4, 1, resolution=64, max_width=5)
    np.testing.assert_array_equal(small.colour, large.colour)
    # Pinned: other numbers are another data set and need a new VERSION.
    np.testing.assert_allclose(small.colour, [0.337253, 0.771432, 0.539586], atol=1e-5)
    assert (small.k, small.side, large.k, large.side) == (3, 30, 5, 60)


def test_factors_are_exact():
    style = Style(k=2, colour=np.array([0.6, 0.8, 0.0], np.float32), side=23)
    found = factors_of(style, resolution=32, max_width=3)
    expected = {"red": 0.6, "green": 0.8, "blue": 0.0, "size": 23 / 32, "width": 0.5}
    assert found == pytest.approx(expected)


@pytest.mark.slow
def test_sizes_and_classes(splits):
    for name, size in SIZES.items():
        image, label, _ = splits[name]
        assert image.shape == (size, 32, 32, 3) and image.dtype == np.uint8
        assert np.bincount(label, minlength=10).min() > 0.5 * size / 10


@pytest.mark.slow
def test_reference_is_white_outlines_of_the_first_half(splits, source):
    image, _, factors = splits["reference"]
    expected = [np.repeat(edges(x, 32)[..., None], 3, axis=-1) for x in source["train"][:2000]]
    assert sorted(x.tobytes() for x in image) == sorted(x.tobytes() for x in expected)
    np.testing.assert_array_equal(factors, np.tile([1, 1, 1, 1, 0], (2000, 1)))


@pytest.fixture(scope="module")
def origins(splits, source):
    """For each transformed split the source row of every image, found by its pixels."""
    expected = {
        "unlabelled": ("train", range(2000, 3750), 2),
        "validation": ("train", range(3750, 4000), 2),
        "probe_fit": ("test", range(500), 1),
        "probe_test": ("test", range(500, 1000), 1),
    }
    found = {}
    for name, (split, rows, copies) in expected.items():
        row_of = {}
        for row in rows:
            edge_image = edges(source[split][row], 32)
            for copy in range(copies):
                style = draw_style(split, row, copy, resolution=32, max_width=3)
                row_of[transform(edge_image, *style).tobytes()] = row
        assert len(row_of) == SIZES[name]  # No two images are equal.
        found[name] = [row_of.pop(image.tobytes()) for image in splits[name][0]]
        assert not row_of
    return found


@pytest.mark.slow
def test_each_digit_appears_as_often_as_it_should(splits, origins):
    for name, copies in [("unlabelled", 2), ("validation", 2), ("probe_fit", 1), ("probe_test", 1)]:
        rows, factors = np.array(origins[name]), splits[name][2]
        assert set(np.unique(rows, return_counts=True)[1]) == {copies}
        order = np.argsort(rows, kind="stable")
        first, last = factors[order[::copies]], factors[order[copies - 1 :: copies]]
        if copies == 2:
            assert (first[:, :3] != last[:, :3]).all()
            # Equal by chance: one width in three, and about one side in sixteen.
            assert (first[:, 4] == last[:, 4]).mean() < 0.45
            assert (first[:, 3] == last[:, 3]).mean() < 0.15
    train = origins["unlabelled"], origins["validation"]
    assert min(train[0]) >= 2000 and not set(train[0]) & set(train[1])


@pytest.mark.slow
def test_colour_can_be_measured(splits):
    image, _, factors = splits["probe_fit"]
    mean = image.mean((1, 2))
    measured = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(measured, factors[:, :3], atol=0.01)


@pytest.mark.slow
def test_size_and_width_can_be_measured(splits, origins, source):
    image, _, factors = splits["probe_fit"]
    outlines = np.stack([edges(source["test"][row], 32) for row in origins["probe_fit"]])
    wide = np.stack([dilate(outlines, k) for k in (1, 2, 3)], axis=1)  # [500, 3, 32, 32]
    # Scaling by s multiplies the sum of all pixels by s^2, and colour that of a channel.
    mass = image.sum((1, 2, 3)) / factors[:, :3].sum(1)
    scale = np.sqrt(mass[:, None] / wide.sum((2, 3)))  # [500, 3]: the size, were this k the right.
    error = np.abs(scale - factors[:, 3:4])
    np.testing.assert_array_equal(error.argmin(1) / 2, factors[:, 4])
    assert error.min(1).max() < 0.02
    # And it multiplies all distances by s; the tent that averages adds about 1/6 to the variance.
    k = np.rint(2 * factors[:, 4]).astype(int)
    before = extent(wide[np.arange(500), k])
    np.testing.assert_allclose(extent(image.max(-1)), factors[:, 3:4] * before, atol=0.1)


@pytest.mark.slow
def test_constant_predictor(splits):
    guess = splits["probe_fit"][2].mean(0)
    error = np.abs(splits["probe_test"][2] - guess)
    # A million points of the cube, divided by their norms.
    points = np.random.default_rng(0).random((1_000_000, 3))
    colour = points[:, 0] / np.linalg.norm(points, axis=1)
    expected = [np.abs(colour - colour.mean()).mean()] * 3 + [1 / 8, 1 / 3]
    # The width's mean is .5, so its error is (.5 + 0 + .5) / 3.
    assert expected[0] == pytest.approx(0.218, abs=0.002)
    tolerance = 4 * error.std(0) / np.sqrt(len(error)) + 0.005  # The guess has its own error.
    assert (np.abs(error.mean(0) - expected) < tolerance).all()


@pytest.mark.slow
def test_mnist_at_64_twice(tmp_path, monkeypatch):
    def read_source(name, data_dir, split):
        assert (name, data_dir.parent) == ("mnist", tmp_path)
        count = {"train": 280, "test": 60}[split]
        image = np.stack([some_digit(i) for i in range(count)])[..., None]
        return Digits(image, np.arange(count) % 10)

    def prepare(directory):
        builder = ReferenceMnist(data_dir=str(tmp_path / directory), config="64x64")
        builder.download_and_prepare()
        return {name: read(builder, name) for name in builder.info.splits}

    monkeypatch.setattr(reference_mnist, "_read_source", read_source)
    assert ReferenceMnist.builder_configs["64x64"].num_validation == 1000
    monkeypatch.setattr(ReferenceMnist.builder_configs["64x64"], "num_validation", 10)
    first, second = prepare("first"), prepare("second")
    sizes = {"reference": 140, "unlabelled": 260, "validation": 20}
    sizes |= {"probe_fit": 30, "probe_test": 30}
    assert {name: len(rows[0]) for name, rows in first.items()} == sizes
    for name in sizes:  # The same pixels in the same order.
        for found, expected in zip(second[name], first[name], strict=True):
            np.testing.assert_array_equal(found, expected)
    image, _, factors = first["unlabelled"]
    assert image.shape == (260, 64, 64, 3)
    np.testing.assert_array_equal(np.unique(factors[:, 4]), [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(factors[:, 3] * 64, np.rint(factors[:, 3] * 64))


def test_source_is_found_where_tfds_looks(digits_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", digits_dir)
    digits = reference_mnist._read_source("digits5k", tmp_path, "test")
    assert digits.image.shape == (1000, 28, 28, 1) and digits.label.shape == (1000,)
    assert not list(tmp_path.iterdir())


def test_builder_configs_are_those_of_the_docstring():
    forms = {
        name: (c.source, c.resolution, c.max_width, c.num_validation)
        for name, c in ReferenceMnist.builder_configs.items()
    }
    assert forms == {
        "64x64": ("mnist", 64, 5, 1000),
        "32x32": ("mnist", 32, 3, 1000),
        "32x32_digits5k": ("digits5k", 32, 3, 250),
    }
    test = draw_style("test", 4, 1, resolution=32, max_width=3)
    np.testing.assert_allclose(test.colour, [0.515078, 0.549128, 0.658144], atol=1e-5)
