"""Rules that users add: tried after graphflow's own, in both phases."""

from __future__ import annotations

from collections.abc import Iterable

from graphflow.compiler.rewrite import Rule, RuleSet


class UserRules(RuleSet):
    """A rule set whose rules change while the process runs."""

    def replace(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._by_op.clear()


USER = UserRules("user", ())
