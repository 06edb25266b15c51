"""The commands, as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import graphflow as gf
from graphflow import cli

ROOT = Path(gf.__file__).parent.parent
MODEL = """
import numpy as np
import graphflow as gf
from numbers_of_mine import ONE

x = gf.placeholder("float32", (None, 4), name="x")
w = gf.shared(np.full((4, 2), ONE, "float32"), name="w")
y = gf.maximum(x @ w, 0.0)
loss = gf.mean(gf.square(y))
predict = gf.function([x], y)
step = gf.function([x], loss, updates=[(w, w - 0.1 * gf.grad(loss, w))])
broken = 1 / 0 if ONE != 1 else None
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "numbers_of_mine.py").write_text("ONE = 1.0\n")
    return tmp_path


def graphflow(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GRAPHFLOW_CACHE_DIR": str(folder / "cache")}
    return subprocess.run([sys.executable, "-m", "graphflow", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.smoke
def test_export_writes_a_bundle_that_agrees(folder: Path) -> None:
    done = graphflow(folder, "export", "model.py:step", "-o", "out", "--target", "x86_64-linux-v2", "--name", "small")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:4] == ["out/small.o", "out/small.h", "out/main.c", "out/README.md"]
    if shutil.which("cc") is not None:
        assert subprocess.run("cc main.c *.o -o t && ./t", shell=True, cwd=folder / "out", check=False).returncode == 0


def test_draw_writes_svg_before_and_after_a_pass(folder: Path) -> None:
    for extra in ([], ["--pass", "fuse"]):
        done = graphflow(folder, "draw", "model.py:predict", "-o", "g.svg", *extra)
        assert done.returncode == 0, done.stderr
        assert (folder / "g.svg").read_text().lstrip().startswith(("<svg", "<?xml"))


def test_explain_writes_a_page(folder: Path) -> None:
    done = graphflow(folder, "explain", "model.py:predict", "-o", "p.html")
    assert done.returncode == 0 and done.stdout == "p.html\n", done.stderr
    assert (folder / "p.html").read_text().startswith("<!doctype html>")


def test_info_says_where_and_what(folder: Path) -> None:
    lines = dict(line.split(maxsplit=1) for line in graphflow(folder, "info").stdout.splitlines())
    assert lines["graphflow"] == gf.__version__
    assert "cpu" in lines["devices"] and "x86_64-linux-v4" in lines["targets"]
    assert lines["cache"].startswith(f"{folder / 'cache'}, 0 entries") and int(lines["threads"]) >= 1


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (["export", "model.py:nothing", "-o", "out"], ["model.py defines no 'nothing'", "predict"]),
        (["export", "other.py:f", "-o", "out"], ["there is no file other.py"]),
        (["export", "model.h5", "-o", "out"], ["names no object", "FILE.py:NAME"]),
        (["export", "no_such_package.inner:f", "-o", "out"], ["there is no module no_such_package"]),
        (["export", "model.py:step", "-o", "out", "--target", "z80"], ["no target 'z80'", "x86_64-linux-v2"]),
        (["export", "model.py:predict", "-o", "out", "--train"], ["no updates"]),
        (["draw", "model.py:y", "-o", "g.svg", "--pass", "sew"], ["no pass is called 'sew'", "fuse"]),
        (["run", "missing.py"], ["there is no file missing.py"]),
    ],
)
def test_mistakes_are_explained_without_a_traceback(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str], texts: list[str]) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("graphflow: ") and "Traceback" not in error
    assert all(text in error for text in texts), error


def test_a_mistake_in_the_users_file_shows_its_line(folder: Path) -> None:
    (folder / "wrong.py").write_text('import graphflow as gf\nx = gf.placeholder("float32", (3,))\ny = x @ gf.placeholder("float32", (4,))\n')
    done = graphflow(folder, "draw", "wrong.py:y", "-o", "g.svg")
    assert done.returncode == 2 and "wrong.py:3" in done.stderr and "Traceback" not in done.stderr
    assert "runpy" not in done.stderr


def test_usage_errors(folder: Path) -> None:
    for arguments in ([], ["draw", "model.py:y"], ["dance"]):
        done = graphflow(folder, *arguments)
        assert done.returncode == 2 and done.stderr.startswith("usage: graphflow")
    assert graphflow(folder, "--version").stdout == f"graphflow {gf.__version__}\n"


def test_exported_names_come_from_what_was_named(folder: Path) -> None:
    done = graphflow(folder, "export", "model.py:predict", "-o", "out")
    assert done.returncode == 0, done.stderr
    metadata = (folder / "out" / "predict.o").read_bytes()
    start = metadata.index(b'{"abi"')
    assert json.loads(metadata[start : metadata.index(b"\0", start)])["name"] == "predict"
