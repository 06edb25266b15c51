"""Assignments one after another, as updates that happen together."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import DTypeError
from graphflow.keras import backend as K
from graphflow.keras.assignments import Statements, inside_statements


def test_what_is_read_is_what_was_assigned_before() -> None:
    a, b = gf.shared(np.float32(1)), gf.shared(np.float32(10))
    x = gf.placeholder("float32", ())
    with Statements() as statements:
        old = a * 1
        a.assign(a + x)
        Statements.note([K.update_add(b, a)])
        a.assign(a * 2)
        b.assign(b + old)
        total = a + b
    step = gf.function([x], statements.now([total, a, old]), updates=statements.updates())
    for fed in (3.0, 1.0):
        first, second = a.get_value(), b.get_value()
        results = [float(v) for v in step(fed)]
        assert a.get_value() == 2 * (first + fed) and b.get_value() == second + first + fed + first
        assert results == [a.get_value() + b.get_value(), a.get_value(), first]


def test_nothing_is_left_of_them_outside() -> None:
    a = gf.shared(np.float32(1))
    assert not inside_statements()
    with pytest.raises(DTypeError), Statements():
        assert inside_statements()
        a.assign(gf.constant(2, "float64"))
    assert not inside_statements()
    with Statements() as statements:
        pass
    a.assign(3.0)
    assert statements.updates() == [] and a.get_value() == 1
