"""Checkpoints: exact, verified, and the one before where the newest is damaged."""

import contextlib
import errno
import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from refvae_jax.errors import UserError
from refvae_jax.training import checkpoint, checkpoint_folder, state
from refvae_jax.training.run_folder import MANIFEST

RECORD = {"config": {"seed": 0}, "image_shape": [2, 2, 1], "num_train_images": 3}


def make_state(step, scale=1.0):
    params = {"model": {"w": jnp.arange(5.0) * scale, "b": jnp.array([0.1]) / 3}}
    tx = {"model": optax.adam(1e-3)}
    made = state.create({"params": params, "mutable": {"model": {"m": jnp.ones(2)}}}, tx)
    return made._replace(step=jnp.array(step, jnp.int32))


def save_all(workdir, errors, keep_last=10, keep_every_steps=0):
    """Saves {step: validation error or None}."""
    checkpoints = checkpoint.Checkpoints(workdir, keep_last, keep_every_steps)
    for step, error in errors.items():
        metrics = None if error is None else {"recon": error}
        checkpoints.save(make_state(step, scale=step), RECORD, metrics)
    checkpoints.close()


def restored(workdir):
    checkpoint.move_damaged(workdir)
    checkpoints = checkpoint.Checkpoints(workdir, 10, 0)
    template = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), make_state(0))
    got = checkpoints.restore(template)
    checkpoints.close()
    return got


def test_what_was_saved_comes_back_to_the_bit(tmp_path):
    save_all(tmp_path, {3: None, 7: None})
    got, expected = restored(tmp_path), make_state(7, scale=7)
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, got, expected)


def test_nothing_saved_restores_to_none(tmp_path):
    assert restored(tmp_path) is None


def test_keeps_the_last_the_best_and_the_regular(tmp_path):
    errors = {2: 5.0, 4: 1.0, 6: 3.0, 8: None, 10: 4.0, 12: 2.0}
    save_all(tmp_path / "a", errors, keep_last=2)
    assert checkpoint.steps(tmp_path / "a") == [4, 10, 12]
    save_all(tmp_path / "b", errors, keep_last=1, keep_every_steps=6)
    assert checkpoint.steps(tmp_path / "b") == [4, 6, 12]
    assert checkpoint.load(tmp_path / "b", "best")[2] == 4
    assert checkpoint.load(tmp_path / "b", "last")[2] == 12
    assert checkpoint.load(tmp_path / "b", 6)[2] == 6


def test_load_gives_numpy_and_the_record(tmp_path):
    save_all(tmp_path, {4: 1.0})
    variables, record, step = checkpoint.load(tmp_path)
    assert step == 4 and record == RECORD
    assert isinstance(variables["params"]["model"]["w"], np.ndarray)
    np.testing.assert_array_equal(variables["params"]["model"]["w"], np.arange(5.0) * 4)
    np.testing.assert_array_equal(variables["mutable"]["model"]["m"], np.ones(2))


def test_missing_checkpoint_says_what_there_is(tmp_path):
    (tmp_path / "config.json").write_text('{"method": {}, "data": {}}')
    with pytest.raises(UserError, match="it has none"):
        checkpoint.load(tmp_path)
    save_all(tmp_path, {4: None})
    for wrong in (5, "newest"):
        with pytest.raises(UserError, match=rf"no checkpoint {wrong!r}: name one of 4, or"):
            checkpoint.load(tmp_path, wrong)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("pristine")
    save_all(workdir, {3: 2.0, 7: 1.0})
    return workdir


def all_files(workdir):
    folder = workdir / checkpoint.CHECKPOINT_DIR / "7"
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size)


def test_every_flipped_bit_is_noticed(pristine, tmp_path):
    """One bit in the middle of each file: the damage is noticed."""
    checked = 0
    for index, file in enumerate(all_files(pristine)):
        workdir = shutil.copytree(pristine, tmp_path / str(index))
        target = workdir / file.relative_to(pristine)
        if target.name == "commit_success.txt" and target.parent.name == "7":
            continue  # Orbax's own mark, which nobody reads here.
        data = bytearray(target.read_bytes())
        data[len(data) // 2] ^= 4
        target.write_bytes(data)
        assert checkpoint.damage(workdir / checkpoint.CHECKPOINT_DIR / "7"), file
        checked += 1
    assert checked > 10


def test_damaged_metrics_hide_no_other_checkpoint(pristine, tmp_path):
    workdir = shutil.copytree(pristine, tmp_path / "run")
    (workdir / checkpoint.CHECKPOINT_DIR / "7" / "metrics" / "metrics").write_text('{"rec')
    assert checkpoint.load(workdir, "best")[2] == 3


def test_a_damaged_checkpoint_that_was_named(pristine, tmp_path):
    workdir = shutil.copytree(pristine, tmp_path / "run")
    (workdir / checkpoint.CHECKPOINT_DIR / "7" / MANIFEST).unlink()
    with pytest.raises(UserError, match=r"Checkpoint 7 of .* is damaged: name one of 3, or"):
        checkpoint.load(workdir, 7)
    (workdir / checkpoint.CHECKPOINT_DIR / "3" / MANIFEST).unlink()
    with pytest.raises(UserError, match="all of 7, 3 are damaged"):
        checkpoint.load(workdir)


def test_the_best_is_the_newest_where_those_validated_are_damaged(tmp_path):
    save_all(tmp_path, {2: None, 4: 1.0, 6: None, 8: 2.0})
    for damaged, best in [(None, 4), (4, 8), (8, 6), (6, 2)]:
        if damaged:
            (tmp_path / checkpoint.CHECKPOINT_DIR / str(damaged) / MANIFEST).unlink()
        assert checkpoint.load(tmp_path)[2] == best


@pytest.mark.parametrize("harm", ["flip", "truncate", "remove", "no manifest", "half-written"])
def test_falls_back_to_the_one_before(pristine, tmp_path, harm, capsys):
    workdir = shutil.copytree(pristine, tmp_path / "run")
    newest = workdir / checkpoint.CHECKPOINT_DIR / "7"
    data = max(all_files(workdir), key=lambda p: p.stat().st_size)
    if harm == "flip":
        content = bytearray(data.read_bytes())
        content[100] ^= 1
        data.write_bytes(content)
    elif harm == "truncate":
        data.write_bytes(data.read_bytes()[:-10])
    elif harm == "remove":
        data.unlink()
    elif harm == "no manifest":
        (newest / MANIFEST).unlink()
    else:
        newest.rename(newest.with_name("7.orbax-checkpoint-tmp"))
    _, _, step = checkpoint.load(workdir)
    assert step == 3
    assert int(restored(workdir).step) == 3
    if harm != "half-written":
        assert "checkpoint 7 is damaged" in capsys.readouterr().out
        assert (workdir / "damaged" / "7").exists()
    save_all(workdir, {7: 0.5})  # The run reaches it again.
    assert int(restored(workdir).step) == 7


@pytest.mark.parametrize(("code", "moved"), [(errno.EIO, True), (errno.EACCES, False)])
def test_only_what_a_disk_has_lost_is_damaged(pristine, tmp_path, monkeypatch, code, moved):
    def broken(folder):
        raise OSError(code, os.strerror(code))

    workdir = shutil.copytree(pristine, tmp_path / "run")
    monkeypatch.setattr(checkpoint_folder, "_digests", broken)
    with contextlib.nullcontext() if moved else pytest.raises(PermissionError):
        checkpoint.move_damaged(workdir)
    assert checkpoint.steps(workdir) == ([] if moved else [3, 7])


def test_manifest_is_committed_with_the_data(pristine):
    """It lists every file, so that none can be added, lost or changed unseen."""
    folder = pristine / checkpoint.CHECKPOINT_DIR / "7"
    manifest = json.loads((folder / MANIFEST).read_text())
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert names - manifest.keys() <= {MANIFEST, "commit_success.txt"}
    (folder / "extra").write_text("x")
    assert "extra" in checkpoint.damage(folder)
    (folder / "extra").unlink()
    assert not checkpoint.damage(folder)
