"""The demo learns, draws, exports and agrees."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import graphflow as gf

SCRIPT = Path(gf.__file__).parent.parent / "docs" / "demo.py"


@pytest.mark.slow
def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("demo", SCRIPT)
    assert spec is not None and spec.loader is not None
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    assert demo.main(tmp_path) == 0
    shown = capsys.readouterr().out
    assert float(shown.split("not seen: ")[1].split()[0]) >= 0.97
    for name in ("model.svg", "training-step.svg", "bundle/digits.o", "bundle/main.c"):
        assert (tmp_path / name).stat().st_size > 1000 and name in shown
