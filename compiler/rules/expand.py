"""Composed ops (softmax, mean, logsumexp ...) become the ops they are made of."""

from __future__ import annotations

from graphflow.compiler.pattern import procedural, rule_set
from graphflow.compiler.rewrite import Replacement, RewriteOptions
from graphflow.graph.op import ComposeOp
from graphflow.graph.variable import Apply


@procedural(ComposeOp, "composed op -> its expansion", assumes="real")
def expand(node: Apply, options: RewriteOptions) -> Replacement:
    assert isinstance(node.op, ComposeOp)
    return node.op.expand(*node.inputs)


EXPAND = rule_set("expand", [expand])
