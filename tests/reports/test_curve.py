"""The learning curve: which scores it shows, and that checkpoints are scored once."""

import json
import shutil

import pytest

from refvae_jax.evaluation.score import Score
from refvae_jax.files import append_json_line, read_json_lines
from refvae_jax.reports import curve


def score(latent, factor, probe, source="mean", **more):
    return Score(0.5, probe, source, "higher", 0.1, latent, factor, **more)


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        (True, score("content", "label", "paper_accuracy")),
        (True, score("style", "label", "strong_accuracy", "sample")),
        (True, score("common", "average", "mae")),
        (True, score("content", "label", "accuracy", "swap")),
        (False, score("content", "label", "strong_accuracy", "sample")),
        (False, score("style", "label", "accuracy", "swap")),
        (False, score("target", "red", "mae")),
        (False, score("target", "average", "mae", "sample")),
        (False, score("content", "style", "moved", "swap")),
        (False, score("content", "label", "linear_accuracy", class_name="3")),
    ],
)
def test_what_is_plotted(shown, found):
    assert curve.is_shown(found) is shown


def test_series_are_in_the_order_of_the_epochs(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(curve.files, "curve", lambda series, path: drawn.append(series))
    made = score("content", "label", "strong_accuracy")
    rows = [
        {"step": step, "epoch": step / 10, "scores": {made.name: row.to_json()}}
        for step, row in ((20, made._replace(value=0.9)), (10, made._replace(value=0.4)))
    ]
    curve.plot(rows, tmp_path / "curve.png")
    assert drawn == [{"content/label/strong_accuracy": ([1.0, 2.0], [0.4, 0.9])}]


@pytest.mark.slow
def test_every_checkpoint_is_scored_once(trained, tmp_path):
    workdir = shutil.copytree(trained, tmp_path / "run")
    append_json_line({"step": 10, "epoch": 1.0, "scores": {}}, workdir / "curve.jsonl")
    assert curve.main([str(workdir)]) == 0
    rows = read_json_lines(workdir / "curve.jsonl")
    assert [row["step"] for row in rows] == [10, 20]
    assert "style/label/strong_accuracy/sample" in rows[1]["scores"]
    results = json.loads((workdir / "results.json").read_text())["scores"]
    assert rows[1]["scores"].keys() == results.keys() - {"judge/label/accuracy"}
    assert (workdir / "figures" / "curve.png").exists()
    before = (workdir / "curve.jsonl").read_bytes()
    assert curve.main([str(workdir)]) == 0 and (workdir / "curve.jsonl").read_bytes() == before


def test_a_run_that_cannot_be_written_to_is_noticed_before_scoring(tmp_path, capsys):
    (tmp_path / "checkpoints" / "20").mkdir(parents=True)
    (tmp_path / "curve.jsonl").symlink_to(tmp_path / "none" / "curve.jsonl")
    assert curve.main([str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert f"Cannot use {tmp_path}/curve.jsonl" in message and "refvae curve COPY" in message


def test_a_run_without_checkpoints(tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"method": {}, "data": {}}')
    assert curve.main([str(tmp_path)]) == 2
    assert "has no checkpoints" in capsys.readouterr().err
