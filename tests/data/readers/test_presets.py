"""The sets of presets.py, each written by its own TFDS builder from made examples: no download."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from configs import tfds_gmvae, tfds_vae
from refvae_jax.data.cache import open_split
from refvae_jax.errors import UserError

SPLITS = ("train", "validation", "test", "probe_train")


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """prepare(config, examples): `config.data` of a set that holds `examples(features)`.

    Only the download and the parsing of files are left out: splits, features and records are those
    of TFDS. Each split holds the same examples.
    """

    def make(config, examples):
        for name in ("download", "extract", "download_and_extract"):
            monkeypatch.setattr(tfds.download.DownloadManager, name, lambda self, paths: paths)
        data = config.data
        data.dir, data.cache_dir = str(tmp_path / "tfds"), str(tmp_path / "cache")
        builder = tfds.builder(data.name, data_dir=data.dir)
        made = list(enumerate(examples(builder.info.features)))
        monkeypatch.setattr(type(builder), "_generate_examples", lambda self, **paths: made)
        builder.download_and_prepare()
        return data

    return make


def open_all(data):
    return {split: open_split(data, split) for split in SPLITS}


def one_of_each(features, count, name):
    """Examples whose i-th has class i (modulo), numbers i, and pixels 1 + i in its left half."""

    def value(i, feature):
        if isinstance(feature, tfds.features.ClassLabel):
            return i % feature.num_classes
        if not isinstance(feature, tfds.features.Image):
            return i
        pixels = np.zeros(feature.shape, np.uint8)
        pixels[:, : feature.shape[1] // 2] = 1 if name == "dsprites" else 1 + i % 251
        return pixels.swapaxes(0, 1) if name == "emnist" else pixels

    return [{key: value(i, feature) for key, feature in features.items()} for i in range(count)]


def table(part):
    """A row per image: label, a pixel of the left half, one of the right half, factors."""
    side = part.image.shape[1]
    left, right = (part.image[:, side // 2, column, 0] for column in (side // 4, -side // 4))
    factors = part.factors
    return np.column_stack(
        [part.label, left, right, factors.continuous, factors.categorical]
    ).tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "name", "count", "sizes", "shape", "classes", "continuous", "categorical"),
    [
        (tfds_gmvae, "fashion_mnist", 100, (90, 10, 100), (32, 32, 1), 10, "", {}),
        (tfds_gmvae, "emnist/balanced", 470, (423, 47, 470), (32, 32, 1), 47, "", {}),
        (
            tfds_vae,
            "dsprites",
            150,
            (144, 3, 3),
            (64, 64, 1),
            3,
            "value_scale value_orientation value_x_position value_y_position",
            {},
        ),
        (
            tfds_vae,
            "shapes3d",
            200,
            (192, 4, 4),
            (64, 64, 3),
            4,
            "value_floor_hue value_object_hue value_orientation value_scale value_wall_hue",
            {},
        ),
        (
            tfds_vae,
            "smallnorb",
            50,
            (45, 5, 50),
            (64, 64, 1),
            5,
            "",
            {"label_azimuth": 18, "label_elevation": 9, "label_lighting": 6},
        ),
    ],
)
def test_every_image_is_in_one_split_with_its_ground_truth(
    prepare, config, name, count, sizes, shape, classes, continuous, categorical
):
    base, continuous = name.split("/")[0], tuple(continuous.split())
    data = prepare(
        config.get_config(f"{name}-cpu"), lambda features: one_of_each(features, count, base)
    )
    parts = open_all(data)
    assert tuple(len(parts[split].label) for split in SPLITS) == (*sizes, sizes[0])
    for part in parts.values():
        assert part.image.shape[1:] == shape and len(part.class_names) == classes
        assert part.factors.continuous_names == continuous
        found = part.factors.categorical_names
        assert {factor: len(names) for factor, names in found.items()} == categorical
    white = [255 if base == "dsprites" else 1 + i % 251 for i in range(count)]
    known = [
        [i % classes, white[i], 0, *[i] * len(continuous), *[i % n for n in categorical.values()]]
        for i in range(count)
    ]
    pool, test = table(parts["train"]) + table(parts["validation"]), table(parts["test"])
    if sizes[2] == count:  # A test split of its own, which holds the same examples.
        assert sorted(pool) == sorted(test) == sorted(known)
    else:
        assert sorted(pool + test) == sorted(known)


@pytest.mark.slow
def test_persons_of_lfw_are_groups_and_those_tested_unseen(prepare):
    names = [f"Person_{place:02}" for place in range(20) for _ in range(place % 4 + 1)]

    def examples(features):
        assert isinstance(features["label"], tfds.features.Text)
        for place, name in enumerate(names):
            image = np.zeros(features["image"].shape, np.uint8)
            image[50:200, 50:200] = place, int(name[-2:]), 0  # What is around it is cropped.
            yield {"label": name, "image": image}

    data = prepare(tfds_gmvae.get_config("lfw-cpu"), examples)
    parts = open_all(data)
    assert sum(len(parts[split].label) for split in SPLITS) == len(names) == 50
    seen = np.concatenate([part.image[:, 32, 32, 0] for part in parts.values()])
    assert sorted(seen) == list(range(50))
    persons = {split: set(part.label.tolist()) for split, part in parts.items()}
    assert len(persons["train"]) == 16 and len(persons["validation"]) == 2
    assert not persons["train"] & persons["validation"]
    tested = persons["test"] | persons["probe_train"]
    assert len(tested) == 2 and not tested & (persons["train"] | persons["validation"])
    for part in parts.values():
        assert part.image.shape[1:] == (64, 64, 3)
        assert part.class_names == tuple(sorted(set(names)))
        assert (part.image[..., 1] == part.label[:, None, None]).all()  # No border.

    every = set().union(*persons.values())
    data.exclude = ("Person_03", "7")
    left = [set(part.label.tolist()) for part in open_all(data).values()]
    assert set().union(*left) == every - {3, 7}
    data.exclude = ("Person_3",)
    with pytest.raises(UserError, match="'Person_3', which is no label"):
        open_split(data, "train")
