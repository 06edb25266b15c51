"""The iterations at which a statement runs, counted at given sizes.

Loops whose variable decides nothing multiply.  Those that stand in a mask, a branch or the extent
of an inner loop are enumerated, all at once, as NumPy columns; above `MOST` points they are thinned
to points spread evenly, and counts become estimates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphflow.compiler import kernel as K
from graphflow.graph.dim import Compound, Dim, Size, Symbol, symbols_of

MOST = 1 << 18  # points that are enumerated
_GOLDEN = 0.6180339887498949

Column = np.ndarray[Any, np.dtype[Any]]  # one value a point

_PRIMS = {
    "lt": np.less, "le": np.less_equal, "eq": np.equal, "ne": np.not_equal, "and": np.logical_and, "or": np.logical_or,
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "min": np.minimum, "max": np.maximum,
}  # fmt: skip


@dataclass(frozen=True)
class Iterations:
    """`weight` iterations at each point of `columns`, times the extents of the `free` loops."""

    columns: Mapping[Symbol, Column]
    weight: Column
    free: Mapping[Symbol, int]
    exact: bool = True

    @staticmethod
    def once() -> Iterations:
        return Iterations({}, np.ones(1), {})

    @property
    def count(self) -> int:
        total = float(self.weight.sum())
        for extent in self.free.values():
            total *= extent
        return round(total)

    # --- entering loops and masks ---------------------------------------------------------
    def loop(self, var: Symbol, extent: Size, sizes: Mapping[Symbol, int], enumerated: bool) -> Iterations:
        """Inside a loop over `var`."""
        extents = np.maximum(self.value(extent, sizes), 0)
        if not enumerated:  # where its extent differs between points, some run a part of the longest
            longest = int(extents.max(initial=0))
            weight = self.weight if extents.ndim == 0 else self.weight * extents / max(longest, 1)
            return replace(self, weight=weight, free={**self.free, var: longest})
        return self._enumerate(var, np.broadcast_to(extents, self.weight.shape))

    def _enumerate(self, var: Symbol, extents: Column) -> Iterations:
        n = len(self.weight)
        room = max(1, MOST // max(1, n))
        kept = np.minimum(extents, room)
        point = np.repeat(np.arange(n), kept)
        place = np.arange(len(point)) - (np.cumsum(kept) - kept)[point]
        exact = self.exact and bool((kept == extents).all())
        if (kept < extents).any():  # at one place in each of `kept` equal parts, another one for each point
            part = ((place + 0.5) / kept[point] + point * _GOLDEN) % 1.0
            place = np.where(kept[point] < extents[point], (part * extents[point]).astype(np.int64), place)
        columns = {v: c[point] for v, c in self.columns.items()}
        return Iterations({**columns, var: place}, (self.weight * extents / np.maximum(kept, 1))[point], self.free, exact)

    def where(self, cond: K.Expr, sizes: Mapping[Symbol, int], lets: Mapping[Symbol, K.Expr], holds: bool = True) -> Iterations:
        """Those where `cond` is true (or, without `holds`, false); all of them where data decide."""
        while isinstance(cond, K.Var) and cond.symbol in lets:
            cond = lets[cond.symbol]
        if holds and isinstance(cond, K.Call) and cond.prim == "and":  # of two parts, data may decide one alone
            a, b = cond.args
            return self.where(a, sizes, lets).where(b, sizes, lets)
        found = self.truth(cond, sizes, lets)
        if found is None:
            return self
        keep = np.broadcast_to(found if holds else ~found, self.weight.shape)
        return replace(self, columns={v: c[keep] for v, c in self.columns.items()}, weight=self.weight[keep])

    # --- values at the points -------------------------------------------------------------
    def value(self, size: Size, sizes: Mapping[Symbol, int]) -> Column:
        """A size at each point, or one for all (of no axes); what data decide counts at its largest."""
        if isinstance(size, int):
            return np.asarray(size)
        total = np.asarray(0)
        for mono, c in size.terms.items():
            term = np.asarray(c)
            for a in mono:
                term = term * self._atom(a, sizes)
            total = total + term
        return total

    def _atom(self, a: Symbol | Compound, sizes: Mapping[Symbol, int]) -> Column:
        if isinstance(a, Symbol):
            if a in self.columns:
                return self.columns[a]
            return np.asarray(sizes[a]) if a in sizes or a.hi is None else self.value(a.hi, sizes) - 1
        x, y = self.value(a.a, sizes), self.value(a.b, sizes)
        if a.kind in ("min", "max"):
            return np.asarray(_PRIMS[a.kind](x, y))
        by = np.where(y == 0, 1, y)
        return np.where(y == 0, 0, x // by if a.kind == "//" else x % by)

    def truth(self, e: K.Expr, sizes: Mapping[Symbol, int], lets: Mapping[Symbol, K.Expr]) -> Column | None:
        """The value of index arithmetic and comparisons at each point; None where data or free loops decide."""
        match e:
            case K.Const():
                return np.asarray(e.value)
            case K.Index():
                return self.value(e.size, sizes) if symbols_of(e.size) <= {*self.columns, *sizes} else None
            case K.Var():
                if e.symbol in lets:
                    return self.truth(lets[e.symbol], sizes, lets)
                return self.truth(K.Index(Dim.of(e.symbol)), sizes, lets)
            case K.Call(prim="not"):
                x = self.truth(e.args[0], sizes, lets)
                return None if x is None else ~x
            case K.Call() if e.prim in _PRIMS:
                a, b = (self.truth(arg, sizes, lets) for arg in e.args)
                return None if a is None or b is None else np.asarray(_PRIMS[e.prim](a, b))
        return None

    # --- what an index reaches ------------------------------------------------------------
    def places(self, at: Sequence[Size], shape: Sequence[int], sizes: Mapping[Symbol, int]) -> int:
        """How many elements of an array of `shape` the index `at` reaches, at most; data may give any index."""
        total = 1
        for size, n in zip(at, shape, strict=True):
            total *= min(n, self._ways(symbols_of(size) - sizes.keys(), n))
        return min(total, self.count)

    def _ways(self, symbols: Set[Symbol], otherwise: int) -> int:
        """In how many ways `symbols` are bound; `otherwise` where data decide, or too many were left out."""
        listed = [c for s, c in self.columns.items() if s in symbols]
        if len(listed) + len(symbols & self.free.keys()) < len(symbols) or (listed and not self.exact):
            return otherwise
        total = self._distinct(listed) if listed else min(1, len(self.weight))
        for s in symbols & self.free.keys():
            total *= self.free[s]
        return total

    def _distinct(self, columns: Sequence[Column]) -> int:
        """How many different rows the columns make; points differ in at least one of all."""
        if len(columns) == len(self.columns) or not len(self.weight):
            return len(self.weight)
        key = columns[0]
        for c in columns[1:]:
            key = key * (c.max() + 1) + c
        return len(np.unique(key))

    def values_of(self, s: Symbol) -> object:
        """What tells apart the sets of values that loops take: (least, largest, how many)."""
        if s in self.free:
            return 0, self.free[s] - 1, self.free[s]
        column = self.columns.get(s)
        if column is None:
            return s  # data decide
        found = np.unique(column)
        return (int(found[0]), int(found[-1]), len(found)) if len(found) else (0, -1, 0)
