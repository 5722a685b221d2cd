"""The notebook for Colab, on a run of groups; test_reference_runs.py has those of references."""

import nbformat
import pytest

from tests import notebooks


def test_no_outputs_are_committed():
    notebook = nbformat.read(notebooks.READ_CHECKPOINT, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


@pytest.mark.slow
def test_it_shows_the_model_and_imports_no_tensorflow(trained, monkeypatch):
    pictures, text = notebooks.execute(monkeypatch, trained)
    assert len(pictures) == 5
    assert "latents ('content', 'style')" in text
