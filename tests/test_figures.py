"""The figures, cell by cell, with a toy model whose codes are its pixels."""

import math
import os
from typing import NamedTuple

import imageio.v3 as imageio
import numpy as np
import pytest

from refvae_jax import figures
from refvae_jax.errors import UserError
from refvae_jax.figures import BACKGROUND

PAD = 2


class Gaussian(NamedTuple):
    mean: np.ndarray
    logvar: np.ndarray


class HalvesModel:
    """The left half of the image is its content, the right half its style: exact both ways."""

    def __init__(self, image_shape=(8, 8, 1), latent_names=("content", "style")):
        self.image_shape = image_shape
        self.latent_names = latent_names

    def encode(self, images):
        parts = np.split(images / 255.0, len(self.latent_names), axis=2)
        means = [part.reshape(len(images), -1) for part in parts]
        return {
            name: Gaussian(mean, np.zeros_like(mean))
            for name, mean in zip(self.latent_names, means, strict=True)
        }

    def decode(self, codes):
        height, _, channels = self.image_shape
        parts = [
            codes[name].reshape(len(codes[name]), height, -1, channels)
            for name in self.latent_names
        ]
        return np.rint(255 * np.concatenate(parts, axis=2).clip(0, 1)).astype(np.uint8)

    def reconstruct(self, images):
        # Recognisably not the image, as a real model's would be.
        return (images // 2).astype(np.uint8)


def random_images(n, shape=(8, 8, 1), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def cells_of(picture, rows, columns, height=8, width=8):
    """Undoes the enlarging and cuts a picture into its cells: [rows, columns, height, width, 3]."""
    scale = picture.shape[1] // (columns * (width + PAD) + PAD)
    small = picture[::scale, ::scale]
    np.testing.assert_array_equal(small.repeat(scale, 0).repeat(scale, 1), picture)
    assert (small[:PAD] == BACKGROUND).all()
    assert (small[:, :PAD] == BACKGROUND).all()
    cells = small[PAD:, PAD:].reshape(rows, height + PAD, columns, width + PAD, 3).swapaxes(1, 2)
    assert (cells[:, :, height:] == BACKGROUND).all()
    assert (cells[:, :, :, width:] == BACKGROUND).all()
    return cells[:, :, :height, :width]


def rgb(images):
    return np.broadcast_to(images, (*images.shape[:-1], 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_puts_every_image_in_its_cell(channels):
    images = random_images(6, (8, 8, channels)).reshape(2, 3, 8, 8, channels)
    empty = np.array([[True, False, False], [False, False, False]])
    picture = figures.grid(images, empty=empty)
    cells = cells_of(picture, 2, 3)
    assert picture.dtype == np.uint8
    assert (cells[0, 0] == BACKGROUND).all()
    np.testing.assert_array_equal(cells[~empty], rgb(images)[~empty])


@pytest.mark.parametrize(("n", "scale"), [(3, 11), (10, 3), (12, 2), (40, 1)])
def test_grid_enlarges_by_a_whole_factor_up_to_the_limit(n, scale):
    picture = figures.grid(np.zeros((1, n, 32, 32, 1), np.uint8))
    assert picture.shape == (scale * 36, scale * (34 * n + 2), 3)


@pytest.mark.parametrize("kept", ["content", "style"])
def test_swap_grid_fixes_the_kept_latent_down_a_column(kept):
    model, images = HalvesModel(), random_images(4)
    cells = cells_of(figures.swap_grid(model, images, kept=kept), 6, 6)
    assert (cells[:2, :2] == BACKGROUND).all()
    np.testing.assert_array_equal(cells[0, 2:], rgb(images))
    np.testing.assert_array_equal(cells[2:, 0], rgb(images))
    np.testing.assert_array_equal(cells[1, 2:], rgb(images // 2))
    np.testing.assert_array_equal(cells[2:, 1], rgb(images // 2))
    for i, j in np.ndindex(4, 4):
        left, right = (j, i) if kept == "content" else (i, j)
        expected = np.concatenate([images[left][:, :4], images[right][:, 4:]], axis=1)
        np.testing.assert_array_equal(cells[2 + i, 2 + j], rgb(expected))


def test_swap_grid_takes_any_names_and_fixes_all_others_along_a_row():
    model = HalvesModel((6, 9, 3), ("common", "target", "third"))
    images = random_images(3, (6, 9, 3))
    cells = cells_of(figures.swap_grid(model, images, kept="target"), 5, 5, 6, 9)
    for i, j in np.ndindex(3, 3):
        expected = images[i].copy()
        expected[:, 3:6] = images[j][:, 3:6]
        np.testing.assert_array_equal(cells[2 + i, 2 + j], expected)


def test_interpolation_grid_moves_content_over_columns_and_style_over_rows():
    model, (a, b) = HalvesModel(), random_images(2)
    cells = cells_of(figures.interpolation_grid(model, a, b, n=5), 5, 5)
    np.testing.assert_array_equal(cells[0, 0], rgb(a))
    np.testing.assert_array_equal(cells[4, 4], rgb(b))
    np.testing.assert_array_equal(cells[0, 4], rgb(np.concatenate([b[:, :4], a[:, 4:]], axis=1)))
    np.testing.assert_array_equal(cells[4, 0], rgb(np.concatenate([a[:, :4], b[:, 4:]], axis=1)))
    a, b = a.astype(float), b.astype(float)
    for i, j in np.ndindex(5, 5):
        content = (1 - j / 4) * a[:, :4] + j / 4 * b[:, :4]
        style = (1 - i / 4) * a[:, 4:] + i / 4 * b[:, 4:]
        error = cells[i, j] - np.concatenate([content, style], axis=1)
        assert np.abs(error).max() <= 0.5 + 1e-9


def test_sample_grid_is_row_by_row():
    model, images = HalvesModel(), random_images(6)
    latents = {name: g.mean for name, g in model.encode(images).items()}
    cells = cells_of(figures.sample_grid(model, latents, rows=2), 2, 3)
    np.testing.assert_array_equal(cells.reshape(6, 8, 8, 3), rgb(images))


def test_prior_codes_are_standard_normal_and_follow_the_seed():
    n = 20_000
    codes = figures.prior_codes({"content": 3, "style": 2}, n, seed=1)
    assert {k: (c.shape, c.dtype) for k, c in codes.items()} == {
        "content": ((n, 3), np.float32),
        "style": ((n, 2), np.float32),
    }
    joint = np.concatenate(list(codes.values()), axis=1)
    # Five standard errors of a mean, and of the largest entry of the covariance.
    np.testing.assert_allclose(joint.mean(0), 0, atol=5 / math.sqrt(n))
    np.testing.assert_allclose(np.cov(joint, rowvar=False), np.eye(5), atol=5 * math.sqrt(2 / n))
    again = figures.prior_codes({"content": 3, "style": 2}, n, seed=1)
    other = figures.prior_codes({"content": 3, "style": 2}, n, seed=2)
    np.testing.assert_array_equal(codes["style"], again["style"])
    assert not np.array_equal(codes["style"], other["style"])


def test_aggregate_codes_have_the_mean_and_joint_covariance_of_the_codes():
    n, rng = 50_000, np.random.default_rng(0)
    content = rng.normal(size=(5000, 3)) @ rng.normal(size=(3, 3)) + [5, -2, 0]
    style = content[:, :2] * [1, -0.5] + rng.normal(size=(5000, 2)) * [0.3, 2]
    fitted = np.concatenate([content, style], axis=1)
    codes = figures.aggregate_codes({"content": content, "style": style}, n, seed=3)
    assert codes["content"].shape == (n, 3)
    assert codes["style"].shape == (n, 2)
    drawn = np.concatenate([codes["content"], codes["style"]], axis=1)
    covariance = np.cov(fitted, rowvar=False)
    variance = np.diag(covariance)
    assert (np.abs(drawn.mean(0) - fitted.mean(0)) < 5 * np.sqrt(variance / n)).all()
    error = np.abs(np.cov(drawn, rowvar=False) - covariance)
    assert (error < 5 * np.sqrt((np.outer(variance, variance) + covariance**2) / n)).all()
    assert abs(covariance[0, 3]) > 0.5  # the latents do depend on each other here


def test_aggregate_codes_bear_a_collapsed_latent_of_one_dimension():
    codes = {"z": np.full((10, 1), 2.0, np.float32)}
    np.testing.assert_array_equal(
        figures.aggregate_codes(codes, 4, seed=0)["z"], np.full((4, 1), 2)
    )


def test_interpolation_frames_pass_through_every_image_in_a_closed_loop():
    model, images = HalvesModel(), random_images(6)
    frames = figures.interpolation_frames(model, images, steps=8, walks=2)
    assert len(frames) == 3 * 8
    for leg in range(3):
        cells = cells_of(frames[8 * leg], 1, 2)
        np.testing.assert_array_equal(cells[0, 0], rgb(images[leg]))
        np.testing.assert_array_equal(cells[0, 1], rgb(images[3 + leg]))
    middle = cells_of(frames[20], 1, 2)[0, 0]  # half way from the last image back to the first
    assert np.abs(middle - rgb(images[2] / 2 + images[0] / 2)).max() <= 0.5
    assert_closed(frames)


def test_interpolation_frames_leave_the_cells_without_a_walk_empty():
    frames = figures.interpolation_frames(HalvesModel(), random_images(6), steps=2, walks=3)
    cells = cells_of(frames[0], 2, 2)
    assert (cells[1, 1] == BACKGROUND).all()


def assert_closed(frames):
    """The step from the last frame to the first is a step like the others, and not a pause."""
    frames = np.asarray(frames, float)
    moved = np.abs(np.roll(frames, -1, axis=0) - frames).mean(axis=(1, 2, 3))
    assert 0 < moved[-1] <= moved[:-1].max()


def test_save_gif_keeps_the_frames_and_loops_for_ever(tmp_path):
    frames = figures.interpolation_frames(HalvesModel(), random_images(3), steps=6)
    frames = frames[:, ::8, ::8]  # quicker to write
    path = tmp_path / "new" / "folder" / "walk.gif"
    figures.save_gif(frames, path, fps=10)
    reread = imageio.imread(path, index=None)
    assert reread.shape == (18, *frames.shape[1:])
    assert np.abs(reread.astype(int) - frames).max() <= 1
    assert_closed(reread)
    metadata = imageio.immeta(path)
    assert metadata["loop"] == 0
    assert metadata["duration"] == 100
    assert os.listdir(path.parent) == ["walk.gif"]


def test_save_png_is_exact(tmp_path):
    picture = figures.grid(random_images(4, (8, 8, 3)).reshape(2, 2, 8, 8, 3))
    figures.save_png(picture, tmp_path / "new" / "picture.png")
    np.testing.assert_array_equal(imageio.imread(tmp_path / "new" / "picture.png"), picture)
    assert os.listdir(tmp_path / "new") == ["picture.png"]


def test_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def full_disk(path, image, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figures.imageio, "imwrite", full_disk)
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"):
        figures.save_png(np.zeros((2, 2, 3), np.uint8), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["picture.png"]


def test_write_replaces_the_old_file_whole(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    with path.open("rb") as reader:  # keeps the old file, never sees half of the new one
        figures.save_png(np.zeros((2, 2, 3), np.uint8), path)
        assert reader.read() == b"old"
    assert imageio.imread(path).shape == (2, 2, 3)


def test_curve_writes_a_picture(tmp_path):
    path = tmp_path / "new" / "curve.png"
    rows = {"content": ([1, 2, 3], [0.5, 0.9, 0.97]), "style": ([1, 3], [0.6, 0.4])}
    figures.curve(rows, path, lines={"chance": 0.1135, "paper": 0.992}, y_label="accuracy")
    picture = imageio.imread(path)
    assert picture.shape[:2] == (600, 960)
    assert picture[..., :3].std() > 5
    assert os.listdir(path.parent) == ["curve.png"]


@pytest.mark.parametrize("n", [2, 9])
def test_draw_group_figures_writes_all_files(tmp_path, n):
    model, images = HalvesModel(), random_images(n)
    codes = {name: g.mean for name, g in model.encode(random_images(50)).items()}
    paths = figures.draw_group_figures(model, images, codes, tmp_path / "figures", seed=0)
    assert sorted(os.listdir(tmp_path / "figures")) == sorted(path.name for path in paths)
    assert [path.name for path in paths] == [
        "swaps.png",
        "interpolation.png",
        "samples_prior.png",
        "samples_aggregate.png",
        "interpolation.gif",
    ]
    swaps = imageio.imread(paths[0])
    np.testing.assert_array_equal(swaps, figures.swap_grid(model, images[:10], kept="content"))
    assert len(imageio.imread(paths[-1], index=None)) == 12 * min(n, 4)


def test_errors_are_one_clear_sentence(tmp_path):
    one, two, images = HalvesModel(latent_names=("z",)), HalvesModel(), random_images(2)
    with pytest.raises(UserError, match=r"needs two latents, but this model has only z\.$"):
        figures.swap_grid(one, images, kept="z")
    with pytest.raises(UserError, match="needs two latents"):
        figures.interpolation_grid(one, *images, n=3)
    with pytest.raises(UserError, match="needs two latents"):
        figures.draw_group_figures(one, images, {"z": np.zeros((4, 64))}, tmp_path, seed=0)
    with pytest.raises(UserError, match=r"no latent 'target'.*has content, style\.$"):
        figures.swap_grid(two, images, kept="target")
    with pytest.raises(UserError, match="at least 2 test images"):
        figures.draw_group_figures(two, images[:1], {}, tmp_path, seed=0)
    assert os.listdir(tmp_path) == []
