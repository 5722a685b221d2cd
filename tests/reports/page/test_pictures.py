"""Pictures in the page are the files' own, pixel by pixel, and move as they do."""

import base64
import io

import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image, ImageSequence

from refvae_jax.errors import UserError
from refvae_jax.figures.captions import ORDER, Caption, caption
from refvae_jax.figures.files import save_gif, save_png
from refvae_jax.reports.page import pictures

WORDS = Caption("Swaps", "text")


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def frames_of(uri):
    kind, _, content = uri.partition(";base64,")
    assert kind == "data:image/webp"
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    found = [
        (np.asarray(frame.convert("RGB")), frame.info.get("duration"))  # Known once it is decoded.
        for frame in ImageSequence.Iterator(image)
    ]
    return [(duration, pixels) for pixels, duration in found]


def enlarged(images, factor):
    return images.repeat(factor, axis=-3).repeat(factor, axis=-2)


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_a_figure_loses_nothing(tmp_path, factor):
    small = noise(10, 14)
    save_png(enlarged(small, factor), tmp_path / "swaps.png")
    picture = pictures.embed(tmp_path / "swaps.png", WORDS)
    ((_, pixels),) = frames_of(picture.uri)
    np.testing.assert_array_equal(pixels, small)
    assert (picture.width, picture.height) == (14 * factor, 10 * factor)
    assert picture.enlarged == (factor > 1) and picture.still == ""


def test_an_animation_has_the_files_frames_and_times(tmp_path):
    small = np.stack([noise(6, 8), 255 - noise(6, 8), noise(6, 8) // 2])
    path = tmp_path / "style.gif"
    save_gif(enlarged(small, 3), path, fps=12)
    picture = pictures.embed(path, WORDS)
    found = frames_of(picture.uri)
    wanted = imageio.imread(path, index=None)[:, ::3, ::3]  # A GIF has 256 colours.
    for (time, pixels), frame in zip(found, wanted, strict=True):
        assert time == 80  # Of hundredths of a second.
        np.testing.assert_array_equal(pixels, frame)
    ((_, still),) = frames_of(picture.still)
    np.testing.assert_array_equal(still, wanted[0])


def test_enlargement_of_uneven_and_of_plain_pictures():
    assert pictures.enlargement(noise(1, 9, 6)) == 1
    assert pictures.enlargement(np.zeros((1, 12, 8, 3), np.uint8)) == 4
    assert pictures.enlargement(np.zeros((2, 1, 1, 3), np.uint8)) == 1
    moving = enlarged(noise(2, 3, 3), 4)
    moving[1, 5, 5] = 0  # In the second frame only.
    assert pictures.enlargement(moving) == 1


def test_known_figures_come_in_their_order_and_others_last(tmp_path):
    assert pictures.embed_all(tmp_path / "none") == {}
    for name in ("style.gif", "zebra.png", "swaps.png", "interpolation.gif"):
        save_png(noise(4, 4), tmp_path / "a.png")
        (tmp_path / "a.png").rename(tmp_path / name)
    (tmp_path / "notes.txt").write_text("")
    found = pictures.embed_all(tmp_path)
    assert list(found) == ["swaps.png", "interpolation.gif", "style.gif", "zebra.png"]
    assert "`content` is fixed" in found["swaps.png"].caption.text
    assert pictures.in_order(["b", "swaps.png", "a", "b"]) == ["swaps.png", "a", "b"]


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "swaps.png").write_bytes(b"\x89PNG no")
    with pytest.raises(UserError, match=r"swaps\.png is no picture that can be read: draw"):
        pictures.embed(tmp_path / "swaps.png", WORDS)
    save_png(noise(40, 40), tmp_path / "swaps.png")
    whole = (tmp_path / "swaps.png").read_bytes()
    (tmp_path / "swaps.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="is no picture"):
        pictures.embed(tmp_path / "swaps.png", WORDS)


@pytest.mark.parametrize(("moved", "kept"), [("style", "content"), ("target", "common")])
def test_captions_name_the_models_latents(moved, kept):
    names = ["swaps.png", f"{moved}.gif"]
    assert (
        f"`{kept}` is fixed down a column, `{moved}` along a row" in caption(names[0], names).text
    )
    assert caption(names[1], names).title == f"Moving {moved}"
    for name in ORDER:
        words = caption(name, names)
        assert words.title and words.text and "{" not in words.title + words.text
    assert caption("zebra.png", names) == Caption("zebra.png", "")
