"""Addresses of buckets, what is wrong with them, and the lock: on an emulator."""

import builtins
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from refvae_jax import bucket_lock, buckets, files
from refvae_jax.errors import UserError, bucket_problem, explain_disk_errors
from refvae_jax.training.run_folder import find_run
from tests.bucket_emulator import PRIVATE, READ_ONLY
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("s3://bucket/run", "s3:// is unknown: name a folder, or gs://BUCKET/FOLDER"),
        ("foo://bar", "foo:// is unknown"),
        ("gs:/bucket/run", "one slash after gs:"),
        ("gs://", "names no bucket"),
        ("gs:///run", "names no bucket"),
    ],
)
def test_an_address_that_is_none(text, words):
    with pytest.raises(UserError, match=words):
        files.user_path(text)


@pytest.mark.parametrize(
    "text", ["runs/a", "C:/x", "a:b/c", "/x/gs:", "runs/s3:/x", "runs/gs://x", "~nobody/x"]
)
def test_local_paths_stay_what_they_were(text):
    assert files.user_path(text) == type(files.Path())(os.path.expanduser(text))


def test_without_gcsfs_it_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **keywords):
        if name == "gcsfs":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="pip install gcsfs"):
        files.user_path("gs://bucket/run")


def test_files_are_written_whole_listed_and_moved(bucket, tmp_path):
    for name, text in {"a": "1", "b/c": "2", "b/empty": ""}.items():
        (tmp_path / "up" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "up" / name).write_text(text)
    names = ["a", "b/c", "b/empty"]
    buckets.upload({name: tmp_path / "up" / name for name in names}, bucket / "x")
    assert buckets.files_below(bucket / "x") == names
    buckets.move(bucket / "x", bucket / "y", first="b/c")
    assert not files.exists(bucket / "x") and files.is_dir(bucket / "y")
    buckets.download(names, bucket / "y", tmp_path / "down")
    assert [(tmp_path / "down" / name).read_text() for name in names] == ["1", "2", ""]
    buckets.delete(bucket / "y", first="a")
    assert buckets.files_below(bucket / "y") == []


def test_a_folder_that_is_lost_meanwhile_gets_no_further_file(bucket, tmp_path, monkeypatch):
    def check():
        if buckets.files_below(bucket):
            raise UserError("lost")

    monkeypatch.setattr(buckets, "_SIDE_BY_SIDE", 1)
    (tmp_path / "x").write_text("x")
    with pytest.raises(UserError, match="lost"):
        buckets.upload(dict.fromkeys("abc", tmp_path / "x"), bucket, check)
    assert buckets.files_below(bucket) == ["a"]


@pytest.mark.parametrize("large", [2**24, 2**18])
def test_any_bytes_come_back(bucket, tmp_path, monkeypatch, large):
    monkeypatch.setattr(buckets, "_LARGE", large)
    every = bytes(range(256))
    ends = [b"\r", b"\n", b"\r\n", b"\n--==0==--", b"\0", b"", every[::-1] * 2_500]
    contents = {str(i): every + end for i, end in enumerate(ends)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    buckets.upload({name: tmp_path / name for name in contents}, bucket)
    buckets.download(contents, bucket, tmp_path / "down")
    assert {name: (tmp_path / "down" / name).read_bytes() for name in contents} == contents


def test_json_and_lines(bucket):
    files.write_json({"a": 1}, bucket / "x.json")
    assert json.loads((bucket / "x.json").read_text()) == {"a": 1}
    assert files.read_json_lines(bucket / "rows.jsonl") == []
    for row in (1, 2):
        files.append_json_line({"row": row}, bucket / "rows.jsonl")
    assert files.read_json_lines(bucket / "rows.jsonl") == [{"row": 1}, {"row": 2}]
    with pytest.raises(ZeroDivisionError), files.atomic(bucket / "x.json") as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert json.loads((bucket / "x.json").read_text()) == {"a": 1}


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("gs://nowhere/run", "There is no bucket 'nowhere'"),
        (f"gs://{PRIVATE}/run", "gcloud auth application-default login"),
        (f"gs://{READ_ONLY}/run", "There is no run in gs://read-only/run"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(address, words):
    with pytest.raises(UserError, match=words):
        find_run(address)


def test_what_is_gone_is_one_sentence(bucket, tmp_path):
    with pytest.raises(UserError, match="no such object"), explain_disk_errors({}):
        buckets.download(["gone"], bucket, tmp_path)
    nowhere = files.user_path("gs://nowhere/codes.npz")
    with pytest.raises(UserError, match="no such bucket"), explain_disk_errors({}):
        files.write_json({}, nowhere)
    with pytest.raises(UserError, match="There is no bucket 'nowhere'"):
        files.check_writable(nowhere)


def test_what_cannot_be_written_is_one_sentence(emulator):
    lock = bucket_lock.LockObject(files.user_path(f"gs://{READ_ONLY}/run/.lock"))
    with pytest.raises(OSError, match="Forbidden") as caught:
        lock.write({}, "0")
    assert "role Storage Object User" in bucket_problem(caught.value)


def refuse():
    raise UserError("taken")


def test_a_lock_is_one_runs_alone_and_gone_after_it(bucket, monkeypatch):
    monkeypatch.setattr(bucket_lock, "RENEW_SECONDS", 0.1)
    path = bucket / ".lock"
    with bucket_lock.held(path, refuse) as lease:
        with pytest.raises(UserError, match="taken"), bucket_lock.held(path, refuse):
            pass
        lease.check()
    assert not path.exists()
    with bucket_lock.held(path, refuse):
        assert path.exists()


def test_a_stale_lock_is_taken_over_and_its_holder_notices(bucket, monkeypatch):
    path = bucket / ".lock"
    monkeypatch.setattr(bucket_lock, "RENEW_SECONDS", 1_000)  # As if stopped by SIGSTOP.
    monkeypatch.setattr(bucket_lock, "STALE_SECONDS", 1)
    with bucket_lock.held(path, refuse) as first:
        with bucket_lock.held(path, refuse) as second:
            with pytest.raises(UserError, match="Another run took over"):
                first.check()
            second.check()
        assert not path.exists()
    assert not path.exists()


def test_of_two_at_the_same_time_one_gets_it(bucket, monkeypatch):
    monkeypatch.setattr(bucket_lock, "RENEW_SECONDS", 0.1)
    got, refused = [], []
    end = threading.Event()

    def take(index):
        try:
            with bucket_lock.held(bucket / ".lock", refuse):
                got.append(index)
                end.wait(60)
        except UserError:
            refused.append(index)
            end.set()

    threads = [threading.Thread(target=take, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(refused) == 1


def test_an_answer_that_was_lost_is_no_loss_of_the_lock(bucket):
    with bucket_lock.held(bucket / ".lock", refuse) as lease:
        known = lease._generation
        lease._renew()
        lease._generation = known  # As if the bucket had done it and the answer had been lost.
        lease._renew()
        lease._renew()
        lease.check()


def test_a_lock_that_was_renewed_just_now_is_not_renewed_again(bucket, monkeypatch):
    with bucket_lock.held(bucket / ".lock", refuse) as lease:
        known = lease._generation
        lease.check()
        assert lease._generation == known
        monkeypatch.setattr(lease, "_renewed", lease._renewed - bucket_lock.STALE_SECONDS)
        lease.check()
        assert lease._generation != known


def test_what_is_no_lock_goes_stale_like_one(bucket, monkeypatch):
    monkeypatch.setattr(bucket_lock, "STALE_SECONDS", 1)
    buckets.write_bytes(bucket / ".lock", b"\xff")
    with bucket_lock.held(bucket / ".lock", refuse) as lease:
        lease.check()


def test_the_lock_file_of_a_copied_run_is_free_at_once(bucket, monkeypatch):
    buckets.write_bytes(bucket / ".lock", b"")
    monkeypatch.setattr(bucket_lock.time, "sleep", lambda _: refuse())
    with bucket_lock.held(bucket / ".lock", refuse) as lease:
        lease.check()
    assert not (bucket / ".lock").exists()


def test_the_lock_of_a_killed_process_of_this_machine_is_free_at_once(bucket):
    code = (
        "import sys; from refvae_jax import bucket_lock, files\n"
        "with bucket_lock.held(files.user_path(sys.argv[1]), None):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(bucket / ".lock")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    since = time.monotonic()
    with bucket_lock.held(bucket / ".lock", refuse):
        assert time.monotonic() - since < bucket_lock.STALE_SECONDS / 2
