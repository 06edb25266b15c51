"""The disk cache: a second process compiles nothing; damage and strangers' folders are harmless."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import graphflow as gf
from graphflow.runtime import cache

ROOT = str(Path(gf.__file__).parent.parent)
SCRIPT = """
import sys, numpy as np, graphflow as gf
import graphflow.runtime.compile as rc
compiled = []
real = rc.compile_program
rc.compile_program = lambda *a, **k: (compiled.append(1), real(*a, **k))[1]
x, w = gf.placeholder("float32", (None, 5), name="x"), gf.shared(np.arange(10, dtype="float32").reshape(5, 2), name="w")
f = gf.function([x], gf.tanh(x @ w + np.arange(2, dtype="float32")), updates=[(w, w * 0.5)])
print(f(np.ones((3, 5)))[0].tolist(), w.get_value().sum(), len(compiled))
"""


def key(x, v) -> str:
    with gf.config.override(cache=True):
        return cache.canonical_key([x], [v], [])[0]


def run_script(tmp_path: Path, **env: str) -> str:
    environment = {**os.environ, "GRAPHFLOW_CACHE": "1", "GRAPHFLOW_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": ROOT, **env}
    return subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment).stdout.strip()


@pytest.mark.smoke
def test_second_process_does_not_compile(tmp_path: Path) -> None:
    first, second = run_script(tmp_path), run_script(tmp_path)
    assert first.endswith(" 1") and second.endswith(" 0")
    assert first[:-1] == second[:-1]
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0
    assert run_script(tmp_path, PYTHONHASHSEED="1").endswith(" 0")
    assert run_script(tmp_path, GRAPHFLOW_FASTMATH="1").endswith(" 1")


def test_damaged_entries_are_compiled_again(tmp_path: Path) -> None:
    run_script(tmp_path)
    (entry,) = (tmp_path / "cache").glob("*.gf")
    data = bytearray(entry.read_bytes())
    data[len(data) // 2] ^= 0xFF
    entry.write_bytes(bytes(data))
    assert run_script(tmp_path).endswith(" 1")
    assert run_script(tmp_path).endswith(" 0")


def test_a_folder_others_can_write_is_not_used(tmp_path: Path) -> None:
    shared = tmp_path / "open"
    shared.mkdir()
    shared.chmod(0o777)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    for folder in (shared, link):
        with gf.config.override(cache_dir=str(folder)):
            assert cache.folder() is None


def test_keys_tell_graphs_apart() -> None:
    x = gf.placeholder("float32", (None,))
    s = gf.shared(np.zeros(()))

    graphs = [x + 1.0, x + 2.0, x - 1.0, x * 0.0, x * -0.0, gf.cast(x, "float64"), gf.sum(x), gf.sum(x, keepdims=True), x + gf.cast(s, "float32")]
    keys = [key(x, v) for v in graphs]
    assert all(keys) and len(set(keys)) == len(keys)
    assert key(x, x + 1.0) == keys[0]


def test_own_ops_are_cached_only_with_a_version() -> None:
    @gf.register
    class Twice(gf.ScalarOp):
        name = "twice"

        def scalar(self, b, *xs):
            return xs[0] + xs[0]

        def reference(self, *arrays):
            return arrays[0] * 2

    x = gf.placeholder("float32", (None,))
    assert key(x, Twice()(x)) == ""
    assert gf.function([x], Twice()(x))([1.5]).tolist() == [3.0]
    Twice.version = 1
    assert key(x, Twice()(x)) != ""


def test_a_graph_built_again_in_a_loop_is_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import graphflow.runtime.executable as executable

    loads: list[int] = []
    real = executable.Loaded
    monkeypatch.setattr(executable, "Loaded", lambda *a: (loads.append(1), real(*a))[1])
    x = gf.placeholder("float32", (None,))
    with gf.config.override(cache=True, cache_dir=str(tmp_path)), gf.Session() as s:
        for k in range(5):
            assert s.run(x * 7 + 3, {x: [k]}).tolist() == [7 * k + 3]
    assert len(loads) == 1
    monkeypatch.undo()
    for k in range(3):
        assert (x + 1).eval({x: [k]}).tolist() == [k + 1]
