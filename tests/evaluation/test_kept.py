"""Files that evaluation keeps: one for all that they depend on, and not too many."""

import os

import numpy as np

from refvae_jax.evaluation import kept


def test_what_enters_a_digest(monkeypatch):
    a, b = np.arange(6), np.arange(6, dtype=np.int32)
    found = [
        kept.digest(settings, *arrays)
        for settings in ("label", ["label", 1])
        for arrays in ([a], [b], [a.reshape(2, 3)], [a + 1], [a, b])
    ]
    assert found[0] == kept.digest("label", a.copy())
    monkeypatch.setattr(kept, "code_digest", lambda: "another")
    found.append(kept.digest("label", a))
    monkeypatch.setenv("XLA_FLAGS", "--xla_some")
    found.append(kept.digest("label", a))
    assert len(set(found)) == 12


def test_the_oldest_go(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "KEPT", 2)
    for age, name in enumerate("abc"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (age, age))
    being_written = tmp_path / ".e.1.tmp"  # By another process.
    being_written.touch()
    kept.keep(tmp_path / "d", lambda file: file.write(b"written"), "this")
    assert sorted(file.name for file in tmp_path.iterdir()) == [".e.1.tmp", "c", "d"]
    assert (tmp_path / "d").read_bytes() == b"written"
