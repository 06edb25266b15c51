"""`graphflow run`: programs written for other libraries."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import graphflow as gf
import graphflow.keras
from graphflow import cli
from graphflow.frontends import FRONT_ENDS, front_ends, run_script


def test_keras_is_graphflow_keras() -> None:
    spec = graphflow.keras.backend.__spec__
    with front_ends():
        import keras
        import keras.backend as K
        from keras.layers import Dense

        assert keras is graphflow.keras and K is graphflow.keras.backend and Dense is graphflow.keras.layers.Dense
        assert sys.modules["keras.layers"] is graphflow.keras.layers
        assert K.__name__ == "graphflow.keras.backend" and K.__spec__ is spec
    assert not any(name.partition(".")[0] in FRONT_ENDS for name in sys.modules)


def test_other_libraries_of_that_name_are_hidden_only_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = object()
    monkeypatch.setitem(sys.modules, "keras", theirs)
    with front_ends():
        import keras

        assert keras is graphflow.keras
    assert sys.modules["keras"] is theirs


def test_what_is_missing_is_an_import_error_that_names_it() -> None:
    with front_ends(), pytest.raises(ImportError, match=r"`import keras.engine.saddle`: .* no graphflow.keras.engine.saddle") as caught:
        import keras.engine.saddle  # noqa: F401
    assert isinstance(caught.value, gf.GraphflowError)


def test_a_front_end_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FRONT_ENDS, "theano", "graphflow.compat.not_written")
    (tmp_path / "old.py").write_text("import theano\n")
    assert cli.main(["run", str(tmp_path / "old.py")]) == 2
    error = capsys.readouterr().err
    assert "has no graphflow.compat.not_written" in error and "import keras" in error and "old.py:1" in error
    (tmp_path / "careful.py").write_text("try:\n    import theano\nexcept ImportError:\n    print('without')\n")
    assert cli.main(["run", str(tmp_path / "careful.py")]) == 0
    assert capsys.readouterr().out == "without\n"


def test_scripts_run_as_python_would_run_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "beside.py").write_text("NAME = 'beside'\n")
    (tmp_path / "script.py").write_text("import sys, beside\nprint(__name__, sys.argv[1:], beside.NAME)\nsys.exit(7)\n")
    before = sys.argv, list(sys.path)
    with pytest.raises(SystemExit) as caught:
        run_script(str(tmp_path / "script.py"), ["-a", "b"])
    assert caught.value.code == 7
    assert capsys.readouterr().out == "__main__ ['-a', 'b'] beside\n"
    assert (sys.argv, sys.path) == before
    del sys.modules["beside"]
