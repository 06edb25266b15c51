"""`check_nan` names the op and the user's line of the first value that was not finite, inside fused kernels too."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import CheckError


def line_of(text: str) -> str:
    """`test_debug_nan.py:12` for the line of this file that ends in a comment `# text`."""
    with open(__file__) as f:
        number = next(i for i, line in enumerate(f, 1) if line.rstrip().endswith(f"# {text}"))
    return f"test_debug_nan.py:{number}"


def failure(f: gf.Function, *values: object) -> str:
    with gf.config.override(check_nan=True), pytest.raises(CheckError) as caught:
        f(*values)
    return str(caught.value)


@pytest.mark.smoke
def test_the_first_op_of_a_fused_kernel_is_named() -> None:
    x = gf.placeholder("float32", (None, 4), name="x")
    w = gf.shared(np.ones((4, 3), np.float32), name="w")
    h = gf.log(gf.nn.relu(x @ w))  # planted
    loss = gf.mean(gf.square(h) * 0.0)  # turned
    f = gf.function([x], loss, updates=[(w, w - 0.1 * gf.grad(loss, w))])
    text = failure(f, -np.ones((2, 4), np.float32))
    first, place = text.splitlines()[:2]
    assert first.startswith("NaN in mean") and "log made -infinity of finite operands, in the kernel of" in first
    assert place.strip() == f"at {line_of('planted')}"
    assert "gf.log(gf.nn.relu(x @ w))" in text and "operand 0, relu: float32[2, 3]" in text
    assert f"it became NaN in multiply at {line_of('turned')}" in text


def test_state_is_as_before_and_the_next_call_works() -> None:
    x = gf.placeholder("float64", (), name="x")
    s = gf.shared(np.float64(1.0), name="s")
    f = gf.function([x], None, updates=[(s, s * gf.sqrt(x))])
    assert "NaN in multiply" in (text := failure(f, -1.0)) and "sqrt made NaN of finite operands" in text
    assert s.get_value() == 1.0
    with gf.config.override(check_nan=True):
        f(4.0)
    assert s.get_value() == 2.0


def test_a_gradient_that_overflows_names_the_op_it_is_the_gradient_of() -> None:
    x = gf.placeholder("float32", (None,), name="x")
    y = gf.sum(gf.sqrt(x))  # forward
    text = failure(gf.function([x], gf.grad(y, x)), np.array([1.0, 0.0], np.float32))
    assert text.startswith("infinity in") and f"at {line_of('forward')}" in text


def test_what_was_fed_or_held_is_named_as_such() -> None:
    x = gf.placeholder("float32", (3,), name="x")  # fed
    w = gf.shared(np.array([1, np.inf, 1], np.float32), name="w")
    text = failure(gf.function([x], x + 1), [1, np.nan, 3])
    assert "x held NaN before the call" in text and f"at {line_of('fed')}" in text and "nan" in text
    assert "w held infinity before the call" in failure(gf.function([x], x * w), [1, 2, 3])


def test_infinities_of_a_mask_are_no_fault_but_nan_of_them_is() -> None:
    x = gf.placeholder("float32", (None, 3), name="x")
    masked = gf.where(x > 0, x, np.float32(-np.inf))
    f = gf.function([x], gf.nn.softmax(masked))  # softmax
    with gf.config.override(check_nan=True):
        assert (f([[1, -1, 1]]) == [[0.5, 0, 0.5]]).all()
    text = failure(f, [[-1, -1, -1]])
    assert "made NaN of an infinity" in text and f"at {line_of('softmax')}" in text


def test_values_that_do_not_reach_a_result_are_no_fault() -> None:
    x = gf.placeholder("float32", (None,), name="x")
    f = gf.function([x], gf.where(x > 0, gf.log(x), 0.0))
    with gf.config.override(check_nan=True):
        assert (f([1, -1]) == 0).all()


def test_of_one_function() -> None:
    x = gf.placeholder("float64", (None,), name="x")
    f, g = gf.function([x], gf.log(x), check_nan=True), gf.function([x], gf.log(x))
    for _ in range(6):  # native calls would not look
        f([1.0])
    with pytest.raises(CheckError, match="log made NaN of finite operands"):
        f([-1.0])
    assert np.isnan(g([-1.0])).all()


def test_in_a_session() -> None:
    x = gf.placeholder("float64", (), name="x")
    with gf.config.override(check_nan=True), gf.Session() as session, pytest.raises(CheckError, match="divide made infinity of finite operands"):
        session.run(1.0 / x, {x: 0.0})


def test_large_operands_are_summarised() -> None:
    x = gf.placeholder("float64", (None,), name="x")
    values = np.linspace(0, 9, 10)
    text = failure(gf.function([x], gf.log(x)), values)
    assert "operand 0, x: float64[10], from 0 to 9, mean 4.5; 1 0, the first at [0]" in text
    assert "result: float64[10], from 0 to 2.19722" in text and "; 1 -inf, the first at [0]; 1 0, the first at [1]" in text


# --- loops and branches ------------------------------------------------------------------------------
def recurrence() -> tuple[gf.Variable, gf.Variable, gf.Variable]:
    x, w = gf.placeholder("float32", (None, 4), name="x"), gf.shared(np.eye(4, dtype=np.float32), name="w")

    def trip(row: gf.Variable, h: gf.Variable) -> gf.Variable:
        return gf.tanh(gf.log(row) + h @ w)  # inside

    hs, _ = gf.scan(trip, sequences=[x], outputs_info=[gf.zeros((4,), "float32")])
    return x, w, hs


def test_a_fault_in_a_trip_of_a_loop() -> None:
    x, w, hs = recurrence()
    loss = gf.sum(hs)
    rows = np.ones((9, 4), np.float32)
    rows[5, 2] = -1
    text = failure(gf.function([x], [loss, gf.grad(loss, w)]), rows)
    assert "log made NaN of finite operands" in text and f"at {line_of('inside')}" in text
    assert "[ 1.,  1., -1.,  1.]" in text
    text = failure(gf.function([x], hs[-1]), rows)
    assert "log made NaN" in text and f"at {line_of('inside')}" in text


def test_a_carry_that_grows_without_bound() -> None:
    x = gf.placeholder("float64", (), name="x")
    hs, _ = gf.scan(lambda h: h * h + 1, outputs_info=[x], n_steps=40)
    text = failure(gf.function([x], hs[-1]), 3.0)
    assert text.startswith("infinity in") and "made infinity of finite operands" in text


def test_a_value_that_a_foreign_call_made() -> None:
    x = gf.placeholder("float64", (None,), name="x")
    y = gf.py_function(lambda a: a * np.nan, [x], x.type)  # foreign
    text = failure(gf.function([x], gf.sum(y) + 1), [1.0])
    assert "python_call made NaN" in text and f"at {line_of('foreign')}" in text


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_looked_at_too(dtype: str) -> None:
    x = gf.placeholder("float32", (None,), name="x")
    f = gf.function([x], gf.log(gf.cast(x, dtype)))
    text = failure(f, -np.ones(8, np.float32))
    assert text.startswith(f"NaN in cast: {dtype}") and "log made NaN of finite operands" in text
