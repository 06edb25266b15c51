"""The pattern language: rules written with the ops on holes.

    x = hole("x")
    rule(P.log(1 + P.exp(x)), P.softplus(x))          # log(1 + exp(x)) -> softplus(x)

`P.name` is the op (or, on a right side, the public function) of that name.  On the left nothing is
inferred: a number matches a constant filled with it, of any dtype and seen through broadcasts
and casts; commutative ops match both ways; a hole that stands twice must be the same Variable twice.

A rule says what it assumes.  "nothing": the value keeps its bits.  "real": real arithmetic, so
rounding, overflow on the way and the sign of zero may change.  "finite": no infinities or NaN; it fires only
where that is proved, on integers, or with `fastmath`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

import graphflow.ops  # noqa: F401  fills PUBLIC and REGISTRY
from graphflow.compiler import facts
from graphflow.compiler.intern import Interner, encode
from graphflow.compiler.rewrite import Replacement, RewriteOptions, Rewriter, Rule, RuleSet
from graphflow.graph import source
from graphflow.graph.errors import CompileError
from graphflow.graph.op import REGISTRY, Op
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Apply, Constant, Placeholder, Variable, constant
from graphflow.ops.public import PUBLIC

Assumption = Literal["nothing", "real", "finite"]

KINDS = {"float": "f", "int": "iu", "number": "fiu", "bool": "b", "bits": "iub", "any": "fiub"}
OP_CLASSES: dict[str, type[Op]] = {c.name: c for c in REGISTRY.classes if c.__module__.startswith("graphflow.ops")}


# --- patterns ----------------------------------------------------------------------------------
class Pattern:
    """A hole, a number, or an op on patterns; Python's operators make patterns."""

    def __add__(self, other: Any) -> Call:
        return Call("add", (self, as_pattern(other)))

    def __radd__(self, other: Any) -> Call:
        return Call("add", (as_pattern(other), self))

    def __sub__(self, other: Any) -> Call:
        return Call("subtract", (self, as_pattern(other)))

    def __rsub__(self, other: Any) -> Call:
        return Call("subtract", (as_pattern(other), self))

    def __mul__(self, other: Any) -> Call:
        return Call("multiply", (self, as_pattern(other)))

    def __rmul__(self, other: Any) -> Call:
        return Call("multiply", (as_pattern(other), self))

    def __truediv__(self, other: Any) -> Call:
        return Call("divide", (self, as_pattern(other)))

    def __rtruediv__(self, other: Any) -> Call:
        return Call("divide", (as_pattern(other), self))

    def __pow__(self, other: Any) -> Call:
        return Call("power", (self, as_pattern(other)))

    def __neg__(self) -> Call:
        return Call("negative", (self,))


@dataclass(frozen=True, eq=False)
class Hole(Pattern):
    """Any Variable of a kind of dtype; `scalar`: only a constant with one value everywhere."""

    name: str
    kind: str = "number"
    scalar: bool = False

    def accepts(self, v: Variable) -> bool:
        return v.dtype.kind in KINDS[self.kind] and not (self.scalar and facts.uniform_value(v) is None)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class Number(Pattern):
    """A constant filled with `value`; 0.0 and -0.0 differ, and only a bool matches bools."""

    value: float | int | bool

    def accepts(self, v: Variable) -> bool:
        if isinstance(self.value, bool) != (v.dtype.kind == "b"):
            return False
        found = facts.uniform_value(v)
        return found is not None and bool(found == self.value) and bool(np.signbit(float(found)) == np.signbit(self.value))

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class Param:
    """A parameter of an op, bound where it is met; `example` is one that makes sense."""

    name: str
    example: Any

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class Call(Pattern):
    """The op `name` on patterns, its parameters given by keyword."""

    name: str
    args: tuple[Pattern, ...]
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def op(self) -> type[Op]:
        return OP_CLASSES.get(self.name) or _users_op(self.name)

    def __str__(self) -> str:
        if self.name in _INFIX:
            return f" {_INFIX[self.name]} ".join(f"({a})" if isinstance(a, Call) and a.name in _INFIX else str(a) for a in self.args)
        if self.name == "negative":
            (arg,) = self.args
            return f"-({arg})" if isinstance(arg, Call) and (arg.name in _INFIX or arg.name == "negative") else f"-{arg}"
        return f"{self.name}({', '.join([*map(str, self.args), *(f'{k}={v}' for k, v in self.params.items())])})"


def _users_op(name: str) -> type[Op]:
    """The op class a user has registered last under a name; raises CompileError if there is none."""
    found = [c for c in REGISTRY.classes if c.name == name]
    if not found:
        raise CompileError(f"no op has the name {name!r}", hint="patterns are written with the names of op classes; see gf.extending")
    return found[-1]


_INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "power": "**"}


class _Namespace:
    """`P.log(x)` is the pattern of the op `log` on x."""

    def __getattr__(self, name: str) -> Callable[..., Call]:
        return lambda *args, **params: Call(name, tuple(map(as_pattern, args)), params)


P = _Namespace()


def as_pattern(value: Any) -> Pattern:
    return value if isinstance(value, Pattern) else Number(value)


def hole(name: str, kind: str = "number", scalar: bool = False) -> Hole:
    """A place for any Variable of `kind`: 'float', 'int', 'number' (both), 'bool', 'bits' (int, bool), 'any'."""
    return Hole(name, kind, scalar)


def scalar(name: str) -> Hole:
    """A place for a constant with one value everywhere; `match.value(name)` is that value."""
    return Hole(name, "number", True)


def param(name: str, example: Any) -> Param:
    return Param(name, example)


# --- matching ----------------------------------------------------------------------------------
Bound = Mapping[str, Any]


class Match:
    """What holes and params stand for (`m.x`), and the node that matched."""

    def __init__(self, node: Apply, bound: Bound, options: RewriteOptions) -> None:
        self.node = node
        self.bound = bound
        self.fastmath = options.fastmath

    def __getattr__(self, name: str) -> Any:
        try:
            return self.bound[name]
        except KeyError:
            raise AttributeError(f"the pattern has no hole {name!r}") from None

    @property
    def type(self) -> TensorType:
        return self.node.outputs[0].type

    def value(self, name: str) -> Any:
        """The one value of a scalar hole, as a NumPy scalar."""
        return facts.uniform_value(self.bound[name])


def matches(pattern: Pattern, v: Variable) -> Iterator[Bound]:
    """All ways in which `v` fits `pattern`."""
    return _unify([(pattern, v)], {})


def _unify(todo: Sequence[tuple[Pattern, Variable]], bound: Bound) -> Iterator[Bound]:
    if not todo:
        yield bound
        return
    (pattern, v), *rest = todo
    if isinstance(pattern, Hole):
        if pattern.name in bound:
            if bound[pattern.name] is v:
                yield from _unify(rest, bound)
        elif pattern.accepts(v):
            yield from _unify(rest, {**bound, pattern.name: v})
    elif isinstance(pattern, Number):
        if pattern.accepts(v):
            yield from _unify(rest, bound)
    elif isinstance(pattern, Call) and v.owner is not None and type(v.owner.op) is pattern.op:
        extended = _unify_params(pattern.params, v.owner.op, bound)
        if extended is None or len(v.owner.inputs) != len(pattern.args):
            return
        orders = [v.owner.inputs, v.owner.inputs[::-1]] if pattern.op.commutative else [v.owner.inputs]
        for inputs in orders:
            yield from _unify([*zip(pattern.args, inputs, strict=True), *rest], extended)


def _unify_params(params: Mapping[str, Any], op: Op, bound: Bound) -> Bound | None:
    for name, wanted in params.items():
        have = getattr(op, name)
        if isinstance(wanted, Param):
            if wanted.name in bound:
                wanted = bound[wanted.name]
            else:
                bound = {**bound, wanted.name: have}
                continue
        if encode(have) != encode(wanted):
            return None
    return bound


# --- right sides -------------------------------------------------------------------------------
def build(pattern: Pattern, bound: Bound) -> Any:
    """The Variable of a pattern whose holes are bound (a number stays a number)."""
    if isinstance(pattern, Hole):
        return bound[pattern.name]
    if isinstance(pattern, Number):
        return pattern.value
    assert isinstance(pattern, Call)
    args = [build(a, bound) for a in pattern.args]
    if not pattern.params and pattern.name in PUBLIC:
        return PUBLIC[pattern.name](*args)
    params = {k: bound[v.name] if isinstance(v, Param) else v for k, v in pattern.params.items()}
    return pattern.op(**params)(*args)


# --- rules -------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class PatternRule(Rule):
    """A rule whose left side is a pattern; tests and the check at registration make graphs from it."""

    left: Call = Call("add", ())


def rule(
    left: Call,
    right: Pattern | float | bool | Callable[[Match], Variable | None],
    *,
    doc: str = "",
    where: Callable[[Match], bool] | None = None,
    assumes: Assumption = "nothing",
    proof: Callable[[Match], bool] | None = None,
) -> PatternRule:
    """`left -> right`: a pattern, a number, or a function of the Match that returns a Variable or None.

    `where`: a further condition.  `proof`: what makes a rule that assumes finite values fire
    without `fastmath`; by default that all holes are proved finite.
    """
    holes = sorted({h.name for h in _holes(left)})
    proof = proof or (lambda m: all(facts.finite(m.bound[name]) for name in holes))
    make = right if callable(right) and not isinstance(right, Pattern) else _maker(as_pattern(right))

    def apply(node: Apply, options: RewriteOptions) -> Replacement:
        for bound in matches(left, node.outputs[0]):
            m = Match(node, bound, options)
            if where is not None and not where(m):
                continue
            if assumes == "finite" and not options.fastmath and not proof(m):
                continue
            result = make(m)
            if result is not None:
                return result
        return None

    _require_all_params(left)
    return PatternRule(doc or f"{left} -> {right}", left.op, apply, assumes=assumes, operands=_operands(left), left=left)


def _maker(right: Pattern) -> Callable[[Match], Variable]:
    def make(m: Match) -> Variable:
        made = build(right, m.bound)
        return made if isinstance(made, Variable) else constant(made, m.type.dtype)

    return make


def _holes(pattern: Pattern) -> Iterator[Hole]:
    if isinstance(pattern, Hole):
        yield pattern
    elif isinstance(pattern, Call):
        for a in pattern.args:
            yield from _holes(a)


def _operands(left: Call) -> frozenset[type]:
    """What must be among the operands of a node for the pattern to fit."""
    return frozenset(
        a.op if isinstance(a, Call) else Constant
        for a in left.args
        if isinstance(a, Call | Number) or (isinstance(a, Hole) and a.scalar)
    )


def _require_all_params(pattern: Pattern) -> None:
    if isinstance(pattern, Call):
        missing = {f.name for f in dataclasses.fields(pattern.op)} - set(pattern.params)  # type: ignore[arg-type]
        if missing:
            raise CompileError(f"the pattern {pattern} leaves out {', '.join(sorted(missing))}", hint="bind them by param(...)")
        for a in pattern.args:
            _require_all_params(a)


def procedural(
    root: str | type[Op], doc: str, assumes: Assumption = "nothing"
) -> Callable[[Callable[[Apply, RewriteOptions], Replacement]], Rule]:
    """Decorator: a rule written as a function of the node.

    `root`: the name of an op, or a form (ScalarOp, FoldOp ...) for all its ops.
    """

    def decorate(fn: Callable[[Apply, RewriteOptions], Replacement]) -> Rule:
        if isinstance(root, str):
            return Rule(doc, OP_CLASSES[root], fn, assumes=assumes)
        return Rule(doc, root, fn, forms=True, assumes=assumes)

    return decorate


# --- the check at registration -------------------------------------------------------------------
def rule_set(name: str, rules: Sequence[Rule], after: Sequence[RuleSet] = ()) -> RuleSet:
    """A RuleSet whose left sides survive the sets tried before it and its own earlier rules.

    Raises CompileError for a rule that could never match.
    """
    with source.at(source.here()):
        for i, one in enumerate(rules):
            if isinstance(one, PatternRule):
                require_survival(one, [*after, RuleSet(name, rules[:i])])
    return RuleSet(name, rules)


def require_survival(one: PatternRule, before: Sequence[RuleSet]) -> None:
    """CompileError unless the left side of `one`, rewritten by the sets `before` it, still matches itself."""
    rewriter = Rewriter(before, Interner())
    (root,) = rewriter.rewrite([build(one.left, example(one.left))])
    if next(matches(one.left, root), None) is None:
        by = "".join(f"\n  {doc}" for doc in rewriter.stats.fired)
        raise CompileError(f"the rule `{one.doc}` can never fire: its left side is first rewritten by{by}", hint="write the left side in canonical form")


def example(pattern: Pattern) -> dict[str, Any]:
    """Bindings that make a graph of a left side: matrices for holes, 2.5 (or 5) for scalars."""
    bound: dict[str, Any] = {}
    for h in _holes(pattern):
        dtype = np.dtype({"int": "int64", "bits": "int64", "bool": "bool"}.get(h.kind, "float64"))
        value = np.array(5 if h.kind == "int" else 2.5, dtype)
        bound.setdefault(h.name, constant(value) if h.scalar else Placeholder(TensorType(dtype, (2, 3)), h.name))
    for p in _params(pattern):
        bound.setdefault(p.name, p.example)
    return bound


def _params(pattern: Pattern) -> Iterator[Param]:
    if isinstance(pattern, Call):
        yield from (p for p in pattern.params.values() if isinstance(p, Param))
        for a in pattern.args:
            yield from _params(a)
