"""The notebook for Colab, executed from a clean kernel on a checkpoint of this session."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "notebooks" / "read_checkpoint.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_no_outputs_are_committed(notebook):
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None


def test_it_shows_the_model_and_imports_no_tensorflow(notebook, trained, monkeypatch):
    monkeypatch.setenv("REFVAE_RUN", str(trained))
    check = "import sys\nassert 'tensorflow' not in sys.modules"
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    texts = "".join(o.get("text", "") for o in outputs)
    assert len(pictures) == 5
    assert "latents ('content', 'style')" in texts
