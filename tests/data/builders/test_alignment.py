"""Alignment against transforms that are known, and pixels whose place is known."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from refvae_jax.data.builders import alignment

SHAPE = np.random.default_rng(0).normal(size=(12, 2))


def similarity(angle, scale, shift):
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])


def transformed(points, transform):
    return points @ transform[:, :2].T + transform[:, 2]


def random_similarities(count, seed=1):
    rng = np.random.default_rng(seed)
    return [
        similarity(rng.uniform(-3, 3), rng.uniform(0.2, 5), rng.uniform(-50, 50, 2))
        for _ in range(count)
    ]


@pytest.mark.parametrize("known", random_similarities(5))
def test_a_known_similarity_is_found(known):
    moved = transformed(SHAPE, known)
    np.testing.assert_allclose(alignment.procrustes(SHAPE, moved), known, atol=1e-10)


def test_it_is_the_nearest_of_all():
    target = SHAPE + np.random.default_rng(2).normal(scale=0.3, size=SHAPE.shape)
    best = alignment.procrustes(SHAPE, target)

    def error(transform):
        return np.sum((transformed(SHAPE, transform) - target) ** 2)

    for step in np.eye(4) * 1e-3:
        a, b, x, y = step
        for sign in (1, -1):
            assert error(best + sign * np.array([[a, -b, x], [b, a, y]])) > error(best)


def test_a_mirror_image_is_not_mirrored_back():
    found = alignment.procrustes(SHAPE * [-1, 1], SHAPE)
    assert np.linalg.det(found[:, :2]) > 0
    residual = transformed(SHAPE * [-1, 1], found) - SHAPE
    assert np.linalg.norm(residual) > 0.5


def test_points_in_one_place_cannot_be_aligned():
    with pytest.raises(ValueError, match="no shape"):
        alignment.procrustes(np.full((12, 2), 7.0), SHAPE)
    with pytest.raises(ValueError, match="no landmarks"):
        alignment.mean_shape(np.full((3, 12, 2), 7.0))


def test_mean_of_moved_copies_is_the_shape():
    copies = [transformed(SHAPE, moved) for moved in random_similarities(6)]
    mean = alignment.mean_shape(np.array([*copies, np.zeros((12, 2))]))
    expected = copies[0] - copies[0].mean(axis=0)
    np.testing.assert_allclose(mean, expected / np.linalg.norm(expected), atol=1e-10)


def test_noise_averages_out_of_the_mean():
    rng = np.random.default_rng(3)
    noisy = SHAPE + rng.normal(scale=0.1, size=(400, *SHAPE.shape))
    moved = [transformed(n, m) for n, m in zip(noisy, random_similarities(400), strict=1)]
    mean = alignment.mean_shape(np.array(moved))
    aligned = transformed(mean, alignment.procrustes(mean, SHAPE))
    assert np.abs(aligned - SHAPE).max() < 0.03


def test_placed_upright_in_the_middle():
    turned = transformed(SHAPE, similarity(2.0, 3.0, (9, -4)))
    left, right = slice(0, 3), slice(3, 6)
    placed = alignment.place(turned, left=left, right=right, side=64, share=0.75)
    eyes = [placed[eye].mean(axis=0) for eye in (left, right)]
    assert eyes[0][0] < eyes[1][0] and eyes[0][1] == pytest.approx(eyes[1][1])
    low, high = placed.min(axis=0), placed.max(axis=0)
    np.testing.assert_allclose((low + high) / 2, 32)
    assert (high - low).max() == pytest.approx(48)


def centroid(pixels):
    """The (x, y) of a bright spot, corners of pixels at whole numbers."""
    weight = pixels[..., 0].astype(float)
    rows, columns = np.indices(weight.shape) + 0.5
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("scale", [0.03, 0.1, 0.4, 1.0, 3.0])
def test_a_point_is_drawn_where_the_transform_takes_it(scale):
    radius, centre = 4 / scale, np.array([700.0, 500.0]) * min(1, 0.2 / scale)
    image = Image.new("L", tuple(int(c) for c in 2 * centre + 20 + 2 * radius))
    box = [*(centre - radius), *(centre + radius)]
    ImageDraw.Draw(image).ellipse(box, fill=255)
    pixels = np.asarray(image)[..., None]
    middle = centroid(pixels)
    transform = similarity(0.6, scale, (0, 0))
    transform[:, 2] = (30, 25) - transform[:, :2] @ middle
    drawn = alignment.warp(image, transform, 64)
    assert drawn.shape == (64, 64, 1)
    np.testing.assert_allclose(centroid(drawn), (30, 25), atol=0.1)
    assert drawn.sum() == pytest.approx(scale**2 * pixels.sum(dtype=float), rel=0.02)


def test_the_identity_changes_nothing_but_blurs_a_little():
    pixels = np.add.outer(2 * np.arange(40), np.arange(40)).astype(np.uint8)
    drawn = alignment.warp(Image.fromarray(pixels), similarity(0, 1, (0, 0)), 40)[..., 0]
    assert np.abs(drawn[1:-1, 1:-1].astype(int) - pixels[1:-1, 1:-1]).max() <= 1


@pytest.mark.parametrize("shrink", [5, 8, 20])
def test_stripes_finer_than_a_pixel_become_grey(shrink):
    """Antialiasing: without it they come out as coarse stripes, from black to white."""
    side = 64 * shrink
    stripes = np.where(np.arange(side) % 4 < 2, 0, 255).astype(np.uint8)
    image = Image.fromarray(np.tile(stripes, (side, 1)))
    drawn = alignment.warp(image, similarity(0, 1 / shrink, (0, 0)), 64)
    # The mean over a pixel's square, the best there is at 5, would be 127.5 +- 25.5.
    assert np.abs(drawn[4:-4, 4:-4] - 127.5).max() < 35


def test_outside_is_black():
    drawn = alignment.warp(Image.new("RGB", (10, 10), "white"), similarity(0, 1, (20, 0)), 64)
    assert drawn.shape == (64, 64, 3)
    assert (drawn[1:9, 21:29] == 255).all() and not drawn[:, :20].any() and not drawn[11:].any()
