"""The notebooks on what they show; test_reference_runs.py has one on runs of references."""

import nbformat
import pytest

from tests import notebooks


@pytest.mark.parametrize("path", sorted(notebooks.FOLDER.glob("*.ipynb")), ids=lambda p: p.stem)
def test_no_outputs_are_committed(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.slow
def test_an_example_is_shown_without_training_and_without_tensorflow(monkeypatch):
    pictures, text = notebooks.execute(monkeypatch, "example:digits")
    assert len(pictures) == 9
    assert "latents ('content', 'style')" in text


@pytest.mark.slow
def test_a_finished_run_is_read(trained, monkeypatch):
    pictures, text = notebooks.execute(monkeypatch, trained, "train_and_read")
    assert len(pictures) == 3
    assert "is finished" in text and "content/label/strong_accuracy" in text
