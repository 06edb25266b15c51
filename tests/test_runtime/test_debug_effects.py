"""`gf.assert_` and `gf.print_`: the same values, with an effect in each run."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import CheckError, DTypeError


def line_of(text: str) -> str:
    with open(__file__) as f:
        return f"test_debug_effects.py:{next(i for i, line in enumerate(f, 1) if line.rstrip().endswith(f'# {text}'))}"


@pytest.mark.smoke
def test_an_assertion_fails_with_its_message_and_line_and_leaves_state() -> None:
    x = gf.placeholder("float32", (None, 4), name="x")
    s = gf.shared(np.float32(0), name="s")
    y = gf.assert_(x > 0, x, "x must be positive")  # planted
    f = gf.function([x], gf.sum(gf.sqrt(y)), updates=[(s, s + gf.sum(x))])
    ones = np.ones((2, 4), np.float32)
    for _ in range(6):  # Python's calls and native ones
        assert f(ones) == 8
    assert s.get_value() == 48
    ones[1, 2] = -1
    with pytest.raises(CheckError) as caught:
        f(ones)
    text = str(caught.value)
    assert text.startswith("assert: x must be positive") and f"at {line_of('planted')}" in text and "the value was" not in text
    assert s.get_value() == 48


def test_assertions_let_gradients_pass_and_hold_in_a_session() -> None:
    x = gf.placeholder("float64", (None,), name="x")
    y = gf.assert_(gf.sum(x) < 10, gf.square(x), "too large")
    with gf.Session() as session:
        assert session.run(gf.grad(gf.sum(y), x), {x: [1.0, 2.0]}).tolist() == [2, 4]
        with pytest.raises(CheckError, match="too large"):
            session.run(gf.sum(y), {x: [6.0, 5.0]})


def test_an_assertion_on_no_elements_holds() -> None:
    x = gf.placeholder("float32", (None,), name="x")
    assert gf.function([x], gf.assert_(x > 0, x))([]).shape == (0,)


def test_a_condition_is_bool() -> None:
    with pytest.raises(DTypeError, match="not bool"):
        gf.assert_(gf.constant(1.0), gf.constant(2.0))


@pytest.mark.smoke
def test_printing_in_each_run_that_needs_it(capfd: pytest.CaptureFixture[str]) -> None:
    x = gf.placeholder("float64", (None,), name="x")
    y = gf.print_(x * 2, "doubled:")
    f, g = gf.function([x], [gf.sum(y), gf.grad(gf.sum(gf.square(y)), x)]), gf.function([x], x + 1)
    total, gradient = f([1.0, 2.0])
    assert total == 6 and gradient.tolist() == [8, 16]
    assert capfd.readouterr().out == "doubled: multiply float64[2] = [2. 4.]\n"
    g([1.0])
    assert capfd.readouterr().out == ""
    for _ in range(5):
        f([3.0])
    assert capfd.readouterr().out == "doubled: multiply float64[1] = [6.]\n" * 5


def test_what_is_printed_and_how_much_of_it(capfd: pytest.CaptureFixture[str]) -> None:
    x = gf.placeholder("float32", (None,), name="x")
    y = gf.print_(x, "sum and rows", data=[gf.sum(x), gf.reshape(x, (2, -1))], summarize=1)
    gf.function([x], y)(np.arange(6, dtype=np.float32))
    assert capfd.readouterr().out == "sum and rows\nsum float32[] = 15.\nreshape float32[2, 3]\n[[0. ... 2.]\n [3. ... 5.]]\n"


def test_prints_that_use_each_other_keep_their_order(capfd: pytest.CaptureFixture[str]) -> None:
    x = gf.placeholder("float64", (), name="x")
    y = gf.print_(x, "first")
    for i in range(5):
        y = gf.print_(y + 1, f"then {i}")
    with gf.Session() as session:
        session.run(y, {x: 0.0})
    assert [line.split(" ")[:2] for line in capfd.readouterr().out.splitlines()] == [["first", "x"], *([["then", str(i)] for i in range(5)])]
