"""Where the user wrote a node, as messages show it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

import graphflow as gf
from graphflow.graph import source


def test_a_file_is_shown_by_its_name() -> None:
    x = gf.tanh(gf.placeholder("float32", ()))
    assert source.short(x.source).startswith("test_source.py:")
    assert source.shown_name("/a/b/model.py") == "model.py"


def test_a_notebooks_cell_is_shown_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = {"/tmp/ipykernel_7/355.py": ("Cell", "In[9]")}
    shell = SimpleNamespace(compile=SimpleNamespace(format_code_name=cells.get))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert source.shown_name("/tmp/ipykernel_7/355.py") == "In[9]"
    assert source.shown_name("/a/b/model.py") == "model.py"
