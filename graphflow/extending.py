"""`gf.extending`: rewrite rules and native code of one's own.

    from graphflow.extending import P, hole, rule, rules

    x = hole("x", "float")
    with rules(rule(P.arctanh(P.tanh(x)), x, assumes="real")):
        f = gf.function([v], gf.arctanh(gf.tanh(v)))      # compiled as v

`P.name` is the op class of that name, graphflow's or one's own (`gf.register`); numbers and the operators + - * / ** stand for themselves.
A rule states what it assumes: "nothing" (the bits stay), "real" (real arithmetic) or "finite" (fires on proof, or with
`gf.config.fastmath`).  Own rules are tried after graphflow's, on graphs that are compiled while they are in force; those are not cached
on disk.  `define_native` gives an `ExternOp` its code.  See `graphflow.compiler.pattern` for the whole language, and `procedural` for rules written as functions of a node.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from graphflow.compiler.pattern import Match, P, PatternRule, hole, param, procedural, require_survival, rule, scalar
from graphflow.compiler.rewrite import Rule, RuleSet
from graphflow.compiler.rules import PHASES
from graphflow.compiler.rules.user import USER
from graphflow.graph.errors import GraphError
from graphflow.runtime.externs import define as define_native

__all__ = ["Match", "P", "Rule", "add_rules", "define_native", "hole", "param", "procedural", "remove_rules", "rule", "rules", "scalar"]

_lock = threading.Lock()


def add_rules(*new: Rule) -> None:
    """Put rules in force, after those that are, for graphs compiled from now on.

    Raises CompileError for a pattern that graphflow's own rules, or the rules before it, rewrite first, so that it could never fire.
    """
    with _lock:
        for one in new:
            if isinstance(one, PatternRule):
                before = [s for s in PHASES[0] if s is not USER]
                require_survival(one, [*before, RuleSet("user", USER.rules)])
            USER.replace((*USER.rules, one))


def remove_rules(*old: Rule) -> None:
    """Take rules out of force.  Raises GraphError for one that is not in force."""
    with _lock:
        for one in old:
            if one not in USER.rules:
                raise GraphError(f"{one!r} is not in force", hint="only rules that add_rules was given can be removed")
            USER.replace(r for r in USER.rules if r is not one)


@contextlib.contextmanager
def rules(*new: Rule) -> Iterator[None]:
    """`with rules(...)`: rules in force for what is compiled inside; a function is compiled when it is first called."""
    add_rules(*new)
    try:
        yield
    finally:
        remove_rules(*new)
