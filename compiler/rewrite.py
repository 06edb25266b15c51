"""Rules and their driver: a graph in, an equal and simpler graph out.

Every node passes through a smart constructor, inputs first: it is interned, and the rules for
its op are tried in order; where one fires, the nodes of its right side pass through the constructor in turn,
until no rule fires.  A node is therefore looked at once for each time it changes, and the
work is linear in the size of the graph.  A rule sees only what is below a node, never its users, so
one pass reaches the fixed point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from graphflow.compiler import facts
from graphflow.compiler.intern import Interner
from graphflow.graph import source
from graphflow.graph.dim import Size
from graphflow.graph.errors import CompileError, GraphflowError
from graphflow.graph.op import Op
from graphflow.graph.types import Shape
from graphflow.graph.variable import Apply, Constant, Variable, explain
from graphflow.ops.shape import BroadcastTo, is_one

MAX_CHAIN = 200  # rules fired on each other's results
MAX_FIRINGS_PER_NODE = 200
FREE_FIRINGS = 20_000

Replacement = Variable | tuple[Variable, ...] | None


@dataclass(frozen=True)
class RewriteOptions:
    """`fastmath`: rules that assume finite values fire without proof."""

    fastmath: bool = False


EXACT = RewriteOptions()


@dataclass(frozen=True, eq=False)
class Rule:
    """`apply(node, options)` gives what replaces the node's output(s), or None.

    `doc` is the arrow line by which messages and statistics name the rule.  `root`: the op
    class it is tried on; with `forms` on its subclasses too.  `operands`: op classes (and Constant)
    that must be among those that made the node's inputs, else it is not tried.
    """

    doc: str
    root: type[Op]
    apply: Callable[[Apply, RewriteOptions], Replacement]
    forms: bool = False
    assumes: str = "nothing"
    operands: frozenset[type] = frozenset()

    def concerns(self, op: type[Op]) -> bool:
        return issubclass(op, self.root) if self.forms else op is self.root

    def __repr__(self) -> str:
        return f"<rule {self.doc}>"


class RuleSet:
    """A named, ordered list of rules."""

    def __init__(self, name: str, rules: Iterable[Rule]) -> None:
        self.name = name
        self.rules = tuple(rules)
        self._by_op: dict[type[Op], tuple[Rule, ...]] = {}

    def concerning(self, op: type[Op]) -> tuple[Rule, ...]:
        found = self._by_op.get(op)
        if found is None:
            found = self._by_op[op] = tuple(r for r in self.rules if r.concerns(op))
        return found

    def __repr__(self) -> str:
        return f"<rule set {self.name}: {len(self.rules)} rules>"


@dataclass
class Stats:
    """Work that was done: nodes made, rules tried, and how often each fired (by `doc`)."""

    nodes: int = 0
    tries: int = 0
    fired: Counter[str] = field(default_factory=Counter)

    @property
    def work(self) -> int:
        return self.nodes + self.tries


@dataclass(frozen=True, eq=False)
class _Chain:
    """The rules that led to a node, newest first."""

    rule: Rule
    earlier: _Chain | None
    length: int

    def names(self) -> list[str]:
        """The distinct rules among the newest."""
        found: dict[str, None] = {}
        link: _Chain | None = self
        for _ in range(50):
            if link is None:
                break
            found.setdefault(link.rule.doc)
            link = link.earlier
        return list(found)


@dataclass(slots=True)
class _Frame:
    """A node under construction: `made` is set once its inputs are done, `becomes` once a rule fired.

    `scope`: the name scope for a node that a rule made; None for one of the graph given.
    """

    node: Apply
    chain: _Chain | None = None
    scope: str | None = None
    made: Apply | None = None
    becomes: tuple[Variable, ...] = ()


class Rewriter:
    """Rewrites graphs by the rules of one set, or of several tried in order."""

    def __init__(
        self, rules: RuleSet | Sequence[RuleSet], interner: Interner, options: RewriteOptions = EXACT
    ) -> None:
        self.rule_sets = (rules,) if isinstance(rules, RuleSet) else tuple(rules)
        self.interner = interner
        self.options = options
        self.stats = Stats()
        self._done: dict[Apply, tuple[Variable, ...]] = {}
        self._leaves: dict[Variable, Variable] = {}
        self._under_way: set[Apply] = set()
        self._rules: dict[type[Op], tuple[Rule, ...]] = {}
        self._originals = self._firings = 0

    def rewrite(self, outputs: Sequence[Variable]) -> list[Variable]:
        """Interned Variables with the values and types of `outputs`, to which no rule applies.

        Raises CompileError for a rule that raises, changes a type, or never comes to an end.
        """
        for v in outputs:
            if v.owner is not None:
                self._construct(v.owner)
        return [self._new(v) for v in outputs]

    # --- the smart constructor ---------------------------------------------------------------
    def _construct(self, root: Apply) -> None:
        stack = [_Frame(root)]
        while stack:
            frame = stack[-1]
            if frame.node in self._done:
                stack.pop()
            elif frame.made is not None:
                self._finish(frame, tuple(map(self._new, frame.becomes)))
            elif missing := self._missing(frame.node.inputs):
                stack.extend(_Frame(owner, frame.chain, frame.scope) for owner in reversed(missing))
            else:
                needed = self._make(frame)
                scope = frame.node.scope if frame.scope is None else frame.scope
                stack.extend(_Frame(owner, frame.chain, scope) for owner in reversed(needed))

    def _make(self, frame: _Frame) -> list[Apply]:
        """Intern the node and try the rules on it; the nodes of a right side that are to be made first."""
        node = frame.node
        made = self._intern(node, node.scope if frame.scope is None else frame.scope)
        self.stats.nodes += 1
        self._originals += frame.scope is None
        if (known := self._done.get(made)) is not None:
            frame.made = made
            self._finish(frame, known)
            return []
        if made in self._under_way:
            raise self._cycle(frame.chain, made)
        frame.made = made
        fired = self._fire(made)
        if fired is None:
            self._finish(frame, made.outputs)
            return []
        rule, frame.becomes = fired
        frame.chain = self._lengthen(frame.chain, rule, made)
        self._under_way.add(made)
        return self._missing(frame.becomes)

    def _finish(self, frame: _Frame, outputs: tuple[Variable, ...]) -> None:
        assert frame.made is not None
        self._under_way.discard(frame.made)
        self._done[frame.made] = self._done[frame.node] = outputs
        if frame.scope is None:
            for old, new in zip(frame.node.outputs, outputs, strict=True):
                self.interner.record(new, old)

    def _missing(self, variables: Iterable[Variable]) -> list[Apply]:
        return [v.owner for v in variables if v.owner is not None and v.owner not in self._done]

    def _new(self, v: Variable) -> Variable:
        if v.owner is not None:
            return self._done[v.owner][v.index]
        found = self._leaves.get(v)
        if found is None:
            found = self._leaves[v] = self.interner.leaf(v)
        return found

    def _intern(self, node: Apply, scope: str) -> Apply:
        inputs = [self._new(v) for v in node.inputs]
        try:
            return self.interner.make(node.op, inputs, node.source, scope)
        except GraphflowError as error:
            with source.at(node.source):
                raise (error if error.context else explain(error, node.op, inputs)) from None

    # --- one rule ----------------------------------------------------------------------------
    def _fire(self, node: Apply) -> tuple[Rule, tuple[Variable, ...]] | None:
        operands = {type(v) if v.owner is None else type(v.owner.op) for v in node.inputs}
        if any(map(facts.is_constant, node.inputs)):
            operands.add(Constant)
        with source.at(node.source):
            for rule in self._concerning(type(node.op)):
                if rule.operands <= operands:
                    result = self._try(rule, node)
                    if result is not None:
                        return rule, result
        return None

    def _try(self, rule: Rule, node: Apply) -> tuple[Variable, ...] | None:
        self.stats.tries += 1
        try:
            result = rule.apply(node, self.options)
        except Exception as error:
            raise _failure(f"the rule `{rule.doc}` raised {type(error).__name__}: {error}", node) from error
        if result is None:
            return None
        self.stats.fired[rule.doc] += 1
        self._firings += 1
        return self._fit(rule, node, result if isinstance(result, tuple) else (result,))

    def _concerning(self, op: type[Op]) -> tuple[Rule, ...]:
        found = self._rules.get(op)
        if found is None:
            found = self._rules[op] = tuple(r for rules in self.rule_sets for r in rules.concerning(op))
        return found

    def _fit(self, rule: Rule, node: Apply, results: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """The results, broadcast to the types of the node's outputs; raises CompileError if they do not fit."""
        if len(results) != len(node.outputs):
            raise _failure(f"the rule `{rule.doc}` gave {len(results)} results for {len(node.outputs)}", node)
        fitted: list[Variable] = []
        for old, new in zip(node.outputs, results, strict=True):
            if new.dtype != old.dtype or not self._spans(new.shape, old.shape):
                raise _failure(f"the rule `{rule.doc}` made {new.type} of {old.type}", node)
            if len(new.shape) != len(old.shape) or any(map(_widens, new.shape, old.shape)):
                new = BroadcastTo(old.shape)(new)
            fitted.append(new)
        return tuple(fitted)

    def _spans(self, small: Shape, large: Shape) -> bool:
        lead = len(large) - len(small)
        return lead >= 0 and all(is_one(a) or self._same(a, b) for a, b in zip(small, large[lead:], strict=True))

    def _same(self, a: Size, b: Size) -> bool:
        return a == b or frozenset((a, b)) in self.interner.equal_sizes

    def _lengthen(self, chain: _Chain | None, rule: Rule, node: Apply) -> _Chain:
        longer = _Chain(rule, chain, chain.length + 1 if chain else 1)
        if longer.length > MAX_CHAIN or self._firings > FREE_FIRINGS + MAX_FIRINGS_PER_NODE * self._originals:
            raise self._cycle(longer, node)
        return longer

    def _cycle(self, chain: _Chain | None, node: Apply) -> CompileError:
        names = chain.names() if chain else []
        listed = "".join(f"\n  {name}" for name in names)
        return _failure(f"rewriting does not come to an end; these rules undo or feed each other:{listed}", node)


def _widens(a: Size, b: Size) -> bool:
    return is_one(a) and not is_one(b)


def _failure(message: str, node: Apply) -> CompileError:
    lines = (f"  at the node {node!r}", source.describe(node.source))
    return CompileError(message, context=lines, hint="this is a fault of the rule, not of your program")
