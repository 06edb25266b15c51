"""Objects: no undefined symbols, few visible ones, the same bytes every time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.bundle import object as bundle_object
from graphflow.bundle.elf import Elf
from graphflow.bundle.exportable import exportable
from graphflow.bundle.plan import make_plan
from graphflow.bundle.target import find_target
from graphflow.compiler.target.machine import compile_module, host

ABI = ["abi_version", "init", "metadata", "run", "state_init", "train_step", "workspace_size"]


@pytest.mark.smoke
def test_only_the_abi_is_visible_and_nothing_is_undefined(mlp: Any, tmp_path: Path) -> None:
    bundle = gf.export(mlp.step, tmp_path, name="m", target="x86_64-linux-v2")
    elf = Elf(bundle.object.read_bytes())
    assert elf.undefined() == {}
    if shutil.which("nm") is not None:
        nm = subprocess.run(["nm", str(bundle.object)], capture_output=True, text=True, check=True).stdout.split("\n")
        assert subprocess.run(["nm", "-u", str(bundle.object)], capture_output=True, text=True, check=True).stdout == ""
        assert sorted(line.split()[2] for line in nm if " T " in line) == [f"m_{name}" for name in ABI]
        assert not [line for line in nm if line and line.split()[1].lower() in "bd"]  # no data that can change


def test_undefined_symbols_are_found_with_their_users() -> None:
    text = """target triple = "x86_64-unknown-linux-gnu"
    declare float @expf(float)
    declare void @other()
    define float @quiet(float %x) { ret float %x }
    define float @kernel(float %x) {
      %y = call float @expf(float %x)
      call void @other()
      ret float %y
    }
    define void @second() {
      call void @other()
      ret void
    }"""
    code = compile_module(text, host(), jit=False)
    assert isinstance(code, bytes)
    assert Elf(code).undefined() == {"expf": ["kernel"], "other": ["kernel", "second"]}


def test_an_undefined_symbol_fails_the_export_naming_the_ops(mlp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source = exportable(mlp.predict)
    plan = make_plan("m", find_target(None), source.run, None, {}, source.store)
    kernel = plan.routines[0].program.kernels[0].name
    monkeypatch.setattr(Elf, "undefined", lambda self: {"memset": [kernel]})
    with pytest.raises(gf.ExportError, match="memset") as caught:
        bundle_object.make_object(plan)
    assert f"needed by {kernel}: " in str(caught.value)


def test_other_files_are_no_objects() -> None:
    with pytest.raises(ValueError, match="ELF"):
        Elf(b"MZ" + bytes(100))


def test_the_hash_depends_on_code_weights_and_target(mlp: Any, tmp_path: Path) -> None:
    def digest(what: Any, target: str = "x86_64-linux") -> str:
        return str(gf.export(what, tmp_path, name="m", target=target).metadata["sha256"])

    first = digest(mlp.predict)
    assert digest(mlp.predict) == first != digest(mlp.predict, "x86_64-linux-v2")
    mlp.w2.set_value(mlp.w2.get_value() + np.float32(1))
    assert digest(mlp.predict) != first


SCRIPT = """
import sys
import numpy as np, graphflow as gf
[gf.placeholder("float32", (None,)) + i for i in range(int(sys.argv[2]))]  # other serial numbers
x = gf.placeholder("float32", (None, None)); y = gf.placeholder("int32", (None,), name="y")
w = gf.shared(np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3)); b = gf.shared(np.zeros(3, "float32"), name="b")
out = gf.maximum(gf.reshape(x, (-1, 4)) @ w + b, 0.0)
loss = gf.mean(gf.square(out)) + gf.sum(gf.cast(y, "float32"))
f = gf.function([x, y], [out, loss], updates=[(v, v - 0.1 * gf.grad(loss, v)) for v in (w, b)])
gf.export(f, sys.argv[1], name="f", target="x86_64-linux", inputs=[np.ones((2, 4), "float32")])
"""


def test_the_same_input_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    root = Path(gf.__file__).parent.parent
    for i in range(2):
        environment = os.environ | {"PYTHONHASHSEED": str(i), "PYTHONPATH": str(root)}
        subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path / str(i)), str(7 * i)], check=True, env=environment)
    names = sorted(p.name for p in (tmp_path / "0").iterdir())
    assert {"f.o", "f.h", "main.c", "README.md"} <= set(names)
    for name in names:
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes(), name
