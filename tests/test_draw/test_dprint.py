"""gf.dprint: the text tree."""

from __future__ import annotations

import io

import numpy as np
import pytest

import graphflow as gf
from graphflow.dprint import dprint


@pytest.mark.smoke
def test_tree(capsys: pytest.CaptureFixture[str]) -> None:
    x = gf.placeholder("float32", (None, 3), name="x")
    w = gf.shared(np.zeros((3, 2), "float32"), name="w")
    h = gf.tanh(x @ w)
    h.name = "h"
    text = dprint({"loss": gf.sum(h * h, axis=0) + gf.exp(h) * np.float32(2)})
    assert text == (
        "loss = add [A] float32[x.0, 2]\n"
        "├─ sum{axes=(0,)} [B] float32[2]\n"
        "│  └─ multiply [C] float32[x.0, 2]\n"
        "│     ├─ tanh [D] 'h' float32[x.0, 2]\n"
        "│     │  └─ contract{left=ab, right=bc, result=ac} [E] float32[x.0, 2]\n"
        "│     │     ├─ x [F] float32[x.0, 3] placeholder\n"
        "│     │     └─ w [G] float32[3, 2] shared\n"
        "│     └─ tanh [D] ···\n"
        "└─ multiply [H] float32[x.0, 2]\n"
        "   ├─ exp [I] float32[x.0, 2]\n"
        "   │  └─ tanh [D] ···\n"
        "   └─ 2.0 [J] float32[] constant\n"
    )
    assert capsys.readouterr().out == text


def test_several_fetches_share_ids() -> None:
    x = gf.placeholder("int64", (2,), name="x")
    y = x + x
    text = dprint([y, gf.negative(y), x], file=io.StringIO())
    assert text == (
        "add [A] int64[2]\n"
        "├─ x [B] int64[2] placeholder\n"
        "└─ x [B]\n"
        "negative [C] int64[2]\n"
        "└─ add [A] ···\n"
        "x [B]\n"
    )  # fmt: skip


def test_file_gets_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    to = io.StringIO()
    assert dprint(gf.placeholder("float32", None, name="x"), file=to) == to.getvalue() == "x [A] float32[...] placeholder\n"
    assert capsys.readouterr().out == ""


def test_a_deep_chain_is_printed_without_recursion_and_without_growing_indents() -> None:
    v = gf.placeholder("float32", (2,), name="x")
    op = gf.tanh(v).owner.op
    for _ in range(100_000):
        v = op(v)
    text = dprint(v, file=io.StringIO())
    rows = text.splitlines()
    assert len(rows) == 100_001
    assert rows[0] == "tanh [A] float32[2]"
    assert rows[24] == " " * 69 + "└─ tanh [Y] float32[2]"
    assert rows[25] == "⋯ 25 └─ tanh [Z] float32[2]"
    assert rows[26].endswith("tanh [AA] float32[2]")
    assert rows[-1].startswith("⋯ 100000 └─ x [")
    assert max(map(len, rows)) < 120


def test_ids_are_letters_in_order() -> None:
    v = gf.placeholder("float32", (), name="x")
    for _ in range(27 * 26):
        v = gf.tanh(v)
    ids = [row.split("[")[1].split("]")[0] for row in dprint(v, file=io.StringIO()).splitlines()]
    assert ids[:2] == ["A", "B"]
    assert ids[25:28] == ["Z", "AA", "AB"]
    assert ids[701:703] == ["ZZ", "AAA"]


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(gf.GraphError, match="expected Variables"):
        dprint(3)


def test_the_module_stays_callable() -> None:
    import graphflow.dprint as module

    x = gf.placeholder("float32", (), name="x")
    assert module(x, io.StringIO()) == dprint(x, io.StringIO())  # type: ignore[operator]


def test_bodies_follow_their_loops() -> None:
    x = gf.placeholder("float32", (None, 3), name="x")
    out, _ = gf.scan(lambda row, h: gf.tanh(h * row), sequences=x, outputs_info=gf.zeros((3,), "float32"))
    text = dprint(out, file=io.StringIO())
    assert "scan{x.0 trips}.1 [B]" in text
    body = text.split("body of scan [B]")[1]
    assert "result 0 = tanh" in body and "multiply" in body
