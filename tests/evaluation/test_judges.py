"""Judges: trained once for the same images, read from disk after that, left when nobody waits."""

import numpy as np
import pytest

from refvae_jax.data.cache import ImageSet
from refvae_jax.data.readers.source import Factors
from refvae_jax.evaluation import judges, kept
from refvae_jax.metrics import image_network


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Judges of these tests only, which take a few steps to train."""
    monkeypatch.setattr(kept, "cache_folder", lambda name: tmp_path / name)
    monkeypatch.setattr(image_network, "MIN_STEPS", 3)
    monkeypatch.setattr(image_network, "MAX_STEPS", 3)
    return tmp_path / "judges"


@pytest.fixture
def fits(monkeypatch):
    """The seeds of the judges that were trained, one by one."""
    found, fit = [], image_network.fit

    def noted(images, targets, num_outputs, loss, seed, before_step):
        found.append(seed)
        return fit(images, targets, num_outputs, loss, seed, before_step)

    monkeypatch.setattr(image_network, "fit", noted)
    return found


@pytest.fixture
def train():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 8, 8, 1)).astype(np.uint8)
    none = Factors(np.zeros((40, 0)), (), np.zeros((40, 0), np.int32), {})
    return ImageSet(image, rng.integers(0, 3, 40).astype(np.int32), ("a", "b", "c"), none)


def labels_of(train, seed=0):
    with judges.trained_beside(train, seed) as classifiers:
        assert classifiers.categorical is None and classifiers.continuous is None
        return classifiers.label(train.image)


def test_the_second_time_it_is_read(train, fits):
    labels = labels_of(train)
    assert len(set(labels)) > 1 and fits == [0]
    np.testing.assert_array_equal(labels_of(train), labels)
    assert fits == [0]
    assert not np.array_equal(labels_of(train, seed=1), labels)
    assert fits == [0, 1]


def flipped(data):
    """With one bit of the largest array changed, which is in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [lambda data: data[:-100], lambda data: b"", flipped])
def test_a_damaged_file_is_made_again(train, fits, own_folder, damage):
    labels = labels_of(train)
    (file,) = own_folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    np.testing.assert_array_equal(labels_of(train), labels)
    assert fits == [0, 0] and len(file.read_bytes()) == len(whole)


def test_a_file_of_another_form_is_no_judge(tmp_path):
    wanted = {"a": np.zeros(3, np.float32), "b": np.zeros((2, 2), np.float32)}
    np.savez(tmp_path / "x.npz", *wanted.values())
    assert judges.read(tmp_path / "x.npz", wanted).keys() == wanted.keys()
    for other in ({"a": wanted["a"]}, wanted | {"c": wanted["a"]}, wanted | {"b": wanted["a"]}):
        assert judges.read(tmp_path / "x.npz", other) is None


def test_where_nothing_can_be_kept_it_is_trained(train, fits, own_folder, capsys):
    own_folder.write_text("no folder")
    assert len(labels_of(train)) == 40
    assert "warning: the judges cannot be kept" in capsys.readouterr().out


def test_what_nobody_waits_for_is_left(train, fits, own_folder, monkeypatch):
    for bound in ("MIN_STEPS", "MAX_STEPS"):
        monkeypatch.setattr(image_network, bound, 10**7)  # Days.
    with judges.trained_beside(train, 0):
        pass
    assert not own_folder.exists()
