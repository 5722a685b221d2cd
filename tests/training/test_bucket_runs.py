"""Runs in a bucket, on an emulator: killed and resumed, damaged, read where they are."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import tempfile

import jax
import numpy as np
import pytest

import refvae_jax
from refvae_jax import __main__, bucket_lock, buckets, files, run
from refvae_jax.errors import UserError, explain_disk_errors
from refvae_jax.evaluation.score import Score
from refvae_jax.training import bucket_checkpoints, checkpoint, journal
from refvae_jax.training.run_folder import CHECKPOINT_DIR, MANIFEST
from refvae_jax.training.scratch import scratch_folder
from tests.bucket_emulator import PRIVATE, READ_ONLY
from tests.conftest import ROOT
from tests.training.test_checkpoint import RECORD, make_state


def save_all(workdir, errors, keep_last=10, keep_every_steps=0, before_commit=lambda: None):
    """Saves {step: validation error or None}."""
    checkpoints = bucket_checkpoints.BucketCheckpoints(
        workdir, keep_last, keep_every_steps, lambda: None, before_commit
    )
    for step, error in errors.items():
        metrics = None if error is None else {"recon": error}
        checkpoints.save(make_state(step, scale=step), RECORD, metrics)
    checkpoints.close()


def restored(workdir):
    checkpoint.move_damaged(workdir)
    checkpoints = bucket_checkpoints.BucketCheckpoints(workdir, 10, 0, lambda: None, lambda: None)
    template = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), make_state(0))
    got = checkpoints.restore(template)
    checkpoints.close()
    return got


def test_what_was_saved_comes_back_to_the_bit(bucket):
    assert restored(bucket) is None
    save_all(bucket, {3: None, 7: None})
    got, expected = restored(bucket), make_state(7, scale=7)
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, got, expected)


@pytest.mark.parametrize(("keep_last", "keep_every_steps"), [(2, 0), (1, 6), (3, 4)])
def test_the_same_checkpoints_are_kept_as_on_a_disk(tmp_path, keep_last, keep_every_steps):
    errors = {2: 5.0, 4: 1.0, 6: 3.0, 8: None, 10: 4.0, 12: 1.0, 14: None, 16: 2.0}
    local = checkpoint.Checkpoints(tmp_path, keep_last, keep_every_steps)
    found: list[int] = []
    for step, error in errors.items():
        local.save(make_state(step), RECORD, None if error is None else {"recon": error})
        known = {s: e for s, e in errors.items() if s <= step and e is not None}
        found = sorted(
            bucket_checkpoints.kept(
                [*found, step],
                {s: known[s] for s in [*found, step] if s in known},
                keep_last,
                keep_every_steps,
            )
        )
    local.close()
    assert checkpoint.steps(tmp_path) == found


def test_the_last_the_best_and_the_regular_are_kept(bucket):
    save_all(bucket, {2: 5.0, 4: 1.0, 6: 3.0, 8: 2.0}, keep_last=1, keep_every_steps=6)
    assert checkpoint.steps(bucket) == [4, 6, 8]
    names = {name.split("/")[1] for name in buckets.files_below(bucket)}
    assert names == {"4", "6", "8"}  # Nothing is left of the others.
    assert [checkpoint.load(bucket, step)[2] for step in ("best", "last", 6)] == [4, 8, 6]


def test_a_checkpoint_counts_when_all_before_it_is_there(bucket):
    def killed():
        assert checkpoint.steps(bucket) == [3]  # Its files are uploaded, but it does not count.
        assert any("/7/" in name for name in buckets.files_below(bucket))
        raise KeyboardInterrupt

    save_all(bucket, {3: None})
    with pytest.raises(KeyboardInterrupt):
        save_all(bucket, {7: None}, before_commit=killed)
    assert checkpoint.steps(bucket) == [3]
    assert int(restored(bucket).step) == 3
    assert not any("/7/" in name for name in buckets.files_below(bucket))
    save_all(bucket, {7: None})
    assert int(restored(bucket).step) == 7


def largest(folder):
    """The path of the largest object of a checkpoint, its arrays."""
    names = [name for name in buckets.files_below(folder) if name != MANIFEST]
    sizes = {name: (folder / name).stat().length for name in names}
    return folder / max(sizes, key=sizes.get)


@pytest.mark.parametrize("harm", ["flip", "remove", "no manifest"])
def test_falls_back_to_the_one_before(bucket, harm, capsys):
    save_all(bucket, {3: 2.0, 7: 1.0})
    newest = bucket / CHECKPOINT_DIR / "7"
    if harm == "flip":
        content = bytearray(largest(newest).read_bytes())
        content[len(content) // 2] ^= 1
        buckets.write_bytes(largest(newest), bytes(content))
    elif harm == "remove":
        largest(newest).unlink()
    else:
        (newest / MANIFEST).unlink()
    assert checkpoint.load(bucket)[2] == 3
    assert int(restored(bucket).step) == 3
    assert "checkpoint 7" in capsys.readouterr().out
    assert buckets.files_below(bucket / "damaged" / "7")
    save_all(bucket, {7: 0.5})  # The run reaches it again.
    assert int(restored(bucket).step) == 7


@pytest.mark.parametrize("wrong", [errno.ENOSPC, errno.EACCES])
def test_an_error_on_the_way_moves_nothing(bucket, monkeypatch, wrong):
    def broken(names, folder, into):
        if list(names) != [MANIFEST]:
            raise OSError(wrong, os.strerror(wrong))
        download(names, folder, into)

    save_all(bucket, {3: None, 7: None})
    download = buckets.download
    monkeypatch.setattr(buckets, "download", broken)
    words = f"Cannot use {tempfile.gettempdir()}/refvae-.*: {os.strerror(wrong)}"
    with pytest.raises(UserError, match=words), explain_disk_errors({}):
        checkpoint.move_damaged(bucket)
    assert checkpoint.steps(bucket) == [3, 7]


def test_an_error_on_the_way_hides_no_validation_error(bucket, monkeypatch):
    def broken(path):
        if path.parts[-3:-1] == ("3", "metrics"):
            raise ConnectionResetError
        return read_text(path)

    save_all(bucket, {3: 1.0, 5: 2.0, 7: None})
    assert checkpoint.validation_errors(bucket) == {3: 1.0, 5: 2.0}
    read_text = type(bucket).read_text
    monkeypatch.setattr(type(bucket), "read_text", broken)
    with pytest.raises(ConnectionResetError):
        checkpoint.load(bucket)
    with pytest.raises(ConnectionResetError):
        save_all(bucket, {9: None}, keep_last=1)
    assert 3 in checkpoint.steps(bucket), "the best one"


def test_a_run_that_lost_its_folder_writes_no_more_of_a_checkpoint(bucket, monkeypatch):
    def check():
        if buckets.files_below(bucket):
            raise UserError("lost")

    monkeypatch.setattr(buckets, "_SIDE_BY_SIDE", 1)
    checkpoints = bucket_checkpoints.BucketCheckpoints(bucket, 1, 0, check, lambda: None)
    checkpoints.save(make_state(3), RECORD)
    with pytest.raises(UserError, match="lost"):
        checkpoints.close()
    assert len(buckets.files_below(bucket)) == 1


def test_rows_that_are_written_during_an_upload_are_not_part_of_it(bucket, monkeypatch):
    def meanwhile(found, folder, check_ours):
        files.append_json_line({"step": 2}, written._folder / "metrics.jsonl")
        upload(found, folder, check_ours)

    written, upload = journal.Journal(bucket), buckets.upload
    files.append_json_line({"step": 1}, written._folder / "metrics.jsonl")
    monkeypatch.setattr(buckets, "upload", meanwhile)
    written.upload()
    assert files.read_json_lines(bucket / "metrics.jsonl") == [{"step": 1}]
    monkeypatch.undo()
    written.close()
    assert files.read_json_lines(bucket / "metrics.jsonl") == [{"step": 1}, {"step": 2}]


def test_what_dead_processes_left_on_the_disk_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = subprocess.Popen(["true"])
    dead.wait()
    with scratch_folder() as ours:
        name = ours.name.replace(str(os.getpid()), "{}")
        left, of_parent = (tmp_path / name.format(pid) for pid in (dead.pid, os.getppid()))
        elsewhere = tmp_path / f"refvae-0-{dead.pid}-x"
        for folder in (left, of_parent, elsewhere):
            folder.mkdir()
            (folder / "file").touch()
        with scratch_folder():
            assert ours.exists() and of_parent.exists() and elsewhere.exists()
            assert not left.exists()


# Trains until it kills itself when the files of one step are uploaded, but not committed.
KILLED = """
import os, signal, sys
import jax
from configs import quickstart
from refvae_jax import files, run
from refvae_jax.training import bucket_checkpoints, journal

upload = journal.Journal.upload

def interrupted(self):
    upload(self)
    if any("checkpoints/12/" in name for name in bucket_checkpoints.buckets.files_below(workdir)):
        os.kill(os.getpid(), signal.SIGKILL)

journal.Journal.upload = interrupted
jax.config.update("jax_disable_most_optimizations", True)  # As in the test's own process.
workdir = files.user_path(sys.argv[1])
config = quickstart.get_config("smoke")
config.checkpoint_every_steps = 4
run.run(config, workdir)
"""


def test_a_killed_run_resumes_bit_identically(trained, config, bucket, monkeypatch):
    config.checkpoint_every_steps = 4
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(bucket)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert checkpoint.steps(bucket)[-1] == 10 and (bucket / ".lock").exists()
    monkeypatch.setattr("refvae_jax.evaluation.evaluate.evaluate", lambda *_, **__: None)
    monkeypatch.setattr("refvae_jax.figures.draw.draw", lambda *_, **__: None)
    run.run(config, bucket)  # At once: the process that held the lock is gone.

    left, right = (checkpoint.load(w, "last")[0] for w in (trained, bucket))
    jax.tree.map(np.testing.assert_array_equal, left, right)
    assert (bucket / "metrics.jsonl").read_bytes() == (trained / "metrics.jsonl").read_bytes()
    assert any("tfevents" in name for name in buckets.files_below(bucket))
    assert not (bucket / ".lock").exists()
    config.method.k = 3.0
    with pytest.raises(UserError, match=r"config\.method\.k was 2\.0, is 3\.0"):
        run.run(config, bucket)


@pytest.fixture
def copied(trained, bucket):
    """The trained run, copied into a bucket."""
    found = {str(p.relative_to(trained)): p for p in trained.rglob("*") if p.is_file()}
    buckets.upload(found, bucket / "run")
    return bucket / "run"


def test_a_run_in_a_bucket_is_read_where_it_is(trained, copied, capsys):
    images = np.zeros((2, 32, 32, 1), np.uint8)
    here, there = (refvae_jax.load(str(w)).reconstruct(images) for w in (trained, copied))
    np.testing.assert_array_equal(here, there)
    assert __main__.main(["table", str(trained)]) == 0
    wanted = capsys.readouterr().out
    assert __main__.main(["table", str(copied.parent)]) == 0
    assert capsys.readouterr().out == wanted


def test_a_run_in_a_bucket_is_scored_and_drawn_there(copied, config, monkeypatch):
    """What a score or a figure is made of is tested elsewhere; here: what is read and written."""

    def lost(lease):
        raise UserError("lost")

    score = Score(0.5, "strong_accuracy", "mean", "higher", 0.1, "content", "label")
    drawn = {"swaps": np.zeros((4, 4, 3), np.uint8)}
    monkeypatch.setattr("refvae_jax.evaluation.evaluate.score_model", lambda *_: [score])
    no_judges = contextlib.nullcontext(None)
    monkeypatch.setattr("refvae_jax.evaluation.judges.trained_beside", lambda *_: no_judges)
    monkeypatch.setattr("refvae_jax.evaluation.evaluate.Scorer.__init__", lambda *_: None)
    monkeypatch.setattr("refvae_jax.evaluation.evaluate.Scorer.scores", lambda *_: [score])
    makers = {"swaps": lambda: drawn["swaps"]}
    monkeypatch.setattr("refvae_jax.figures.draw.still_makers", lambda *_, **__: makers)
    monkeypatch.setattr("refvae_jax.figures.draw.animation_makers", lambda *_, **__: {})
    monkeypatch.setattr("refvae_jax.figures.grids.still_pictures", lambda *_, **__: drawn)
    for name in ("results.json", "figures/swaps.png"):
        (copied / name).unlink()
    run.run(config, copied, "eval")
    assert json.loads((copied / "results.json").read_text())["scores"][score.name]["value"] == 0.5
    run.run(config, copied, "figures")
    assert (copied / "figures" / "swaps.png").exists()
    page = (copied / "report.html").read_text(encoding="utf-8")
    assert "content/label/strong_accuracy" in page and page.count("<img ") == 8
    for _ in range(2):  # The second time there is nothing left to score.
        assert __main__.main(["curve", str(copied)]) == 0
        rows = files.read_json_lines(copied / "curve.jsonl")
        assert [row["step"] for row in rows] == [10, 20]
    assert (copied / "figures" / "curve.png").exists()
    monkeypatch.setattr(bucket_lock.Lease, "check", lost)
    for mode, name in (("eval", "results.json"), ("figures", "figures/swaps.png")):
        (copied / name).unlink()
        with pytest.raises(UserError, match="lost"):
            run.run(config, copied, mode)
        assert not (copied / name).exists()
    out = copied.parent / "side_by_side"
    assert __main__.main(["compare", str(copied), f"--out={out}"]) == 0
    assert buckets.files_below(out) == ["swaps.png"]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("gs://nowhere/run", "There is no bucket 'nowhere'"),
        (f"gs://{PRIVATE}/run", "gcloud auth application-default login"),
        (f"gs://{READ_ONLY}/run", "role Storage Object User"),
        ("gs:/bucket/run", "one slash after gs:"),
    ],
)
def test_a_place_where_no_workdir_can_be_is_one_sentence(emulator, config, address, words):
    with pytest.raises(UserError, match=words):
        run.run(config, address)


@pytest.mark.parametrize(
    "arguments",
    [["table", "s3://b/run"], ["compare", "gs:/b/run"], ["curve", "gs://nowhere/run"]],
)
def test_a_verb_says_in_one_sentence_what_is_wrong(emulator, arguments, capsys):
    assert __main__.main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")
