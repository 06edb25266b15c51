"""The rule sets, in the order in which they are tried on a node, and the two phases of a compilation."""

from __future__ import annotations

from graphflow.compiler.rewrite import RuleSet
from graphflow.compiler.rules.canonicalize import CANONICALIZE
from graphflow.compiler.rules.expand import EXPAND
from graphflow.compiler.rules.fold import FOLD
from graphflow.compiler.rules.recognize import RECOGNIZE
from graphflow.compiler.rules.simplify import SIMPLIFY
from graphflow.compiler.rules.stabilize import STABILIZE
from graphflow.compiler.rules.user import USER

RULE_SETS: list[RuleSet] = [FOLD, CANONICALIZE, SIMPLIFY, STABILIZE, RECOGNIZE, USER, EXPAND]

# First on the user's terms, then on what composed ops are made of.
PHASES: list[list[RuleSet]] = [
    [FOLD, CANONICALIZE, SIMPLIFY, STABILIZE, RECOGNIZE, USER],
    [FOLD, CANONICALIZE, SIMPLIFY, STABILIZE, USER, EXPAND],
]
