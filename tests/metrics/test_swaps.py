import numpy as np
import pytest

from refvae_jax.metrics.swaps import moved_fraction, partner, pixel_change


@pytest.mark.parametrize("n", [2, 3, 10, 1001])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_partner_is_a_permutation_without_fixed_point(n, seed):
    b = partner(n, seed)
    assert sorted(b) == list(range(n))
    assert not np.any(b == np.arange(n))


def test_partner_follows_the_seed():
    np.testing.assert_array_equal(partner(100, 3), partner(100, 3))
    assert not np.array_equal(partner(100, 3), partner(100, 4))
    # No image is a preferred partner: over many seeds each of the others comes about as often.
    counts = np.bincount([partner(5, seed)[0] for seed in range(2000)], minlength=5)
    assert counts[0] == 0
    assert np.all(np.abs(counts[1:] - 500) < 5 * np.sqrt(2000 * 0.25 * 0.75))


@pytest.mark.parametrize("n", [0, 1])
def test_one_image_has_no_partner(n):
    with pytest.raises(ValueError, match="at least 2"):
        partner(n, 0)


def test_moved_fraction_by_hand():
    kept = np.array([[0.0, 0.0]] * 4)
    given = np.array([[4.0, 0.0]] * 4)
    # Nearer to the given code; nearer to the kept one; in the middle; moved across the second axis.
    swapped = np.array([[2.1, 0.0], [1.9, 0.0], [2.0, 7.0], [3.0, 100.0]])
    assert moved_fraction(swapped, kept, given) == (1 + 0 + 0.5 + 1) / 4


def test_moved_fraction_of_perfect_ignored_and_unrelated_latents():
    rng = np.random.default_rng(0)
    codes, other = rng.normal(size=(2000, 4)), partner(2000, 0)
    assert moved_fraction(codes[other], codes, codes[other]) == 1
    assert moved_fraction(codes, codes, codes[other]) == 0
    unrelated = moved_fraction(rng.normal(size=(2000, 4)), codes, codes[other])
    assert abs(unrelated - 0.5) < 4 * np.sqrt(0.25 / 2000)


def test_moved_fraction_is_a_tie_when_all_codes_are_equal():
    codes = np.ones((5, 3))
    assert moved_fraction(codes, codes, codes) == 0.5


def test_pixel_change_by_hand():
    recon_a = np.zeros((2, 1, 2, 1))
    recon_b = np.array([3.0, 1.0, 0.0, 0.0]).reshape(2, 1, 2, 1)  # squared distance 10 in all
    swapped = np.array([1.0, 0.0, 0.0, 2.0]).reshape(2, 1, 2, 1)  # squared distance 5 in all
    assert pixel_change(swapped, recon_a, recon_b) == 0.5


def test_pixel_change_of_uint8_images_does_not_wrap_around():
    recon_a = np.full((600, 2, 2, 3), 200, np.uint8)
    recon_b = np.full((600, 2, 2, 3), 100, np.uint8)
    swapped = np.full((600, 2, 2, 3), 150, np.uint8)
    assert pixel_change(swapped, recon_a, recon_b) == pytest.approx(0.25)
    swapped = np.full((600, 2, 2, 3), 250, np.uint8)
    assert pixel_change(swapped, recon_a, recon_b) == pytest.approx(0.25)


def test_pixel_change_of_an_ignored_and_of_the_only_latent():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 7, 4, 4, 1), dtype=np.uint8)
    assert pixel_change(a, a, b) == 0
    assert pixel_change(b, a, b) == 1


def test_pixel_change_is_zero_when_all_reconstructions_are_equal():
    images = np.ones((3, 4, 4, 1), np.uint8)
    assert pixel_change(images, images, images) == 0


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        moved_fraction(np.ones((3, 2)), np.ones((1, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="one shape"):
        pixel_change(np.ones((3, 2, 2, 1)), np.ones((3, 2, 2, 1)), np.ones((3, 2, 2, 3)))
    with pytest.raises(ValueError, match="at least one row"):
        moved_fraction(*np.ones((3, 0, 2)))
