"""Rewrite rules from outside: in force only where asked for, on graphflow's ops and on one's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler.pipeline import snapshot
from graphflow.compiler.reference import evaluate
from graphflow.compiler.rules.user import USER
from graphflow.extending import P, add_rules, hole, procedural, remove_rules, rule, rules
from graphflow.graph.errors import CompileError, GraphError
from graphflow.graph.traversal import toposort

x = hole("x", "float")


@gf.register
class Twice(gf.ScalarOp):
    """2 * x, slowly."""

    name = "test_twice"

    def scalar(self, b: Any, *xs: Any) -> Any:
        return xs[0] + xs[0]

    def reference(self, *arrays: Any) -> Any:
        return arrays[0] * 2


def compiled(v: gf.Variable, made: gf.Variable) -> list[str]:
    """The ops that are left once the rules were applied; the results are those without them."""
    at = np.array([0.25, -0.5])
    np.testing.assert_allclose(gf.function([v], made)(at), evaluate([made], {v: at})[0], rtol=1e-12)
    return [node.op.name for node in toposort(snapshot([made], "expand"))]


@pytest.mark.smoke
def test_a_rule_is_in_force_inside() -> None:
    v = gf.placeholder("float64", (None,))
    made = gf.arctanh(gf.tanh(v))
    inverse = rule(P.arctanh(P.tanh(x)), x, assumes="real")
    assert "tanh" in compiled(v, made)
    with rules(inverse):
        assert "tanh" not in compiled(v, made)
    assert "tanh" in compiled(v, made) and not USER.rules


def test_rules_on_own_ops() -> None:
    v = gf.placeholder("float64", (None,))
    made = Twice()(Twice()(v))
    four = rule(P.test_twice(P.test_twice(x)), x * 4)
    with rules(four):
        assert "test_twice" not in compiled(v, made)
    into = rule(gf.extending.P.multiply(x, 2), P.test_twice(x))
    with rules(into):
        assert "test_twice" in compiled(v, v * 2)


def test_procedural_rules() -> None:
    fired = []

    @procedural(Twice, "twice(x) -> x + x")
    def plain(node: Any, options: Any) -> Any:
        fired.append(node)
        return node.inputs[0] + node.inputs[0]

    v = gf.placeholder("float64", (None,))
    with rules(plain):
        assert "test_twice" not in compiled(v, Twice()(v))
    assert fired


def test_what_is_refused() -> None:
    with pytest.raises(CompileError, match="can never fire"):
        add_rules(rule(P.abs(P.abs(x)) * 3.0, x))
    assert not USER.rules
    with pytest.raises(GraphError, match="not in force"):
        remove_rules(rule(P.arctanh(P.tanh(x)), x))
    with pytest.raises(CompileError, match="no op has the name"):
        rule(P.no_such_op(x), x)
