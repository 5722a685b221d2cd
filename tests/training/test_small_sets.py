"""Folders of very few images: what is advised is followed until training begins or cannot."""

import re

import numpy as np
import pytest
from PIL import Image

from configs import folder_gmvae, folder_srbvae
from refvae_jax import config as configs
from refvae_jax import config_rules
from refvae_jax.data import order
from refvae_jax.data.splits import open_splits
from refvae_jax.errors import UserError
from refvae_jax.training import setup

MOST = 5  # Errors in a row that a user should have to read.


def make_folder(root, sizes):
    """Writes {folder: number of images}."""
    rng = np.random.default_rng(0)
    for name, size in sizes.items():
        (root / name).mkdir(parents=True)
        for i in range(size):
            pixels = rng.integers(0, 256, (4, 4, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")


def flags_in(message, config):
    """{field: value} of the flags that an error message says to set, as the command line reads."""
    fields = configs.flatten(config)
    flags = re.findall(r"--config\.([\w.]+)=('[^']*'|[\w.]*\w)", message)
    return {name: type(fields[name])(value.strip("'")) for name, value in flags}


def follow(config):
    """(the error messages whose flags were set, the one that asks for more than flags or "")."""
    followed = []
    while True:
        try:
            setup.prepare(config, open_splits(config))
            return followed, ""
        except UserError as error:
            message = str(error)
        flags = flags_in(message, config)
        if not flags or "into one folder" in message:
            return followed, message
        assert message not in followed and len(followed) < MOST
        followed.append(message)
        config.update_from_flattened_dict(flags)


@pytest.fixture
def advised(tmp_path):
    """advised(config, sizes) -> what `follow` gives for a folder of groups of these sizes."""

    def start(config, sizes, **data):
        root = tmp_path / "pictures"
        make_folder(root, sizes)
        config.data.update({"dir": str(root), "cache_dir": str(tmp_path / "cache"), **data})
        return follow(config)

    return start


def groups(count, size):
    return {f"g{i:03}": size for i in range(count)}


SMALL = {
    "2 x 2": groups(2, 2),
    "1 x 1": groups(1, 1),
    "40 x 1": groups(40, 1),
    "1 x 8": groups(1, 8),
    "1 x 20": groups(1, 20),
    "2 x 3": groups(2, 3),
    "4 x 4": groups(4, 4),
    "30 x 2": groups(30, 2),
    "40 x 4": groups(40, 4),
    "3 x 3 and 30": groups(3, 3) | {"large": 30},
}
FOUR = "put four or more images into each of four groups"


@pytest.mark.parametrize(
    ("name", "form", "end"),
    [
        ("2 x 2", "smoke", FOUR),
        ("2 x 2", "unseen-smoke", FOUR),
        (
            "1 x 1",
            "smoke",
            "to hold out 0.1 of the members of each group (1 image in 1 group, the largest of 1), "
            "and no other share works; put eight or more images there.",
        ),
        ("40 x 1", "smoke", "or put all images into one folder and set a method without groups"),
        ("40 x 1", "unseen-smoke", FOUR),
        ("1 x 8", "smoke", "into a subfolder of their own"),
        ("1 x 20", "unseen-smoke", "into a subfolder of their own"),
        ("2 x 3", "smoke", "put more images into each group"),
        ("4 x 4", "smoke", ""),
        ("4 x 4", "unseen-smoke", ""),
        ("30 x 2", "smoke", FOUR),
        ("40 x 4", "smoke", ""),
        ("40 x 4", "unseen-smoke", ""),
        ("3 x 3 and 30", "unseen-smoke", ""),
    ],
)
def test_groups(advised, name, form, end):
    followed, last = advised(folder_gmvae.get_config(form), SMALL[name])
    assert end in last and bool(end) == bool(last)
    if "subfolder" in end:  # More images in a batch would not help.
        assert not any("batch_size" in message for message in followed)


@pytest.mark.parametrize(
    ("name", "end"), [("2 x 2", FOUR), ("1 x 20", ""), ("2 x 3", ""), ("40 x 4", "")]
)
def test_unsupervised(advised, name, end):
    config = folder_gmvae.get_config("smoke")
    config.method.name = "betatcvae"
    config_rules.follow_resolution(config, {"method.name"})
    _, last = advised(config, SMALL[name])
    assert end in last and bool(end) == bool(last)


def test_one_folder_for_a_method_without_groups(advised, tmp_path):
    config = folder_gmvae.get_config("smoke")
    _, last = advised(config, SMALL["40 x 1"])
    flags = flags_in(last, config)
    assert flags == {"method.name": "vae"}
    config.update_from_flattened_dict(flags)
    config_rules.follow_resolution(config, flags)
    make_folder(tmp_path / "moved", groups(1, 40))
    config.data.dir = str(tmp_path / "moved")
    assert follow(config) == ([], "")


@pytest.mark.parametrize(
    ("reference", "unlabelled", "end"),
    [
        (100, 1, "pictures/unlabelled is empty: too few images"),
        (1, 100, ""),
        (3, 100, ""),
        (3, 3, "put eight or more images there"),
        (3, 8, ""),
    ],
)
def test_references(advised, reference, unlabelled, end):
    sizes = {"reference": reference, "unlabelled": unlabelled}
    _, last = advised(folder_srbvae.get_config("smoke"), sizes)
    assert end in last and bool(end) == bool(last)


def test_nothing_but_the_reference_class(advised):
    config = folder_srbvae.get_config("smoke")
    _, last = advised(config, {"neutral": 9}, reference_class="neutral")
    assert "there are no images beside the reference class 'neutral'; put some there" in last


def test_what_is_advised_keeps_two_groups_of_two_to_train_on(advised):
    config = folder_gmvae.get_config("smoke")
    followed, last = advised(config, SMALL["4 x 4"])
    assert not last and "set --config.data.hold_out=0.2." in followed[0]


@pytest.mark.parametrize(("images", "advice"), [(7, "set --config.batch_size=4."), (3, "put 4 or")])
def test_a_batch_that_is_advised_divides_among_the_devices(images, advice):
    with pytest.raises(UserError, match=advice):
        order.check_batch_size(8, images, "training", num_devices=4)
