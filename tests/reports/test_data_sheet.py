"""What `python -m refvae_jax data` says of a folder of images."""

import errno
import re

import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image

from refvae_jax.data.cache import ImageSet, cache_root
from refvae_jax.data.readers.factors_file import no_factors
from refvae_jax.reports import data_sheet as shown


def make(root, sizes):
    for place, (name, size) in enumerate(sizes.items()):
        (root / name).mkdir(parents=True)
        for i in range(size):
            pixels = Image.new("RGB", (20, 20), (10 * place + 20, i, 0))
            pixels.save(root / name / f"{i}.png")


def test_groups_of_a_folder(tmp_path, capsys):
    make(tmp_path / "pictures", {"a": 20, "b": 40})
    out = tmp_path / "sheet.png"
    assert shown.main([str(tmp_path / "pictures"), f"--out={out}"]) == 0
    said = capsys.readouterr().out
    assert "train: 48 images 64 x 64 x 3" in said
    assert "2 groups of 16 to 32 images" in said
    assert "10 to 19 images: 1 group\n" in said and "20 to 49 images: 1 group\n" in said
    assert "test: 6 images" in said
    red = imageio.imread(out)[30, :, 0]  # The first row of cells holds one group.
    assert len(set(red.tolist()) & {20, 30}) == 1


def test_reference_above_unlabelled(tmp_path, capsys):
    make(tmp_path / "pictures", {"neutral": 60, "happy": 60})
    out = tmp_path / "sheet.png"
    arguments = [str(tmp_path / "pictures"), "--reference-class=neutral", f"--out={out}"]
    assert shown.main(arguments) == 0
    assert "reference: 60 images" in (said := capsys.readouterr().out)
    assert "groups" not in said  # Neutral faces are one group, which says nothing.
    column = imageio.imread(out)[:, 30, 0]
    places = [np.flatnonzero(column == red).mean() for red in (20, 30)]
    assert places[0] < places[1]


def test_sizes_of_groups():
    assert shown.sizes_of_groups(np.full(7, 48)) == ["7 groups of 48 images each"]
    first, *rest = shown.sizes_of_groups(np.array([1, 1, 3]))
    assert first == "3 groups of 1 to 3 images, 1 at the median"
    assert rest == ["  1 image: 2 groups", "  2 to 4 images: 1 group"]


@pytest.mark.parametrize(
    ("label", "names", "dataset", "words"),
    [
        ([0, 0], ("",), "folder", "no groups, .* need two: put the images of each group into"),
        ([-1, -1], (), "arrays", "no groups, .* need two: add an array `label`"),
        ([0, 0], ("anna",), "folder", "one group only, .* need two"),
        ([0, 1], ("anna", "ben"), "folder", "$"),
    ],
)
def test_a_lack_of_groups_is_said(label, names, dataset, words):
    images = ImageSet(np.zeros((2, 4, 4, 1), np.uint8), np.array(label), names, no_factors(2))
    assert re.match(words, shown.lack_of_groups(images, dataset))


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pictures" / "reference").mkdir(parents=True)
    data = shown.data_config("~/pictures")
    assert data.dir == str(tmp_path / "pictures") and data.reference_split == "reference"


def test_errors(tmp_path, capsys):
    assert shown.main(["", f"--out={tmp_path}/x.png"]) == 2
    assert "The name of the data is empty" in capsys.readouterr().err
    assert shown.main(["lwf", f"--out={tmp_path}/x.png"]) == 2
    assert "Did you mean 'lfw'" in capsys.readouterr().err
    assert shown.main(["configs/nothing.py"]) == 2
    assert "no config file" in capsys.readouterr().err


def test_failed_disks(tmp_path, capsys, monkeypatch):
    def read_only(data, split):
        raise PermissionError(errno.EACCES, "Permission denied", str(cache_root("") / "x"))

    monkeypatch.setattr(shown, "open_split", read_only)
    assert shown.main(["mnist", f"--out={tmp_path}/x.png"]) == 2
    assert "Choose another place with the variable XDG_CACHE_HOME." in capsys.readouterr().err
    for out, failed in [("/proc/none/x.png", "/proc/none"), ("/proc/x.png", "/proc/x.png")]:
        assert shown.main(["mnist", f"--out={out}"]) == 2  # Before anything is opened.
        message = capsys.readouterr().err
        assert f"Cannot use {failed}: " in message
        assert message.endswith("Choose another file with --out.\n")
