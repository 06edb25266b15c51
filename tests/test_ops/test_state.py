"""assign: what it takes, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from graphflow.graph.errors import DTypeError, GraphError, ShapeError
from graphflow.graph.variable import placeholder, shared
from graphflow.ops.state import assign, assign_add, assign_sub


def test_the_result_is_the_new_value(run):
    w, x = shared(np.ones((2, 3), "float32")), placeholder("float32", (2, 3))
    new = assign(w, w * x)
    assert new.owner.op.name == "assign" and new.owner.inputs[0] is w
    for made, expected in ((new, 4.0), (assign_add(w, x), 5.0), (assign_sub(w, 1), 0.0)):
        assert run([made], {x: np.full((2, 3), 4.0)})[0].tolist() == np.full((2, 3), expected).tolist()


def test_python_numbers_take_the_dtype_of_the_variable():
    assert assign(shared(np.float32(1)), 2).dtype == "float32"
    assert assign(shared(np.int8(1)), 2).dtype == "int8"


def test_sizes_may_change_unless_declared(run):
    x = placeholder("float32", (None,))
    assert run([assign(shared(np.zeros(2, "float32")), x)], {x: np.zeros(5)})[0].shape == (5,)
    with pytest.raises(ShapeError, match="declared shape differ in axis 0: 3 and 2"):
        assign(shared(np.zeros(2, "float32"), shape=(2,)), np.zeros(3, "float32"))


@pytest.mark.parametrize(
    "variable,value,error,text",
    [
        (placeholder("float32", ()), 1, GraphError, "not a shared variable"),
        (3, 1, GraphError, "not a shared variable"),
        (shared(np.zeros(2, "float32")), np.zeros(2), DTypeError, "float32 and the value float64"),
        (shared(np.zeros(2, "float32")), 1, ShapeError, r"shapes \[2\] and \[\]"),
        (shared(np.zeros(2, "float32"), shape=(2,)), np.zeros((2, 2), "float32"), ShapeError, "keeps its rank"),
    ],
)
def test_refusals(variable, value, error, text):
    for fn in (assign, assign_add) if error is GraphError else (assign,):
        with pytest.raises(error, match=text):
            fn(variable, value)
