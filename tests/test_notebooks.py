"""The notebooks run offline, and are stored without outputs."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests import ROOT
from tltk.backbones import weights

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
BACKBONES = {"images": "efficientnet_lite0", "texts": "all_minilm_l6_v2_en"}


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    for cell in code_cells(nbformat.read(path, as_version=4)):
        assert cell.outputs == []
        assert cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_relative_links_of_a_notebook_have_targets(path):
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (path.parent / target).exists(), target


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of Jupyter, in this process; those of the cells are in the outputs
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    weights.get(BACKBONES[path.stem])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    last = code_cells(notebook)[-1].outputs
    assert [output.name for output in last] == ["stdout"], "a warning or an error"
