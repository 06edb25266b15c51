"""`gf.export`: what it takes, what it refuses, and machines without a linker."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow import bundle as bundle_package
from graphflow.bundle import link


def test_metadata_describes_the_call(export: Any, mlp: Any) -> None:
    m = export(mlp.step, "step").metadata
    assert (m["abi"], m["name"], m["target"], m["dims"]) == (1, "step", "x86_64-linux-host", ["x_0"])
    assert m["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["x_0", "6"]}, {"name": "t", "dtype": "float32", "shape": ["x_0", "3"]}]
    assert m["outputs"] == m["train_step"]["outputs"] == [{"name": "out0", "dtype": "float32", "shape": []}]
    offsets = [t["offset"] for t in m["state"]]
    assert offsets == sorted(offsets) and all(o % 64 == 0 for o in offsets) and m["state_bytes"] > offsets[-1]
    assert len(m["sha256"]) == 64 and m["alignment"] == 64


def test_pairs_of_inputs_and_outputs(export: Any) -> None:
    x = gf.placeholder("float64", (None, 3), name="x")
    native = export(([x], {"double": x * 2.0, "sum": gf.sum(x, axis=1)}))
    assert "state_init" not in native.metadata and "train_step" not in native.metadata
    value, double, total = np.arange(6.0).reshape(2, 3), np.zeros((2, 3)), np.zeros(2)
    assert native([value], [double, total], [2]) == 0
    np.testing.assert_array_equal(double, value * 2)
    np.testing.assert_array_equal(total, value.sum(1))


def test_models_with_and_without_their_training_step(export: Any, mlp: Any) -> None:
    model = SimpleNamespace(graph_inputs=[mlp.x], graph_outputs=[mlp.y], train_step=lambda: mlp.step, name="My Net")
    assert "train_step" not in export(model, "plain").metadata
    native = export(model, "trained", train=True)
    assert [t["name"] for t in native.metadata["inputs"]] == ["x"]
    assert [t["name"] for t in native.metadata["train_step"]["inputs"]] == ["x", "t"]
    x, t = np.ones((2, 6), "float32"), np.ones((2, 3), "float32")
    state, y, loss = native.new_state(), np.zeros((2, 3), "float32"), np.zeros((), "float32")
    for _ in range(2):
        assert native([x, t], [loss], [2], state, "train_step") == 0
        mlp.step(x, t)
    assert native([x], [y], [2], state) == 0
    np.testing.assert_allclose(y, mlp.predict(x), rtol=1e-5)


def test_the_name_of_the_files(mlp: Any, tmp_path: Path) -> None:
    model = SimpleNamespace(graph_inputs=[mlp.x], graph_outputs=[mlp.y], name="My Net-2")
    assert gf.export(model, tmp_path).header.name == "my_net_2.h"
    assert gf.export(mlp.predict, str(tmp_path)).name == "mlp"


def test_assignments_in_the_graph_are_updates(export: Any) -> None:
    count = gf.shared(np.zeros((), "float32"), name="count")
    x = gf.placeholder("float32", (2,), name="x")
    native = export(gf.function([x], gf.assign_add(count, gf.sum(x))))
    state, out = native.new_state(), np.zeros((), "float32")
    for expected in (3.0, 6.0):
        assert native([np.array([1, 2], "float32")], [out], [], state, "train_step") == 0
        assert out == expected == native.state_value(state, "count")
    assert native([np.array([1, 2], "float32")], [out], [], state) == 0
    assert out == 9.0 and native.state_value(state, "count") == 6.0


@pytest.mark.parametrize(
    ("what", "options", "text"),
    [
        ("a string", {}, "cannot export str"),
        ("predict", {"train": True}, "no updates"),
        ("predict", {"name": "2nd"}, "'2nd' cannot begin"),
        ("predict", {"name": "a b"}, "cannot begin"),
        ("predict", {"name": "naïve"}, "cannot begin"),
        ("predict", {"target": "z80"}, "no target 'z80'"),
        ("model", {"train": True}, "has no training step"),
        ("grows", {}, "changes its size"),
        ("by value", {}, "is the value of n: int64"),
        ("step", {"inputs": {"x": np.ones((2, 6)), "t": np.ones((5, 3))}}, "do not fit"),
    ],
)
def test_refusals(mlp: Any, tmp_path: Path, what: str, options: dict[str, Any], text: str) -> None:
    w = gf.shared(np.zeros(2, "float32"), name="w")
    n = gf.placeholder("int64", (), name="n")
    things: dict[str, Any] = {
        "predict": mlp.predict, "step": mlp.step, "model": SimpleNamespace(graph_inputs=[mlp.x], graph_outputs=[mlp.y]),
        "by value": gf.function([mlp.x, n], mlp.x[:n]),
        "grows": gf.function([], gf.sum(w), updates=[(w, gf.concatenate([w, w]))]),
    }  # fmt: skip
    with pytest.raises(gf.ExportError, match=text):
        gf.export(things.get(what, what), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_wrong_sample_inputs(mlp: Any, tmp_path: Path) -> None:
    with pytest.raises(gf.FeedError, match="no input is called q"):
        gf.export(mlp.step, tmp_path, inputs={"q": 1})
    with pytest.raises(gf.FeedError, match="3 arrays for 2 inputs"):
        gf.export(mlp.step, tmp_path, inputs=[np.ones((1, 6)), np.ones((1, 3)), 3])


# --- linkers --------------------------------------------------------------------------------------
def test_without_a_linker_it_says_so(mlp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gf.export(mlp.predict, tmp_path, name="m")
    monkeypatch.setattr(link, "linkers", list)
    bundle = gf.export(mlp.predict, tmp_path, name="m")
    assert bundle.library is None and bundle.linker == "" and not (tmp_path / "m.so").exists()
    assert "There is no `m.so`" in (tmp_path / "README.md").read_text()


def test_a_linker_that_fails_is_an_error(mlp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "linkers", lambda: [("broken", ["sh", "-c", "echo no such luck >&2; exit 3"])])
    with pytest.raises(gf.ExportError, match="no such luck"):
        gf.export(mlp.predict, tmp_path, name="m")


def test_the_compiler_the_environment_names_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "sh -e")
    assert link.c_compiler() == ["sh", "-e"]
    monkeypatch.setenv("CC", "no-such-compiler")
    assert link.c_compiler() == []


def test_export_is_the_function_of_the_package() -> None:
    assert gf.export is bundle_package.export
