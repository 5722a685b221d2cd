"""What users name instead of a run, and what they are told."""

import errno
import os
from pathlib import Path

import pytest

from refvae_jax.errors import UserError
from refvae_jax.training import checkpoint, run_folder
from refvae_jax.training.run_folder import check_not_inside, find_run

CONFIG = '{"method": {"name": "vae"}, "data": {"name": "mnist"}}'


@pytest.fixture
def run(tmp_path):
    """A folder laid out as a run."""
    folder = tmp_path / "runs" / "mine"
    (folder / "checkpoints" / "60" / "variables").mkdir(parents=True)
    (folder / "figures").mkdir()
    (folder / "config.json").write_text(CONFIG)
    (folder / "figures" / "style.gif").write_text("")
    return folder


def refusal(path):
    with pytest.raises(UserError) as caught:
        find_run(path)
    return str(caught.value)


INSIDE = (
    "checkpoints",
    "checkpoints/60",
    "checkpoints/60/variables",
    "checkpoints/61",
    "config.json",
    "figures",
    "figures/style.gif",
)


@pytest.mark.parametrize("inner", INSIDE)
def test_what_is_inside_a_run_names_the_run(run, inner):
    assert refusal(run / inner) == f"{run / inner} is inside a run: name {run}."
    with pytest.raises(UserError, match=f"name {run}"):
        check_not_inside(run / inner)


def test_through_a_link_too(run, tmp_path):
    (tmp_path / "latest").symlink_to(run / "checkpoints" / "60")
    assert refusal(tmp_path / "latest").endswith(f"is inside a run: name {run}.")
    (tmp_path / "linked").symlink_to(run)
    assert find_run(tmp_path / "linked") == tmp_path / "linked"


def test_a_run_may_lie_in_a_run_or_below_a_folder_of_that_name(run):
    other = run / "checkpoints" / "tuned"
    other.mkdir()
    (other / "config.json").write_text(CONFIG)
    assert find_run(other) == other
    check_not_inside(run / "tuned")  # Not one of the folders that a run makes.


def test_a_run_without_its_config_or_without_checkpoints(run):
    (run / "config.json").unlink()
    assert find_run(str(run)) == run
    (run / "config.json").write_text(CONFIG)
    (run / "checkpoints" / "60").rename(run / "away")
    assert find_run(run) == run


def test_a_tilde_is_the_home_folder(run, monkeypatch):
    monkeypatch.setenv("HOME", str(run.parent))
    assert find_run("~/mine") == run
    assert f"no run in {run.parent}/other" in refusal("~/other")
    assert "no run in ~nobody-here/run" in refusal("~nobody-here/run")


def test_what_is_no_run_at_all(run, tmp_path):
    assert "is empty: name a folder" in refusal("")
    assert "there is no such folder" in refusal(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("")
    assert refusal(tmp_path / "notes.txt").endswith("is a file: name the folder of a run.")
    assert "is a file" in refusal("/dev/null")
    (tmp_path / "pictures").mkdir()
    assert "is not a run: it holds neither the config.json" in refusal(tmp_path / "pictures")
    assert refusal(run.parent) == (
        f"{run.parent} is not a run, but holds mine: name one of them, such as {run}."
    )


@pytest.mark.parametrize("content", ["{}", "[]", '{"method": 1}', "# not JSON", ""])
def test_the_config_of_another_program_makes_no_run(run, content):
    (run.parent / "config.json").write_text(content)
    assert f"but holds mine: name one of them, such as {run}." in refusal(run.parent)
    check_not_inside(run.parent / "checkpoints" / "exp1")


def test_what_cannot_be_looked_into_is_no_run(run, tmp_path, monkeypatch):
    assert "there is no such folder" in refusal(tmp_path / ("x" * 300))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "there is no such folder" in refusal(tmp_path / "loop")
    (tmp_path / "closed").mkdir()

    def closed(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(UserError, match=r"no run in .*closed that can be read: Permission denied"):
        checkpoint.load(tmp_path / "closed")


def test_a_run_beside_a_folder_that_cannot_be_looked_into(run, monkeypatch):
    (run.parent / "closed").mkdir()
    look = run_folder.steps

    def steps(folder):
        if folder.name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return look(folder)

    monkeypatch.setattr(run_folder, "steps", steps)
    assert "but holds mine: name one of them" in refusal(run.parent)


def test_a_long_list_of_runs_is_cut(tmp_path):
    for name in "abcde":
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(CONFIG)
    assert "holds a, b, c and 2 more: name" in refusal(tmp_path)


@pytest.mark.parametrize("inner", ["checkpoints/60", "config.json"])
def test_reading_a_checkpoint_says_so_too(run, inner):
    with pytest.raises(UserError, match=f"is inside a run: name {run}"):
        checkpoint.load(run / inner)
