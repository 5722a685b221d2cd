"""Models in two files: what is kept of them, and what is said of those that cannot be read."""

import json

import jax
import numpy as np
import pytest

from refvae_jax import packed
from refvae_jax.errors import UserError
from refvae_jax.inference import read
from tests.small_methods import SHAPE, WITH_DISCRIMINATOR, make_method

DESCRIPTION = {"format": packed.FORMAT, "step": 7, "latents": {}, "record": {}, "results": None}


def variables():
    """As of a Method with a discriminator, and a decoder without batch statistics."""
    encoder = {"Conv_0": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}
    params = {"model": {"encoder": encoder, "e_ref": np.ones(2, np.float32)}}
    mutable = {"model": {"encoder": {"mean": np.zeros(3, np.float32)}, "decoder": {}}}
    return {
        "params": params | {"discriminator": {"bias": np.ones(1)}},
        "mutable": mutable | {"discriminator": {}},
    }


def without_discriminator(tree):
    return {kind: {"model": players["model"]} for kind, players in tree.items()}


def test_writing_and_reading_gives_the_same_model_without_discriminator(tmp_path):
    whole = variables()
    packed.write(tmp_path, whole, DESCRIPTION)
    description, arrays = packed.read(tmp_path)
    assert description["step"] == 7
    assert sorted(arrays) == [
        "mutable/model/encoder/mean",
        "params/model/e_ref",
        "params/model/encoder/Conv_0/kernel",
    ]
    back = packed.unflattened(arrays, whole)
    wanted = without_discriminator(whole)
    assert jax.tree.structure(back) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, back, wanted)


def test_parameters_of_other_networks_are_named():
    arrays = packed.flattened(variables())
    other = variables()
    other["params"]["model"]["e_ref"] = np.ones(3)
    with pytest.raises(UserError, match=r"params/model/e_ref has the shape \(2,\), not \(3,\)\)"):
        packed.unflattened(arrays, other)
    del other["params"]["model"]["e_ref"]
    with pytest.raises(UserError, match=r"e_ref has the shape \(2,\), not None"):
        packed.unflattened(arrays, other)


@pytest.mark.parametrize("name", WITH_DISCRIMINATOR)
def test_no_method_needs_its_discriminator_to_encode_and_decode(name):
    method = make_method(name)
    kept = without_discriminator(jax.eval_shape(method.init, jax.random.key(0)))
    image = jax.ShapeDtypeStruct((2, *SHAPE), np.float32)
    latents = jax.eval_shape(method.encode, kept, image)
    codes = {latent: q.mean for latent, q in latents.items()}
    assert jax.eval_shape(method.decode, kept, codes).shape == image.shape


@pytest.fixture
def folder(tmp_path):
    """A packed model that says it was written after 7 steps."""
    description = DESCRIPTION | {"versions": {"refvae_jax": "9.1"}}
    packed.write(tmp_path, variables(), description)
    return tmp_path


def test_a_cut_or_changed_file_is_named(folder):
    path = folder / packed.ARRAYS
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 3] ^= 1
    for damaged in (content[: len(content) // 2], b"", bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"parameters\.npz is damaged \(.*export the model"):
            packed.read(folder)
    for text in ("{", "[]", "{}"):
        (folder / packed.DESCRIPTION).write_text(text)
        with pytest.raises(UserError, match=r"model\.json is damaged \("):
            packed.read(folder)


def test_a_newer_form_is_refused(folder):
    path = folder / packed.DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": packed.FORMAT + 1}))
    with pytest.raises(UserError, match=r"written by refvae_jax 9\.1, in a form that is newer"):
        packed.read(folder)


def test_a_folder_without_both_files_may_be_a_run(folder):
    assert packed.packed_folder(folder) == folder
    (folder / packed.ARRAYS).unlink()
    assert packed.packed_folder(folder) is None
    assert packed.packed_folder("gs://bucket/run") is None


def test_there_is_one_step(folder):
    with pytest.raises(UserError, match=r"has one checkpoint, 7: leave out the step 8"):
        read(folder, 8)
