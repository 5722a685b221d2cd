"""Grids and files, cell by cell."""

import os

import imageio.v3 as imageio
import numpy as np
import pytest

from refvae_jax.figures import files, layout
from refvae_jax.figures.layout import BACKGROUND
from tests.toy import assert_closed, cells_of, random_images, rgb


@pytest.mark.parametrize("channels", [1, 3])
def test_grid_puts_every_image_in_its_cell(channels):
    images = random_images(6, (8, 8, channels)).reshape(2, 3, 8, 8, channels)
    empty = np.array([[True, False, False], [False, False, False]])
    picture = layout.grid(images, empty=empty)
    cells = cells_of(picture, 2, 3)
    assert picture.dtype == np.uint8
    assert (cells[0, 0] == BACKGROUND).all()
    np.testing.assert_array_equal(cells[~empty], rgb(images)[~empty])


@pytest.mark.parametrize(("n", "scale"), [(3, 11), (10, 3), (12, 2), (40, 1)])
def test_grid_enlarges_by_a_whole_factor_up_to_the_limit(n, scale):
    picture = layout.grid(np.zeros((1, n, 32, 32, 1), np.uint8))
    assert picture.shape == (scale * 36, scale * (34 * n + 2), 3)


def test_save_gif_keeps_the_frames_and_loops_for_ever(tmp_path):
    angle = np.linspace(0, 2 * np.pi, 18, endpoint=False)
    level = (127 + 100 * np.cos(angle)).astype(np.uint8)[:, None, None, None]
    frames = np.broadcast_to(level, (18, 8, 12, 3))
    path = tmp_path / "new" / "folder" / "walk.gif"
    files.save_gif(frames, path, fps=10)
    reread = imageio.imread(path, index=None)
    assert reread.shape == (18, *frames.shape[1:])
    assert np.abs(reread.astype(int) - frames).max() <= 1
    assert_closed(reread)
    metadata = imageio.immeta(path)
    assert metadata["loop"] == 0
    assert metadata["duration"] == 100
    assert os.listdir(path.parent) == ["walk.gif"]


def test_save_png_is_exact(tmp_path):
    picture = layout.grid(random_images(4, (8, 8, 3)).reshape(2, 2, 8, 8, 3))
    files.save_png(picture, tmp_path / "new" / "picture.png")
    np.testing.assert_array_equal(imageio.imread(tmp_path / "new" / "picture.png"), picture)
    assert os.listdir(tmp_path / "new") == ["picture.png"]


def test_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch):
    def full_disk(path, image, **_):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(files.imageio, "imwrite", full_disk)
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"):
        files.save_png(np.zeros((2, 2, 3), np.uint8), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["picture.png"]


def test_write_replaces_the_old_file_whole(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    with path.open("rb") as reader:  # keeps the old file, never sees half of the new one
        files.save_png(np.zeros((2, 2, 3), np.uint8), path)
        assert reader.read() == b"old"
    assert imageio.imread(path).shape == (2, 2, 3)


def test_curve_writes_a_picture(tmp_path):
    path = tmp_path / "new" / "curve.png"
    rows = {"content": ([1, 2, 3], [0.5, 0.9, 0.97]), "style": ([1, 3], [0.6, 0.4])}
    files.curve(rows, path)
    picture = imageio.imread(path)
    assert picture.shape[:2] == (600, 960)
    assert picture[..., :3].std() > 5
    assert os.listdir(path.parent) == ["curve.png"]
