"""Files whole or not there; errors that name the path that the user knows."""

import errno
import os
from pathlib import Path

import pytest

from refvae_jax.files import append_json_line, atomic, naming, user_path

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_failed_write_leaves_the_old_file_and_names_it(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="No space") as caught, atomic(path) as temporary:
        temporary.write_text("half")
        raise FULL
    assert caught.value.filename == str(path)
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_the_temporary_file_is_not_named(tmp_path):
    with pytest.raises(OSError, match="exist") as caught, atomic(tmp_path / "file") as temporary:
        temporary.mkdir()
        temporary.mkdir()
    assert caught.value.filename == str(tmp_path / "file")


def test_lines_that_cannot_be_appended(tmp_path):
    with pytest.raises(IsADirectoryError) as caught:
        append_json_line({}, tmp_path)
    assert caught.value.filename == str(tmp_path)


def test_other_paths_and_other_errors_stay(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, naming(tmp_path):
        (tmp_path / "none").read_text()
    assert caught.value.filename == str(tmp_path / "none")
    with pytest.raises(OSError, match="a sentence"), naming(tmp_path):
        raise OSError("a sentence")


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert user_path("~/x") == Path("/home/me/x")
    assert user_path("a/~/x") == Path("a/~/x")
    assert user_path("~nobody-here/x") == Path("~nobody-here/x")
