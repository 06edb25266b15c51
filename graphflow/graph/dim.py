"""Symbolic sizes and indices: integer polynomials over named symbols.

A `Dim` is the size of an axis that is known only at run time, and the same algebra
serves the compiler's index arithmetic.  It is kept in normal form (a sum of monomials
with integer coefficients), so two equal expressions are equal objects in the sense of
`==`.  `//`, `%`, `minimum` and `maximum` become opaque atoms only where the bounds of their
symbols do not resolve them.  Every operator returns a plain `int` when the result is
constant.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import ClassVar, Union

Size = Union[int, "Dim"]

_serial = itertools.count()
MAX_EXTENT = 2**31 - 1


class Symbol:
    """A named integer with bounds `lo <= value < hi` (`hi` may itself be a `Dim`, or None)."""

    __slots__ = ("dim", "hi", "lo", "name", "origin", "serial")

    def __init__(self, name: str, lo: Size = 0, hi: Size | None = None, origin: object = None) -> None:
        self.name = name
        self.lo = lo
        self.hi = hi
        self.origin = origin
        self.serial = next(_serial)
        self.dim: Dim | None = None  # the one Dim of this symbol

    def __repr__(self) -> str:
        return self.name


class Compound:
    """`a // b`, `a % b`, `min(a, b)` or `max(a, b)` that the algebra could not resolve."""

    __slots__ = ("_hash", "a", "b", "dim", "kind", "serial")

    _known: ClassVar[dict[tuple[str, Size, Size], Compound]] = {}

    def __new__(cls, kind: str, a: Size, b: Size) -> Compound:
        key = (kind, a, b)
        found = cls._known.get(key)
        if found is None:
            found = super().__new__(cls)
            found.kind, found.a, found.b = kind, a, b
            found.serial = next(_serial)
            found.dim, found._hash = None, hash(key)
            if len(cls._known) > 100_000:  # only sharing is lost, equality falls back on contents
                cls._known.clear()
            cls._known[key] = found
        return found

    kind: str
    a: Size
    b: Size
    serial: int
    dim: Dim | None
    _hash: int

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Compound) and (self.kind, self.a, self.b) == (other.kind, other.a, other.b)
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        if self.kind in ("min", "max"):
            return f"{self.kind}({self.a}, {self.b})"
        a = f"({self.a})" if isinstance(self.a, Dim) and len(self.a.terms) > 1 else f"{self.a}"
        b = f"({self.b})" if isinstance(self.b, Dim) and not self.b.is_symbol else f"{self.b}"
        return f"{a}{self.kind}{b}"


Atom = Symbol | Compound
Monomial = tuple[Atom, ...]


class _NotKnown:
    """In place of a bound that nobody has asked for."""


_UNKNOWN = _NotKnown()


class Dim:
    """An integer expression in normal form: `{monomial: coefficient}`.

    Make one with `Dim.symbol("batch")`; combine with `+ - * // %` and `minimum`, `maximum`.
    `==` compares normal forms (and is False against an unequal int); hashing agrees.
    """

    __slots__ = ("_hash", "_low", "_symbols", "terms")

    def __init__(self, terms: dict[Monomial, int]) -> None:
        self.terms = terms
        self._hash: int | None = None
        self._symbols: frozenset[Symbol] | None = None
        self._low: int | _NotKnown | None = _UNKNOWN

    @staticmethod
    def symbol(name: str, lo: Size = 0, hi: Size | None = None, origin: object = None) -> Dim:
        return Dim({(Symbol(name, lo, hi, origin),): 1})

    @staticmethod
    def of(atom: Atom) -> Dim:
        made = atom.dim
        if made is None:
            made = atom.dim = Dim({(atom,): 1})
        return made

    # --- identity -----------------------------------------------------------------------
    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Dim) and self.terms == other.terms

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self.terms.items()))
        return self._hash

    def __bool__(self) -> bool:
        raise TypeError(f"the size {self} is known only at run time, so it has no truth value; use gf.cond or gf.where")

    def __int__(self) -> int:
        raise TypeError(f"the size {self} is known only at run time; use it as a graph value instead of int()")

    __index__ = __int__

    def __lt__(self, other: object) -> bool:
        self.__bool__()
        return False

    __le__ = __gt__ = __ge__ = __lt__

    @property
    def is_symbol(self) -> bool:
        return len(self.terms) == 1 and next(iter(self.terms.items()))[1] == 1 and self.atom is not None

    @property
    def atom(self) -> Atom | None:
        """The only atom of `1 * atom`, else None."""
        if len(self.terms) != 1:
            return None
        (mono, c), = self.terms.items()
        return mono[0] if c == 1 and len(mono) == 1 else None

    @property
    def constant(self) -> int:
        return self.terms.get((), 0)

    def atoms(self) -> Iterator[Atom]:
        for mono in self.terms:
            yield from mono

    def symbols(self) -> frozenset[Symbol]:
        if self._symbols is None:
            found: set[Symbol] = set()
            for atom in self.atoms():
                if isinstance(atom, Symbol):
                    found.add(atom)
                else:
                    for part in (atom.a, atom.b):
                        if isinstance(part, Dim):
                            found |= part.symbols()
            self._symbols = frozenset(found)
        return self._symbols

    # --- arithmetic ---------------------------------------------------------------------
    def __add__(self, other: Size) -> Size:
        if isinstance(other, int):
            if other == 0:
                return self
            terms = dict(self.terms)
            c = terms.get((), 0) + other
            if c:
                terms[()] = c
            else:
                terms.pop((), None)
            return _normal(terms)
        if not isinstance(other, Dim):
            return NotImplemented
        terms = dict(self.terms)
        for mono, c in other.terms.items():
            s = terms.get(mono, 0) + c
            if s:
                terms[mono] = s
            else:
                del terms[mono]
        return _normal(terms)

    __radd__ = __add__

    def __neg__(self) -> Size:
        return Dim({m: -c for m, c in self.terms.items()})

    def __sub__(self, other: Size) -> Size:
        if not isinstance(other, int | Dim):
            return NotImplemented
        return self + (-other)

    def __rsub__(self, other: Size) -> Size:
        return (-self) + other

    def __mul__(self, other: Size) -> Size:
        if isinstance(other, int):
            if other == 1:
                return self
            return Dim({m: c * other for m, c in self.terms.items()}) if other else 0
        if not isinstance(other, Dim):
            return NotImplemented
        terms: dict[Monomial, int] = {}
        for m1, c1 in self.terms.items():
            for m2, c2 in other.terms.items():
                mono = tuple(sorted(m1 + m2, key=_by_serial))
                s = terms.get(mono, 0) + c1 * c2
                if s:
                    terms[mono] = s
                else:
                    del terms[mono]
        return _normal(terms)

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        return floordiv(self, other)

    def __rfloordiv__(self, other: Size) -> Size:
        return floordiv(other, self)

    def __mod__(self, other: Size) -> Size:
        return mod(self, other)

    def __rmod__(self, other: Size) -> Size:
        return mod(other, self)

    # --- use ----------------------------------------------------------------------------
    def substitute(self, values: Mapping[Symbol, Size]) -> Size:
        """The expression with symbols replaced; simplifies on the way."""
        if self.symbols().isdisjoint(values):
            return self
        total: Size = 0
        for mono, c in self.terms.items():
            product: Size = c
            for atom in mono:
                product = product * _substitute_atom(atom, values)
            total = total + product
        return total

    def evaluate(self, values: Mapping[Symbol, int]) -> int:
        """The number for given symbol values; raises KeyError for a missing one."""
        total = 0
        for mono, c in self.terms.items():
            for atom in mono:
                c *= values[atom] if isinstance(atom, Symbol) else _evaluate_compound(atom, values)
            total += c
        return total

    def __repr__(self) -> str:
        if not self.terms:
            return "0"
        parts: list[str] = []
        for mono, c in sorted(self.terms.items(), key=lambda t: (len(t[0]) == 0, [a.serial for a in t[0]])):
            body = "*".join(repr(a) if isinstance(a, Symbol) or a.kind in ("min", "max") else f"({a})" for a in mono)
            if len(self.terms) == 1 and c == 1 and len(mono) == 1:
                return repr(mono[0])
            text = body if abs(c) == 1 and mono else f"{abs(c)}*{body}" if mono else str(abs(c))
            sign = "-" if c < 0 else "+" if parts else ""
            parts.append(f" {sign} {text}" if parts else f"{sign}{text}")
        return "".join(parts)


def _by_serial(atom: Atom) -> int:
    return atom.serial


def _normal(terms: dict[Monomial, int]) -> Size:
    if not terms:
        return 0
    if len(terms) == 1 and () in terms:
        return terms[()]
    return Dim(terms)


def _substitute_atom(atom: Atom, values: Mapping[Symbol, Size]) -> Size:
    if isinstance(atom, Symbol):
        return values[atom] if atom in values else Dim.of(atom)
    return _OPS[atom.kind](substitute(atom.a, values), substitute(atom.b, values))


def _evaluate_compound(atom: Compound, values: Mapping[Symbol, int]) -> int:
    result = _OPS[atom.kind](evaluate(atom.a, values), evaluate(atom.b, values))
    assert isinstance(result, int)
    return result


def substitute(size: Size, values: Mapping[Symbol, Size]) -> Size:
    return size.substitute(values) if isinstance(size, Dim) else size


def evaluate(size: Size, values: Mapping[Symbol, int]) -> int:
    return size.evaluate(values) if isinstance(size, Dim) else size


def extreme(size: Size, symbols: Collection[Symbol], largest: bool = True) -> Size:
    """The largest (or smallest) value a size may have for any values of `symbols` within their bounds, in terms of the others.

    Raises ValueError for a symbol without an upper bound.
    """
    if not isinstance(size, Dim) or size.symbols().isdisjoint(symbols):
        return size
    total: Size = 0
    for mono, c in size.terms.items():
        product: Size = c
        for atom in mono:
            product = product * _extreme_atom(atom, symbols, largest == (c > 0))
        total = total + product
    return total


def _extreme_atom(atom: Atom, symbols: Collection[Symbol], largest: bool) -> Size:
    if isinstance(atom, Symbol):
        if atom not in symbols:
            return Dim.of(atom)
        if not largest:
            return extreme(atom.lo, symbols, False)
        if atom.hi is None:
            raise ValueError(f"{atom} has no upper bound")
        return extreme(atom.hi - 1, symbols)
    if atom.kind == "%":
        return extreme(atom.b, symbols) - 1 if largest else 0
    opposite = atom.kind == "//" and not proves_nonnegative(-extreme(atom.a, symbols, largest))
    return _OPS[atom.kind](extreme(atom.a, symbols, largest), extreme(atom.b, symbols, largest != opposite))


def symbols_of(size: Size) -> frozenset[Symbol]:
    return size.symbols() if isinstance(size, Dim) else frozenset()


def floordiv(a: Size, b: Size) -> Size:
    """`floor(a / b)`; division by zero gives 0 (the Kernel IR's rule)."""
    if isinstance(b, int):
        if b == 0:
            return 0
        if isinstance(a, int):
            return a // b
        if b == 1:
            return a
        if b == -1:
            return -a
    elif isinstance(a, int) and a == 0:
        return 0
    whole, rest = _divide_terms(a, b)
    if isinstance(rest, int) and rest == 0:
        return whole
    if proves_nonnegative(rest) and proves_less(rest, b):
        return whole
    if isinstance(rest, Dim) and isinstance(b, int):
        rest, b = _reduce_fraction(rest, b)
        if b == 1:
            return whole + rest
    if isinstance(rest, Dim) and isinstance(b, int) and (nested := _nested_division(rest, b)) is not None:
        return whole + nested
    return whole + Dim.of(Compound("//", rest, b))


def _reduce_fraction(rest: Dim, b: int) -> tuple[Size, int]:
    """(6i + 5) // 4 -> (3i + 2) // 2: a common factor of the coefficients leaves, the constant floors."""
    from math import gcd

    g = b
    for mono, c in rest.terms.items():
        if mono:
            g = gcd(g, c)
    if g <= 1:
        return rest, b
    return _normal({m: c // g for m, c in rest.terms.items() if c // g}), b // g


def _nested_division(rest: Dim, b: int) -> Size | None:
    """(a // m) // b -> a // (m * b) for positive m, b."""
    atom = rest.atom
    if isinstance(atom, Compound) and atom.kind == "//" and isinstance(atom.b, int) and atom.b > 0 and b > 0:
        return floordiv(atom.a, atom.b * b)
    return None


def _divide_terms(a: Size, b: Size) -> tuple[Size, Size]:
    """Split `a = b * whole + rest` term by term, dividing what `b` divides exactly."""
    if isinstance(b, Dim) and len(b.terms) != 1:
        return (1, 0) if a == b else (0, a)
    divisor, factor = next(iter(b.terms.items())) if isinstance(b, Dim) else ((), b)
    whole: Size = 0
    rest: dict[Monomial, int] = {}
    for mono, c in a.terms.items() if isinstance(a, Dim) else [((), a)]:
        left = _without(mono, divisor)
        if left is None:
            rest[mono] = c
            continue
        q, r = divmod(c, factor)
        if r and (divisor or (mono and not 0 < factor < c)):
            q, r = 0, c
        if q:
            whole = whole + _normal({left: q})
        if r:
            rest[mono] = r
    return whole, _normal(rest)


def _without(mono: Monomial, divisor: Monomial) -> Monomial | None:
    left = list(mono)
    for atom in divisor:
        if atom not in left:
            return None
        left.remove(atom)
    return tuple(left)


def mod(a: Size, b: Size) -> Size:
    """`a - b * floor(a / b)`; modulo zero gives 0."""
    if isinstance(b, int):
        if b in (0, 1):
            return 0
        if isinstance(a, int):
            return a % b
    _, rest = _divide_terms(a, b)
    if isinstance(rest, int) and rest == 0:
        return 0
    if proves_nonnegative(rest) and proves_less(rest, b):
        return rest
    if isinstance(rest, int) and isinstance(b, int):
        return rest % b
    return Dim.of(Compound("%", rest, b))


def minimum(a: Size, b: Size) -> Size:
    """The smaller of two sizes."""
    if isinstance(a, int) and isinstance(b, int):
        return min(a, b)
    if a == b or proves_nonnegative(b - a):
        return a
    if proves_nonnegative(a - b):
        return b
    return Dim.of(Compound("min", a, b))


def maximum(a: Size, b: Size) -> Size:
    """The larger of two sizes."""
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    if a == b or proves_nonnegative(b - a):
        return b
    if proves_nonnegative(a - b):
        return a
    return Dim.of(Compound("max", a, b))


_OPS: dict[str, Callable[[Size, Size], Size]] = {"//": floordiv, "%": mod, "min": minimum, "max": maximum}


def proves_less(a: Size, b: Size) -> bool:
    return proves_nonnegative(b - a - 1)


def proves_nonnegative(a: Size) -> bool:
    """True only if `a >= 0` follows from the bounds of its symbols."""
    low = lower_bound(a)
    return low is not None and low >= 0


def lower_bound(a: Size) -> int | None:
    """A constant that `a` is never below, or None where the bounds do not give one.

    Symbols leave from the newest to the oldest: a loop variable is bounded by an expression
    of older symbols, so each step is exact for expressions linear in the symbol that leaves.
    """
    if isinstance(a, int):
        return a
    if isinstance(a._low, _NotKnown):
        a._low = _lower_bound(a)
    return a._low


def _lower_bound(a: Size) -> int | None:
    for _ in range(64):
        if isinstance(a, int):
            return a
        newest = max(a.atoms(), key=_by_serial)
        low: Size = 0
        for mono, c in a.terms.items():
            if newest not in mono:
                low = low + Dim({mono: c}) if mono else low + c
                continue
            rest = list(mono)
            rest.remove(newest)
            if newest in rest or not all(_atom_nonnegative(atom) for atom in rest):
                return None
            bound = _atom_lower(newest) if c > 0 else _atom_upper(newest)
            if bound is None:
                return None
            low = low + bound * (Dim({tuple(rest): c}) if rest else c)
        a = low
    return None


def _atom_nonnegative(atom: Atom) -> bool:
    low = _atom_lower(atom)
    return low is not None and proves_nonnegative(low)


def _atom_lower(atom: Atom) -> Size | None:
    if isinstance(atom, Symbol):
        return atom.lo
    if atom.kind == "%":
        return 0 if proves_nonnegative(atom.b) else None
    if atom.kind == "//":
        return 0 if proves_nonnegative(atom.a) and proves_nonnegative(atom.b) else None
    a, b = lower_bound(atom.a), lower_bound(atom.b)
    if atom.kind == "max":
        known = [v for v in (a, b) if v is not None]
        return max(known) if known else None
    return None if a is None or b is None else min(a, b)


def _atom_upper(atom: Atom) -> Size | None:
    """The largest value, inclusive."""
    if isinstance(atom, Symbol):
        return None if atom.hi is None else atom.hi - 1
    if atom.kind == "%":
        return atom.b - 1 if proves_nonnegative(atom.b - 1) else None
    if atom.kind == "min":
        return atom.b if isinstance(atom.b, int) else atom.a
    if atom.kind == "//" and isinstance(atom.b, int) and atom.b > 0:
        high = upper_bound(atom.a)
        return None if high is None else high // atom.b
    return None


def upper_bound(a: Size) -> int | None:
    """A constant that `a` is never above, or None."""
    if isinstance(a, int):
        return a
    low = lower_bound(-a)
    return None if low is None else -low


def product(sizes: tuple[Size, ...] | list[Size]) -> Size:
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def row_major_strides(shape: tuple[Size, ...]) -> tuple[Size, ...]:
    strides: list[Size] = []
    step: Size = 1
    for extent in reversed(shape):
        strides.append(step)
        step = step * extent
    return tuple(reversed(strides))
