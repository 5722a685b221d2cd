"""What a model draws, cell by cell, with a toy model whose codes are its pixels."""

import os

import imageio.v3 as imageio
import numpy as np
import pytest

from refvae_jax.errors import UserError
from refvae_jax.figures import animations, draw, grids
from refvae_jax.figures.codes import aggregate_codes
from refvae_jax.figures.layout import BACKGROUND
from tests.toy import HalvesModel, assert_closed, cells_of, random_images, rgb


@pytest.mark.parametrize("kept", ["content", "style"])
def test_swap_grid_fixes_the_kept_latent_down_a_column(kept):
    model, images = HalvesModel(), random_images(4)
    cells = cells_of(grids.swap_grid(model, images, kept=kept), 6, 6)
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
    cells = cells_of(grids.swap_grid(model, images, kept="target"), 5, 5, 6, 9)
    for i, j in np.ndindex(3, 3):
        expected = images[i].copy()
        expected[:, 3:6] = images[j][:, 3:6]
        np.testing.assert_array_equal(cells[2 + i, 2 + j], expected)


def test_interpolation_grid_moves_content_over_columns_and_style_over_rows():
    model, (a, b) = HalvesModel(), random_images(2)
    cells = cells_of(grids.interpolation_grid(model, a, b, n=5), 5, 5)
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
    cells = cells_of(grids.sample_grid(model, latents, rows=2), 2, 3)
    np.testing.assert_array_equal(cells.reshape(6, 8, 8, 3), rgb(images))


def test_aggregate_codes_have_the_mean_and_joint_covariance_of_the_codes():
    n, rng = 50_000, np.random.default_rng(0)
    content = rng.normal(size=(5000, 3)) @ rng.normal(size=(3, 3)) + [5, -2, 0]
    style = content[:, :2] * [1, -0.5] + rng.normal(size=(5000, 2)) * [0.3, 2]
    fitted = np.concatenate([content, style], axis=1)
    codes = aggregate_codes({"content": content, "style": style}, n, seed=3)
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
    np.testing.assert_array_equal(aggregate_codes(codes, 4, seed=0)["z"], np.full((4, 1), 2))


def test_least_like():
    greys = np.array([110, 180, 90], np.uint8)[:, None, None, None]
    others = np.broadcast_to(greys, (3, 4, 4, 1))
    assert (grids.least_like(np.full((4, 4, 1), 120, np.uint8), others) == 180).all()
    assert (grids.least_like(np.full((4, 4, 1), 140, np.uint8), others) == 90).all()


def test_interpolation_frames_pass_through_every_image_in_a_closed_loop():
    model, images = HalvesModel(), random_images(6)
    frames = animations.interpolation_frames(model, images, steps=8, walks=2)
    assert len(frames) == 3 * 8
    for leg in range(3):
        cells = cells_of(frames[8 * leg], 1, 2)
        np.testing.assert_array_equal(cells[0, 0], rgb(images[leg]))
        np.testing.assert_array_equal(cells[0, 1], rgb(images[3 + leg]))
    middle = cells_of(frames[20], 1, 2)[0, 0]  # half way from the last image back to the first
    assert np.abs(middle - rgb(images[2] / 2 + images[0] / 2)).max() <= 0.5
    assert_closed(frames)


def test_interpolation_frames_leave_the_cells_without_a_walk_empty():
    frames = animations.interpolation_frames(HalvesModel(), random_images(6), steps=2, walks=3)
    cells = cells_of(frames[0], 2, 2)
    assert (cells[1, 1] == BACKGROUND).all()


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 9])
def test_draw_figures_writes_all_files(tmp_path, n):
    model, images = HalvesModel(), random_images(n)
    codes = {name: g.mean for name, g in model.encode(random_images(50)).items()}
    paths = draw.draw_figures(model, images, codes, tmp_path / "figures", seed=0)
    assert sorted(os.listdir(tmp_path / "figures")) == sorted(path.name for path in paths)
    assert [path.name for path in paths] == [
        "samples_prior.png",
        "samples_aggregate.png",
        "swaps.png",
        "interpolation.png",
        "synthesis.png",
        "samples_crossed.png",
        "interpolation.gif",
        "style.gif",
    ]
    swaps = imageio.imread(tmp_path / "figures" / "swaps.png")
    np.testing.assert_array_equal(swaps, grids.swap_grid(model, images[:10], kept="content"))
    loop = imageio.imread(tmp_path / "figures" / "interpolation.gif", index=None)
    assert len(loop) == 12 * min(n, 4)


def test_draw_figures_of_one_latent_leaves_out_what_needs_two(tmp_path):
    model, images = HalvesModel(latent_names=("z",)), random_images(4)
    paths = draw.draw_figures(model, images, {"z": np.eye(64)}, tmp_path, seed=0)
    names = ["samples_prior.png", "samples_aggregate.png", "interpolation.gif"]
    assert [path.name for path in paths] == names


def test_synthesis_grid_keeps_all_but_the_moved_latent():
    model, images = HalvesModel(latent_names=("common", "target")), random_images(3)
    drawn = model.prior_codes(4, seed=5)["target"]
    cells = cells_of(grids.synthesis_grid(model, images, moved="target", n=4, seed=5), 3, 6)
    np.testing.assert_array_equal(cells[:, 0], rgb(images))
    np.testing.assert_array_equal(cells[:, 1], rgb(images // 2))
    for i, j in np.ndindex(3, 4):
        codes = model.encode(images[i : i + 1])
        codes = {"common": codes["common"].mean, "target": drawn[j : j + 1]}
        np.testing.assert_array_equal(cells[i, 2 + j], rgb(model.decode(codes))[0])


def test_crossed_sample_grid_has_one_common_a_column_and_one_target_a_row():
    model = HalvesModel(latent_names=("common", "target"))
    picture = grids.crossed_sample_grid(model, kept="common", rows=3, columns=5, seed=0)
    cells = cells_of(picture, 3, 5)
    common, target = cells[:, :, :, :4], cells[:, :, :, 4:]
    np.testing.assert_array_equal(common, np.broadcast_to(common[:1], common.shape))
    np.testing.assert_array_equal(target, np.broadcast_to(target[:, :1], target.shape))
    assert len(np.unique(common[0], axis=0)) == 5 and len(np.unique(target[:, 0], axis=0)) == 3


def test_walk_frames_move_one_latent_of_all_images_together():
    model, images = HalvesModel(latent_names=("common", "target")), random_images(4)
    frames = animations.walk_frames(model, images, moved="target", steps=6, seed=0, stops=3)
    assert len(frames) == 18
    for frame in frames:
        cells = cells_of(frame, 2, 2).reshape(4, 8, 8, 3)
        np.testing.assert_array_equal(cells[:, :, :4], rgb(images)[:, :, :4])
        np.testing.assert_array_equal(cells[1:, :, 4:], cells[:-1, :, 4:])
    assert_closed(frames)


def test_errors_are_one_clear_sentence(tmp_path):
    one, two, images = HalvesModel(latent_names=("z",)), HalvesModel(), random_images(2)
    with pytest.raises(UserError, match=r"needs two latents, but this model has only z\.$"):
        grids.swap_grid(one, images, kept="z")
    with pytest.raises(UserError, match="needs two latents"):
        grids.interpolation_grid(one, *images, n=3, kept="z")
    with pytest.raises(UserError, match="needs two latents"):
        grids.synthesis_grid(one, images, moved="z", n=2, seed=0)
    with pytest.raises(UserError, match=r"no latent 'target'.*has content, style\.$"):
        grids.swap_grid(two, images, kept="target")
    with pytest.raises(UserError, match="at least 2 test images"):
        draw.draw_figures(two, images[:1], {}, tmp_path, seed=0)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("names", [("content", "style"), ("common", "target")])
def test_every_figure_is_of_the_latents_that_it_should_be_of(names):
    kept, moved = names
    model, images = HalvesModel(latent_names=names), random_images(12, seed=2)
    codes = {name: g.mean for name, g in model.encode(random_images(50, seed=1)).items()}
    far = grids.least_like(images[0], images[1:10])
    assert (far != images[1]).any()
    expected = {
        "samples_prior": grids.sample_grid(model, model.prior_codes(100, 3), rows=10),
        "samples_aggregate": grids.sample_grid(model, aggregate_codes(codes, 100, 3), rows=10),
        "swaps": grids.swap_grid(model, images[:10], kept=kept),
        "interpolation": grids.interpolation_grid(model, images[0], far, n=10, kept=kept),
        "synthesis": grids.synthesis_grid(model, images[:10], moved=moved, n=8, seed=3),
        "samples_crossed": grids.crossed_sample_grid(model, kept=kept, rows=10, columns=10, seed=3),
    }
    found = grids.still_pictures(model, images, codes, seed=3)
    assert found.keys() == expected.keys()
    for name, picture in expected.items():
        np.testing.assert_array_equal(found[name], picture)
    walk = animations.walk_frames(model, images[:9], moved=moved, steps=12, seed=3)
    np.testing.assert_array_equal(animations.animation_makers(model, images, seed=3)[moved](), walk)
