"""The notebooks, executed from a clean kernel."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"


def execute(monkeypatch, run, name="try_a_model"):
    """Runs a notebook on a run's folder, or an example; returns (its pictures, its text).

    The kernel fails if the notebook has imported TensorFlow.
    """
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    monkeypatch.setenv("REFVAE_RUN", str(run))
    check = "import sys\nassert 'tensorflow' not in sys.modules"
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    return pictures, "".join(o.get("text", "") for o in outputs)
