"""LLVM text that computes sizes from Dims in checked arithmetic.

Where the largest value a size can take fits in 63 bits the plain instruction is emitted; elsewhere an
overflow is noted, and the caller gets the code for a bad shape.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphflow.graph.dim import MAX_EXTENT, Compound, Size, Symbol

_LIMIT = 2**63

DIVIDE = """define internal i64 @gf.floordiv(i64 %a, i64 %b) #0 {
entry:
  %zero = icmp eq i64 %b, 0
  %minus = icmp eq i64 %b, -1
  %special = or i1 %zero, %minus
  %safe = select i1 %special, i64 1, i64 %b
  %q = sdiv i64 %a, %safe
  %back = mul i64 %q, %safe
  %r = sub i64 %a, %back
  %signs = xor i64 %r, %safe
  %differ = icmp slt i64 %signs, 0
  %rest = icmp ne i64 %r, 0
  %down = and i1 %differ, %rest
  %step = zext i1 %down to i64
  %floor = sub i64 %q, %step
  %negated = sub i64 0, %a
  %one = select i1 %minus, i64 %negated, i64 %floor
  %result = select i1 %zero, i64 0, i64 %one
  ret i64 %result
}
"""
DECLARATIONS = "".join(f"declare {{ i64, i1 }} @llvm.s{op}.with.overflow.i64(i64, i64)\n" for op in ("add", "mul"))


class SizeCode:
    """Instructions, one after another in `lines`; `bad` is an i1 that is set once something overflowed."""

    def __init__(self, dims: Mapping[Symbol, str]) -> None:
        self.dims = dims
        self.lines: list[str] = []
        self.bad = "false"
        self.count = 0
        self._known: dict[str, str] = {}

    def value(self, text: str) -> str:
        """The result of an instruction; the same text gives the same value."""
        if text not in self._known:
            self.count += 1
            self._known[text] = f"%s{self.count}"
            self.lines.append(f"%s{self.count} = {text}")
        return self._known[text]

    def reject_if(self, condition: str) -> None:
        self.bad = condition if self.bad == "false" else self.value(f"or i1 {self.bad}, {condition}")

    def size(self, size: Size) -> str:
        """An i64 with the value of the size."""
        if isinstance(size, int):
            return self.constant(size)
        total = ""
        for mono, c in size.terms.items():
            product = self.constant(c) if c != 1 or not mono else ""
            for atom in mono:
                product = self.combine("mul", product, self.atom(atom), magnitude(size)) if product else self.atom(atom)
            total = self.combine("add", total, product, magnitude(size)) if total else product
        return total

    def constant(self, n: int) -> str:
        if not -_LIMIT <= n < _LIMIT:
            self.reject_if("true")
            return "0"
        return str(n)

    def combine(self, op: str, a: str, b: str, largest: int) -> str:
        if largest < _LIMIT:
            return self.value(f"{op} nsw i64 {a}, {b}")
        pair = self.value(f"call {{ i64, i1 }} @llvm.s{op}.with.overflow.i64(i64 {a}, i64 {b})")
        self.reject_if(self.value(f"extractvalue {{ i64, i1 }} {pair}, 1"))
        return self.value(f"extractvalue {{ i64, i1 }} {pair}, 0")

    def atom(self, atom: Symbol | Compound) -> str:
        if isinstance(atom, Symbol):
            return self.dims[atom]
        a, b = self.size(atom.a), self.size(atom.b)
        if atom.kind in ("min", "max"):
            less = self.value(f"icmp slt i64 {a}, {b}")
            return self.value(f"select i1 {less}, i64 {a}, i64 {b}" if atom.kind == "min" else f"select i1 {less}, i64 {b}, i64 {a}")
        quotient = self.value(f"call i64 @gf.floordiv(i64 {a}, i64 {b})")
        if atom.kind == "//":
            return quotient
        zero = self.value(f"icmp eq i64 {b}, 0")
        rest = self.value(f"sub i64 {a}, {self.value(f'mul i64 {quotient}, {b}')}")
        return self.value(f"select i1 {zero}, i64 0, i64 {rest}")


def magnitude(size: Size) -> int:
    """A bound on the absolute value of a size, and of its partial sums, for Dims up to MAX_EXTENT."""
    if isinstance(size, int):
        return abs(size)
    total = 0
    for mono, c in size.terms.items():
        largest = abs(c)
        for atom in mono:
            largest *= MAX_EXTENT if isinstance(atom, Symbol) else _atom_magnitude(atom)
        total += largest
    return total


def _atom_magnitude(atom: Compound) -> int:
    a, b = magnitude(atom.a), magnitude(atom.b)
    return max(a, b) if atom.kind in ("min", "max") else a if atom.kind == "//" else b
