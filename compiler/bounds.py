"""What follows about an index from the bounds of its symbols and the masks around it.

`graph.dim` decides with one bound per atom, which is enough to simplify.  Proving an access in
bounds after a split needs more: `6*(n//6) <= n`, either side of a `min`, and masks as facts.
Here atoms leave from the newest to the oldest, and every bound an atom has is tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, permutations
from math import gcd

from graphflow.compiler.kernel import I64, Call, Const, Expr, Index, Var
from graphflow.graph.dim import Atom, Compound, Dim, Size, Symbol, floordiv, substitute, symbols_of

_STEPS = 16  # atoms an index of real kernels has, with those of its bounds
_TRIES = 2000  # sizes looked at before a proof is given up; real ones take a few dozen


def proves(size: Size, facts: Sequence[Size] = ()) -> bool:
    """True only if `size >= 0` follows from the bounds of its symbols and from `facts`, which are all >= 0."""
    if isinstance(size, int) and size >= 0:
        return True
    prover = _Prover(facts)
    return prover.contradiction or prover.holds(size, _STEPS)


def contradictory(facts: Sequence[Size]) -> bool:
    """Is there a fact that cannot hold, so that nothing is executed under these?"""
    return _Prover(facts).contradiction


def at_most_once(var: Symbol, extent: Size, facts: Sequence[Size]) -> bool:
    """Has the loop over `var` one iteration, or do the facts hold in its last one only?"""
    earlier = Symbol(var.name, var.lo, extent - 1)
    return proves(1 - extent) or any(proves(-1 - substitute(fact, {var: Dim.of(earlier)})) for fact in facts)


def facts_of(cond: Expr, lets: Mapping[Symbol, Expr], holds: bool = True) -> list[Size]:
    """Sizes that are >= 0 where `cond` is true (or, without `holds`, false); `lets` are the Lets in scope.

    Only comparisons of index algebra count: int64 arithmetic of data may wrap.
    """
    if isinstance(cond, Var) and cond.symbol in lets:
        return facts_of(lets[cond.symbol], lets, holds)
    if not isinstance(cond, Call):
        return []
    if cond.prim == "not":
        return facts_of(cond.args[0], lets, not holds)
    if cond.prim == ("and" if holds else "or"):
        return [fact for part in cond.args for fact in facts_of(part, lets, holds)]
    if cond.prim not in ("lt", "le", "eq") or cond.args[0].dtype != I64:
        return []
    a, b = (as_size(e, lets) for e in cond.args)
    if a is None or b is None:
        return []
    match cond.prim, holds:
        case "lt", True:
            return [b - a - 1]
        case "lt", False:
            return [a - b]
        case "le", True:
            return [b - a]
        case "le", False:
            return [a - b - 1]
        case "eq", True:
            return [a - b, b - a]
    return []


def as_size(e: Expr, lets: Mapping[Symbol, Expr]) -> Size | None:
    """The int64 expression as index algebra, if it is one."""
    match e:
        case Const():
            return int(e.value)
        case Index():
            return e.size
        case Var():
            return as_size(lets[e.symbol], lets) if e.symbol in lets else Dim.of(e.symbol)
    return None


def linear_in(size: Size, atom: Atom) -> tuple[Size, Size] | None:
    """`(slope, base)` with `size == slope * atom + base` and neither mentioning `atom` as a factor; None if there are none."""
    slope: Size = 0
    base: Size = 0
    for mono, c in size.terms.items() if isinstance(size, Dim) else [((), size)]:
        if atom not in mono:
            base = base + (Dim({mono: c}) if mono else c)
            continue
        rest = list(mono)
        rest.remove(atom)
        if atom in rest:
            return None
        slope = slope + (Dim({tuple(rest): c}) if rest else c)
    return slope, base


# --- facts -------------------------------------------------------------------------------------
def _sharpened(fact: Size) -> Iterator[Size]:
    """What follows from `fact >= 0` about integers: `2n - 1 -> n - 1`, both sides of a `min`, one side of a `max`."""
    if isinstance(fact, int):
        yield fact
        return
    common = gcd(*(c for mono, c in fact.terms.items() if mono))
    yield sum((Dim({m: c // common}) if m else c // common for m, c in fact.terms.items()), start=0)
    for atom in fact.atoms():
        split = linear_in(fact, atom)
        if isinstance(atom, Compound) and atom.kind in ("min", "max") and split is not None and isinstance(split[0], int):
            sides = [split[0] * side + split[1] for side in (atom.a, atom.b)]
            if (atom.kind == "max") == (split[0] > 0):  # one of them holds: it is the other if this one cannot
                sides = [y for x, y in (sides, sides[::-1]) if isinstance(x, int) and x < 0]
            for side in sides:
                yield from _sharpened(side)


def _multiples(size: Size, fact: Dim) -> list[Size]:
    """Multiples of `fact` that take a term of `size` away."""
    terms = size.terms if isinstance(size, Dim) else {}
    return [fact * c for c in sorted({terms[m] // c for m, c in fact.terms.items() if m in terms and terms[m] % c == 0}) if c > 0]


def _nested_quotients(size: Dim) -> Iterator[Size]:
    """`a//b - c*(a//(b*c))` is one of 0 .. c - 1: as sizes that are not negative, for such pairs in `size`."""
    quotients = [x for x in size.atoms() if isinstance(x, Compound) and x.kind == "//" and isinstance(x.b, int) and x.b > 0]
    for p, q in permutations(quotients, 2):
        if p.a == q.a and p.b != q.b and q.b % p.b == 0:
            rest = Dim.of(p) - Dim.of(q) * (q.b // p.b)
            yield from (rest, q.b // p.b - 1 - rest)


class _Prover:
    def __init__(self, facts: Sequence[Size]) -> None:
        known = dict.fromkeys(sharp for fact in facts for sharp in _sharpened(fact))
        self.contradiction = any(isinstance(fact, int) and fact < 0 for fact in known)
        self.facts = [fact for fact in known if isinstance(fact, Dim)]
        self.with_facts: dict[Size, bool] = {}
        self.without: dict[Size, bool] = {}

    def holds(self, size: Size, steps: int) -> bool:
        """`size >= 0`, by the bounds of its symbols and up to two facts."""
        if isinstance(size, int):
            return size >= 0
        if size not in self.with_facts:
            self.with_facts[size] = False  # while it is tried
            near = [multiple for fact in (*self.facts, *_nested_quotients(size)) if isinstance(fact, Dim) for multiple in _multiples(size, fact)]
            sums: list[Size] = [0, *near, *(a + b for a, b in combinations(near, 2))]
            self.with_facts[size] = any(self.follows(size - known, steps) for known in sums)
        return self.with_facts[size]

    def follows(self, size: Size, steps: int) -> bool:
        """`size >= 0`, by the bounds of its symbols."""
        if isinstance(size, int):
            return size >= 0
        if size not in self.without:
            if steps == 0 or len(self.without) >= _TRIES:
                return False
            self.without[size] = False  # while it is tried
            whole = _without_moduli(size)
            self.without[size] = self.no_negative_factor(size, steps - 1) or (whole != size and self.follows(whole, steps - 1)) or any(
                all((self.follows if len(bound) == 1 else self.holds)(v, steps - 1) for v in bound) for bound in self.bounds(size, False, steps - 1)
            )
        return self.without[size]

    def no_negative_factor(self, size: Dim, steps: int) -> bool:
        """Is `size` a sum of products with a square, which no bound is linear in, none of whose factors is negative?"""
        if not any(len(set(mono)) < len(mono) for mono in size.terms):
            return False
        return all(c >= 0 and all(self.follows(Dim({(atom,): 1}), steps) for atom in dict.fromkeys(mono)) for mono, c in size.terms.items())

    def bounds(self, size: Dim, upper: bool, steps: int) -> Iterator[tuple[Size, ...]]:
        """Sets of sizes without the newest atom: `size` is never above the largest (below the smallest) of each."""
        atom = max(size.atoms(), key=_age)
        split = linear_in(size, atom)
        if split is None:
            return
        slope, base = split
        if self.holds(slope, steps):
            high = upper
        elif self.holds(-slope, steps):
            high = not upper
        else:
            return
        for bound in self.bounds_of_atom(atom, high, steps):
            yield tuple(base + slope * v for v in bound)
        if isinstance(atom, Compound) and atom.kind == "//" and isinstance(atom.b, int) and isinstance(slope, int) and slope % atom.b == 0:
            yield (base + slope // atom.b * (atom.a if high else atom.a - (atom.b - 1)),)  # a - b < b*(a//b) <= a

    def bounds_of_atom(self, atom: Atom, upper: bool, steps: int) -> Iterator[tuple[Size, ...]]:
        if isinstance(atom, Symbol):
            if not upper:
                yield (atom.lo,)
            elif atom.hi is not None:
                yield (atom.hi - 1,)
            return
        a, b = atom.a, atom.b
        match atom.kind:
            case "min" | "max":
                yield from [(a,), (b,)] if upper == (atom.kind == "min") else [(a, b)]
            case "%" if self.holds(b - 1, steps):
                yield (b - 1,) if upper else (0,)
                if upper and self.holds(a, steps):
                    yield (a,)
            case "//":
                if not upper and self.holds(a, steps) and self.holds(b, steps):
                    yield (0,)
                if isinstance(a, Dim) and isinstance(b, int) and b > 0 and steps > 0:
                    for bound in self.bounds(a, upper, steps - 1):
                        yield tuple(floordiv(v, b) for v in bound)


def _age(atom: Atom) -> tuple[int, bool, int]:
    """Orders atoms: one comes after all that its bounds mention, and after the symbols in it."""
    symbols = [atom] if isinstance(atom, Symbol) else symbols_of(atom.a) | symbols_of(atom.b)
    return max((s.serial for s in symbols), default=-1), isinstance(atom, Compound), atom.serial


def _without_moduli(size: Dim) -> Size:
    """`size` with `a % b` as `a - b*(a//b)`, which may cancel."""
    whole: Size = size
    for atom in dict.fromkeys(size.atoms()):
        split = linear_in(whole, atom)
        if isinstance(atom, Compound) and atom.kind == "%" and split is not None:
            whole = split[0] * (atom.a - atom.b * floordiv(atom.a, atom.b)) + split[1]
    return whole
