"""Progress with an injected clock; the files that a kill must not spoil."""

import importlib.metadata
import json

from refvae_jax import console
from refvae_jax.files import append_json_line
from refvae_jax.training import journal, launches


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


def test_parts_of_a_long_work_are_told_with_the_time_left(capsys):
    now = [0.0]
    with console.parts(5, "evaluating", clock=lambda: now[0]) as done:
        for seconds in (100, 15, 15, 15, 15):  # The first one also compiles.
            now[0] += seconds
            done()
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [  # Not after each: the next one after 20 s or more.
        "evaluating: 2 of 5 parts, 0:45 left",
        "evaluating: 4 of 5 parts, 0:15 left",
    ]
    assert printed.err == ""  # A bar is for terminals.


def test_on_a_terminal_parts_are_a_bar_and_lines_do_not_end_in_it(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    now = [0.0]
    with console.parts(2, "drawing", clock=lambda: now[0]) as done:
        now[0] += 100
        done()
        now[0] += 100
        done()
        console.LOGGER.info("a line")
    printed = capsys.readouterr()
    assert printed.out == "a line\n" and "drawing" in printed.err
    assert printed.err.endswith("\r")  # Gone at the end.


def test_a_journal_cuts_back_all_of_its_files(tmp_path):
    names = ("metrics.jsonl", "timing.jsonl", "launches.jsonl")
    for name in names:
        for step in (10, 20):
            append_json_line({"step": step}, tmp_path / name)
    journal.Journal(tmp_path).cut_back(10)
    for name in names:
        assert (tmp_path / name).read_text() == '{"step": 10}\n'


def test_a_launch_is_noted_with_its_command_and_versions(tmp_path):
    lines = journal.Journal(tmp_path, command="python launch.py")
    for step in (0, 0, 20):  # The first one was lost before it was saved.
        lines.launch(step)
    first, second = launches.read(tmp_path)
    assert (first["step"], second["step"]) == (0, 20)
    assert first["command"] == "python launch.py" and first["devices"].startswith("1 x ")
    assert first["versions"]["jax"] == importlib.metadata.version("jax")
    assert launches.code_digest() in first["versions"]["refvae_jax"]
    assert launches.read(tmp_path / "none") == []


def test_line_and_duration():
    speed = {"images_per_second": 12_345.6, "seconds_left": 3_725}
    line = console.progress_line(5, 100, {"loss/model": 1.5, "recon": 1.25}, speed)
    assert line == "step   5/100  loss/model 1.5  recon 1.25  |  12,346 images/s  1:02:05 left"
    assert console.duration(59.6) == "1:00"
