"""One walk serves a process until the folder changes."""

import os
from types import SimpleNamespace

import pytest

from refvae_jax.data.readers import scan as scanning
from refvae_jax.data.readers.scan import scan

OLD = 1_000_000_000  # Seconds since 1970: long before any walk.


@pytest.fixture
def root(tmp_path):
    for name in ("a/0.png", "b/deep/1.jpg", "b/notes.txt", ".hidden/2.png", "factors.csv"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    settle(tmp_path / "pictures")
    return tmp_path / "pictures"


def settle(root):
    """As if everything had been written long ago."""
    for path in (root, *root.rglob("*")):
        os.utime(path, (OLD, OLD))


@pytest.fixture
def walks(monkeypatch):
    """The folders that were walked through, in order."""
    made, real = [], scanning._scan
    monkeypatch.setattr(scanning, "_scan", lambda folder: made.append(folder) or real(folder))
    return made


def test_finds_images_only(root):
    assert scan(root).files == ("a/0.png", "b/deep/1.jpg")


def test_one_walk(root, walks):
    assert scan(root) is scan(root) and len(walks) == 1


def test_a_folder_that_has_just_changed_is_walked_through_again(root, walks, monkeypatch):
    """A file written in the same tick of the folder's clock would not show."""
    settled = OLD * 10**9 + scanning._SETTLED
    for now, expected in ((settled, 2), (settled + 1, 3)):
        monkeypatch.setattr(scanning, "time", SimpleNamespace(time_ns=lambda now=now: now))
        scan(root)
        scan(root)
        assert len(walks) == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "b" / "deep" / "3.png").write_bytes(b"x"),
        lambda root: (root / "a" / "0.png").unlink(),
        lambda root: (root / "b" / "deep" / "1.jpg").rename(root / "a" / "1.jpg"),
        lambda root: (root / "c").mkdir(),
        lambda root: (root / "factors.csv").write_text("longer"),
        lambda root: (root / "factors.csv").unlink(),
    ],
)
def test_changes_are_seen(root, walks, change):
    before = scan(root)
    change(root)
    scan(root)
    assert len(walks) == 2 and before.times != scan(root).times


def test_the_digest_knows_every_file(root):
    before = scan(root)
    (root / "a" / "0.png").write_bytes(b"other")
    settle(root)
    assert scan(root) is before  # Written in place: seen by the next process.
    assert scanning._scan(str(root)).digest != before.digest
    (root / "b" / "deep").rename(root / "b" / "deeper")
    assert scan(root).files == ("a/0.png", "b/deeper/1.jpg")
