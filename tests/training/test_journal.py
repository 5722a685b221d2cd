"""Progress with an injected clock; the files that a kill must not spoil."""

import json

from refvae_jax import console
from refvae_jax.files import append_json_line
from refvae_jax.training import journal


def test_progress_reports_speed_and_time_left_since_the_last_report():
    now = [100.0]
    progress = console.Progress(0, 1_000, batch_size=32, clock=lambda: now[0])
    now[0] += 10
    progress.waited = 2.5
    row = progress.report(100)
    assert row == {"images_per_second": 320, "seconds_left": 90, "waiting": 0.25}
    now[0] += 25
    progress.pause(5)  # A validation, say.
    assert progress.report(200) == {"images_per_second": 160, "seconds_left": 160, "waiting": 0}


def test_progress_of_a_resumed_run_starts_where_it_starts():
    now = [0.0]
    progress = console.Progress(900, 1_000, batch_size=1, clock=lambda: now[0])
    now[0] += 10
    assert progress.report(950)["seconds_left"] == 10


def test_cut_back_removes_later_and_broken_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for step in (10, 20, 30):
        append_json_line({"step": step, "loss": step / 3}, path)
    with path.open("a") as file:
        file.write('{"step": 40, "lo')
    journal.cut_back(path, 20)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [10, 20]
    journal.cut_back(tmp_path / "missing.jsonl", 5)
    assert not (tmp_path / "missing.jsonl").exists()


def test_a_journal_cuts_back_both_of_its_files(tmp_path):
    for name in ("metrics.jsonl", "timing.jsonl"):
        for step in (10, 20):
            append_json_line({"step": step}, tmp_path / name)
    journal.Journal(tmp_path).cut_back(10)
    for name in ("metrics.jsonl", "timing.jsonl"):
        assert (tmp_path / name).read_text() == '{"step": 10}\n'


def test_line_and_duration():
    speed = {"images_per_second": 12_345.6, "seconds_left": 3_725}
    line = console.progress_line(5, 100, {"loss/model": 1.5, "recon": 1.25}, speed)
    assert line == "step   5/100  loss/model 1.5  recon 1.25  |  12,346 images/s  1:02:05 left"
    assert console.duration(59.6) == "1:00"
