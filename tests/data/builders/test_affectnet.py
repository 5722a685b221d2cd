"""The builder on drawn faces in the official layout: geometry, splits, and what can be wrong."""

import shutil

import numpy as np
import pytest

from configs import affectnet_rbvae, default
from refvae_jax.data import batches, splits
from refvae_jax.data.builders import affectnet
from refvae_jax.data.builders import affectnet_lists as lists
from refvae_jax.data.cache import open_split
from refvae_jax.data.readers import presets
from refvae_jax.data.readers.decode import read_each
from refvae_jax.errors import UserError
from refvae_jax.evaluation import ground_truth, published
from tests import drawn_faces

SPLITS = ("train", "reference", "validation", "probe_train", "test")
SEVEN = lists.EXPRESSIONS[1:]


def set_data(data, folder):
    presets.choose(data, "affectnet")
    data.update({"dir": str(folder), "cache_dir": str(folder / "cache")})
    data.reference_split = "reference"
    return data


def open_all(folder):
    data = set_data(default.get_config().data, folder)
    return {split: open_split(data, split) for split in SPLITS}


def fails(folder):
    with pytest.raises(UserError) as caught:
        open_all(folder)
    return str(caught.value)


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """(data directory, rows of its lists), not prepared."""
    folder = tmp_path_factory.mktemp("official")
    return folder, drawn_faces.make_affectnet(folder / affectnet.AFFECTNET_DIR)


@pytest.fixture(scope="module")
def prepared(official, tmp_path_factory):
    folder = tmp_path_factory.mktemp("affectnet") / "data"
    shutil.copytree(official[0], folder)
    return folder, open_all(folder)


@pytest.fixture
def copy(official, tmp_path):
    """A copy to be damaged: (data directory, where the files are, rows of the lists)."""
    folder = tmp_path / "copy"
    shutil.copytree(official[0], folder)
    return folder, folder / affectnet.AFFECTNET_DIR, official[1]


def centroid(weight):
    """(x, y) of the mean of places weighted by [64, 64], in pixels."""
    rows, columns = np.indices(weight.shape) + 0.5
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


@pytest.mark.slow
def test_eyes_and_mouth_of_all_faces_are_at_the_same_place(prepared):
    images = np.concatenate([part.image for part in prepared[1].values()]).astype(int)
    shape = drawn_faces.template()
    target = affectnet.target_shape(shape[None])
    for colour, points in ((0, affectnet.LEFT_EYE), (2, affectnet.RIGHT_EYE)):
        others = images[..., [c for c in range(3) if c != colour]].max(axis=-1)
        weight = np.maximum(images[..., colour] - others - 60, 0)
        places = np.array([centroid(w) for w in weight])
        np.testing.assert_allclose(places, target[points].mean(axis=0) + 0 * places, atol=0.25)
    assert target[affectnet.LEFT_EYE, 0].max() < 32 < target[affectnet.RIGHT_EYE, 0].min()


def test_every_label_is_what_the_face_shows(prepared):
    x, y = affectnet.target_shape(drawn_faces.template()[None])[60:].mean(axis=0).astype(int)
    for name, part in prepared[1].items():
        shown = part.image[:, y, x, 1] / drawn_faces.GREEN
        np.testing.assert_allclose(shown, part.label, atol=0.2)
        expected = {0} if name == "reference" else set(range(1, 8))
        assert set(part.label) == expected and part.class_names == lists.EXPRESSIONS


def test_sizes_and_no_image_in_two_splits(prepared):
    sizes = {name: len(part.label) for name, part in prepared[1].items()}
    # One face of contempt is in both lists, and counts for validation.csv.
    assert sizes == {"train": 42, "reference": 12, "validation": 14, "probe_train": 14, "test": 21}
    for name in ("validation", "probe_train", "test"):
        assert len(set(np.bincount(prepared[1][name].label)[1:])) == 1
    images = np.concatenate([part.image for part in prepared[1].values()])
    assert len(np.unique(images.reshape(len(images), -1), axis=0)) == len(images) == 103


@pytest.mark.slow
def test_one_folder_another_order_and_no_first_line_give_the_same(prepared, copy):
    folder, files, rows = copy
    shutil.rmtree(files / drawn_faces.LISTS)
    for path in (files / drawn_faces.IMAGES).iterdir():
        path.rename(files / path.name)
    (files / drawn_faces.IMAGES).rmdir()
    drawn_faces.write_list(files / "training.csv", rows["training"][::-1])
    drawn_faces.write_list(files / "validation.csv", rows["validation"][::-1], header=())
    for name, part in open_all(folder).items():
        np.testing.assert_array_equal(part.image, prepared[1][name].image)
        np.testing.assert_array_equal(part.label, prepared[1][name].label)


def test_own_reference_faces_are_aligned_too(tmp_path):
    rows = drawn_faces.make_rows(tmp_path / "reference", "c", {0: 5}, np.random.default_rng(1))
    cells = [[row[0], row[5]] for row in rows]
    drawn_faces.write_list(tmp_path / "reference" / "landmarks.csv", cells, ("path", "landmarks"))
    shape = affectnet.target_shape(drawn_faces.template()[None])
    found = affectnet.reference(tmp_path, tmp_path, None, shape)
    assert sorted(found.path) == sorted(row[0] for row in rows) and not any(found.label)
    faces = np.stack([found.read(row)[16:48, 16:48] for row in range(5)]).astype(int)
    assert np.abs(faces - faces[0]).mean() < 4


def test_reference_faces_that_are_cropped_are_only_resized(tmp_path):
    (tmp_path / "reference").mkdir()
    drawn_faces.Image.new("L", (200, 100), 77).save(tmp_path / "reference" / "grey.png")
    found = affectnet.reference(tmp_path, tmp_path, None, None)
    assert found.path == ["grey.png"] and found.label == [0]
    assert (found.read(0) == 77).all() and found.read(0).shape == (64, 64, 3)


def test_scores_have_the_columns_of_the_papers_table(prepared):
    config = affectnet_rbvae.get_config("smoke")
    set_data(config.data, prepared[0])
    parts = splits.comparable(splits.open_splits(config))
    assert parts.test.class_names == SEVEN
    assert (*SEVEN, "average") == tuple(published.TABLE["affectnet"].split()[:8])
    assert ground_truth.expected_latents("reference", parts) == {"label": "target"}


def test_training_sees_neutral_faces_beside_the_others(prepared):
    config = affectnet_rbvae.get_config("smoke")
    set_data(config.data, prepared[0])
    sets = batches.training_sets(config, "reference", splits.open_splits(config))
    assert {name: len(fields["image"]) for name, fields in sets.items()} == {
        "unlabelled": 42,
        "reference": 12,
    }
    batch = next(batches.training_batches(sets, config, first_step=0))
    assert batch["reference"]["image"].shape == batch["unlabelled"]["image"].shape == (8, 64, 64, 3)


def test_forms_of_the_baselines():
    for method, fields in affectnet_rbvae.BASELINES.items():
        config, narrow = (affectnet_rbvae.get_config(method + form) for form in ("", "-cpu"))
        assert config.method.name == narrow.method.name == method
        assert fields.items() <= config.method.to_dict().items()
        assert config.num_train_steps == 83_334 and narrow.num_train_steps == 3_000
    with pytest.raises(UserError, match="no form 'beta'"):
        affectnet_rbvae.get_config("beta")


def test_nothing_there(tmp_path):
    message = fails(tmp_path)
    for word in ("validation.csv", "training.csv", "Manually_Annotated_Images", "same command"):
        assert word in message
    assert str(tmp_path / affectnet.AFFECTNET_DIR) in message and "mohammadmahoor.com" in message


def test_a_list_or_the_images_missing(copy):
    folder, files, _ = copy
    shutil.move(files / drawn_faces.IMAGES, files / "elsewhere")
    assert "none of the first images" in fails(folder)
    (files / drawn_faces.LISTS / "training.csv").unlink()
    assert "holds no training.csv" in fails(folder)


@pytest.mark.slow
def test_few_absent_images_are_named_many_are_an_error(copy, capsys):
    folder, files, rows = copy
    (files / drawn_faces.IMAGES / rows["validation"][-1][0]).write_bytes(b"no image")
    parts = open_all(folder)
    assert len(parts["test"].label) == 20 and "1 of 21 images" in capsys.readouterr().out
    for row in rows["validation"][-3:]:
        (files / drawn_faces.IMAGES / row[0]).unlink()
    faces = lists.read_faces(files / drawn_faces.LISTS / "validation.csv")
    found = affectnet.aligned(files / drawn_faces.IMAGES, faces, drawn_faces.template())
    with pytest.raises(UserError, match=r"At least 2 of 23 images .*No such file"):
        list(read_each(found.path, found.read, found.folder))


def test_no_reference_faces(copy):
    folder, files, rows = copy
    (files / "reference").mkdir()
    assert "no reference faces" in fails(folder)
    (files / "reference" / "landmarks.csv").write_text("path,landmarks\n")
    assert "no reference faces" in fails(folder)
    shutil.rmtree(files / "reference")
    some = [row for row in rows["training"] if row[6]]
    drawn_faces.write_list(files / drawn_faces.LISTS / "training.csv", some)
    assert "no reference faces" in fails(folder)


def test_too_few_expressions(copy):
    folder, files, rows = copy
    for shown, named in (((), "has none"), ((0, 1), "has happiness")):
        some = [row for row in rows["validation"] if row[6] in shown]
        drawn_faces.write_list(files / drawn_faces.LISTS / "validation.csv", some)
        message = fails(folder)
        assert "Fewer than two of the seven" in message and named in message
