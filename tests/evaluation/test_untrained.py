"""Scores of untrained models: one file for runs that begin alike, another for any difference."""

import types

import numpy as np
import pytest

from refvae_jax.data.cache import ImageSet
from refvae_jax.data.readers.source import Factors
from refvae_jax.data.splits import Splits
from refvae_jax.evaluation import kept, untrained


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "cache_folder", lambda name: tmp_path / name)


def model(supervision="group", factor=2.0):
    return types.SimpleNamespace(
        method=types.SimpleNamespace(supervision=supervision),
        encode=lambda images: {"z": images.astype(np.float32).mean((1, 2)) * factor},
    )


def images(value=1, label=0, factor=0.5):
    known = Factors(np.full((3, 1), factor), ("size",), np.zeros((3, 0), np.int32), {})
    image = np.full((3, 4, 4, 1), value, np.uint8)
    return ImageSet(image, np.array([0, 1, label], np.int32), ("a", "b"), known)


def splits(**parts):
    names = ("train", "validation", "probe_train", "test")
    return Splits(**{"reference": None} | {name: images() for name in names} | parts)


def path(model=model(), weight=1.0, splits=splits(), seed=0):  # noqa: B008
    return untrained.path_of(model, {"params": {"w": np.float32(weight)}}, splits, seed)


def test_whatever_the_scores_depend_on_leads_to_another_file():
    others = [
        path(model("reference")),
        path(model(factor=3.0)),  # The same parameters, used otherwise.
        path(weight=2.0),
        path(seed=1),
        *(path(splits=splits(test=images(**{what: 2}))) for what in ("value", "label", "factor")),
        path(splits=splits(train=images(label=1))),  # Classifiers learn from it.
        path(splits=splits(probe_train=images(label=1))),
        path(splits=splits(validation=images(label=1))),
    ]
    assert path() == path() and len({path(), *others}) == 1 + len(others)


def test_what_is_kept_is_read():
    values = {"style/label/strong_accuracy": 1 / 3, "reconstruction/mse": float("inf")}
    assert untrained.read(path()) is None
    untrained.keep(path(), values)
    assert untrained.read(path()) == values


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a": "b"}', b'{"a": null}', b"\xff"])
def test_a_damaged_file_is_not_read(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert untrained.read(tmp_path / "file") is None
