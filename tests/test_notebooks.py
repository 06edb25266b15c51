"""Every notebook runs from its first cell to its last, and is kept as notebooks/README.md says."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 150_000  # bytes
# folders of a machine, and times of day
ELSEWHERE = re.compile(r"(?<![\w.:/])/(home|root|tmp|work|Users|usr|opt)/|[A-Z]:\\\\Users|\d{4}-\d\d-\d\d[T ]\d\d:\d\d")


def test_the_readme_lists_the_notebooks() -> None:
    assert NOTEBOOKS
    assert sorted(re.findall(r"\(([\w-]+\.ipynb)\)", (FOLDER / "README.md").read_text(encoding="utf-8"))) == [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_what_is_kept_of_outputs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) <= LARGEST
    assert ELSEWHERE.search(text) is None
    cells = json.loads(text)["cells"]
    ran = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
    assert ran == list(range(1, len(ran) + 1))
    for cell in cells:
        assert cell["metadata"] == {}
        for output in cell.get("outputs", ()):
            assert output["output_type"] != "error" and output.get("name") != "stderr"


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    for needed in ("ipykernel", "matplotlib", "sklearn"):
        pytest.importorskip(needed)
    root = str(FOLDER.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")])))
    # a user's cache, empty at first
    monkeypatch.setenv("GRAPHFLOW_CACHE", "1")
    monkeypatch.setenv("GRAPHFLOW_CACHE_DIR", str(tmp_path / "cache"))
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
