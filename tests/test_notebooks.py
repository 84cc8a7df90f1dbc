"""The notebooks run offline, and are stored without outputs; records show as tables in a notebook."""

import re

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

import tltk
from tests import ROOT
from tests.conftest import STAGES, conv_net

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
SMALL_NETWORKS = """
import os
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import pytest
from tests.conftest import optimize_graphs
from tests.small_networks import use_small_networks
optimize_graphs(False)
use_small_networks(pytest.MonkeyPatch())
"""


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
def test_the_notebooks_run(tmp_path, monkeypatch):
    """Run all in one process, which imports TensorFlow once; each begins without the names of the one before."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebooks = [nbformat.read(path, as_version=4) for path in NOTEBOOKS]
    together = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SMALL_NETWORKS)])
    for notebook in notebooks:
        for cell in code_cells(notebook):
            cell.source = re.sub(r"\bepochs=\d+", "epochs=1", cell.source)
        together.cells += [nbformat.v4.new_code_cell("%reset -f"), *notebook.cells]
    NotebookClient(together, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for notebook in notebooks:
        last = code_cells(notebook)[-1].outputs
        assert [output.name for output in last] == ["stdout"], "a warning or an error"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a folder of images, one of them damaged, and a run on it."""
    folder = tmp_path_factory.mktemp("shown") / "photos"
    for index, colour in enumerate(("red", "green", "blue") * 4):
        (folder / f"<b>{colour}").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (200, 100), colour).save(folder / f"<b>{colour}" / f"{index}.png")
    (folder / "<b>red" / "0.png").write_bytes((folder / "<b>red" / "0.png").read_bytes()[:60])
    source = tltk.from_folder(folder)
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.classification(source.labels))
    recipe = tltk.fine_tune(epochs=1, probe_epochs=1)
    return source, tltk.fit(model, source, recipe=recipe, batch_size=4)


def test_sources_show_counts_and_their_first_examples(trained):
    page = trained[0]._repr_html_()
    assert "12 image files, 3 classes" in page and "<td>&lt;b&gt;green</td><td>4</td>" in page
    assert page.count('<img src="data:image/png;base64,') == 8 and "<b>" not in page
    damaged = trained[0].subset([list(trained[0].ids).index("<b>red/0.png")])._repr_html_()
    assert "cannot be decoded: truncated or damaged PNG" in damaged and "<img" not in damaged
    texts = tltk.from_arrays(["short", "long " * 100], ["a", "b"])._repr_html_()
    assert "<td>example 0</td><td>short</td><td>a</td>" in texts and "long " * 40 + "…" in texts
    assert "unlabelled" in tltk.from_arrays(["a", "b"])._repr_html_()


def test_an_image_that_is_gone_is_told(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / name / "0.png")
    source = tltk.from_folder(tmp_path)
    (tmp_path / "a" / "0.png").unlink()
    assert "cannot be shown: [Errno 2]" in source._repr_html_()


def test_runs_reports_plans_and_predictions_show_tables(trained):
    source, run = trained
    shown = run._repr_html_()
    assert "<td>probe</td><td>1</td>" in shown and "<th>loss</th>" in shown and "&lt;b&gt;red/0.png" in shown
    report = tltk.evaluate(run, source)._repr_html_()
    assert "<th>metric</th>" in report and "<td>accuracy</td>" in report and "&lt;b&gt;blue" in report
    predictions = tltk.predict(run, source)._repr_html_()
    assert predictions.count("<tr>") == 1 + 10 + 2 and "truncated or damaged PNG" in predictions
    plan = tltk.layer_decay(0.5)._repr_html_()
    assert "<td>*</td><td>train</td>" in plan and "layer decay: 0.5" in plan and "LoRA" not in plan
    assert "<td>4</td><td>query</td>" in tltk.lora(4, target="query")._repr_html_()


def test_records_have_short_texts(trained):
    source, run = trained
    records = [
        source,
        run,
        run.model,
        run.model.task,
        tltk.fine_tune(),
        tltk.fine_tune().phases[0],
        tltk.lora(),
        tltk.adamw(),
        tltk.evaluate(run, source),
        tltk.predict(run, source)[0],
        tltk.embed(run, source),
        source[1],
        tltk.from_arrays(["long " * 1000])[0],
        tltk.backbone("resnet50"),
        tltk.classification([f"class {number}" for number in range(1000)]),
        tltk.backbone("all_minilm_l6_v2_en").input_spec,
    ]
    assert {type(record).__name__: len(repr(record)) for record in records if len(repr(record)) >= 500} == {}
    assert "probe" in repr(tltk.fine_tune()) and "accuracy" in repr(tltk.evaluate(run, source))
