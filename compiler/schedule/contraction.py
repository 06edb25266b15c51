"""Contractions on a CPU: register tiles of rows x vectors, with every accumulator in a register.

Columns are the axis the lanes run along: contiguous in the right operand and in the results, absent
from the left one.  Rows are axes that only the left operand has; a convolution has several (images,
image rows, pixels), of which the last ones make up a tile.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphflow.compiler import kernel as K
from graphflow.compiler.kernel import Fold, For, Kind, Load, Proc, Store
from graphflow.compiler.lower import LEAST_PACKED, LEAST_PACKED_ROWS
from graphflow.compiler.schedule.blocking import block_sum, pack, version
from graphflow.compiler.schedule.distribute import distribute
from graphflow.compiler.schedule.loops import find_loop, loops
from graphflow.compiler.schedule.rewrites import join, order, set_kind, split
from graphflow.compiler.schedule.strategies import (
    column_strategy,
    perfect_nest,
    power_of_two,
    stride_of,
    vector_width,
    vectorise,
)
from graphflow.compiler.schedule.tiling import tile
from graphflow.compiler.target.machine import Machine
from graphflow.graph.dim import Dim, Size, Symbol, product, substitute, symbols_of

MAX_ROWS = 16  # of a tile
LATENCY = 4  # cycles of a multiply-add
SHORT_SUM = 9  # terms of a sum that are written out one after the other
CACHED = 1 << 18  # bytes of the right operand that stay in the second-level cache beside everything else

TEAM_GROUPS = 4  # of rows that go through all terms for themselves
BLOCK_BYTES = 300 << 10  # of both operands that are read over and over before the next block of terms
LONG_PANEL, PANEL = 384 << 10, 200 << 10  # bytes of a panel that leaves the cache between tiles of rows; of the parts it then goes in


@dataclass(frozen=True)
class Roles:
    """The loops of a contraction: `batch` is in both operands (or in none), `rows` in the left one only."""

    batch: tuple[For, ...]
    rows: tuple[For, ...]
    columns: For
    left: Load
    right: Load


def contract_strategy(proc: Proc, machine: Machine) -> Proc:
    """Tiles over rows and columns; the larger operand is read from memory once."""
    proc = join_sums(proc)
    roles = roles_of(proc)
    width = vector_width(proc.body, machine)
    if roles is None or width == 1:
        return column_strategy(proc, machine)
    proc = join_rows(proc, roles)
    roles = roles_of(proc)
    assert roles is not None
    short = is_short(sums_of(proc))
    shape = tile_shape(roles, width, machine.vector_registers, short)
    if (found := packing_of(proc, roles)) is not None:
        return packed_groups(proc, roles, shape, found, machine)
    if (sums := long_sums_of(proc, roles, shape)) is not None:
        return blocks_outside(proc, roles, shape, sums)
    around = panels_outside if right_is_large(roles) else rows_outside
    proc = around(proc, roles, shape)
    return unroll_sums(proc) if short else proc


# --- which loop is what ---------------------------------------------------------------------------
def roles_of(proc: Proc) -> Roles | None:
    """None where there is no axis for lanes, or no axis for rows."""
    nest = perfect_nest(proc)
    folds = [s for s in K.statements(proc.body) if isinstance(s, Fold) and s.monoid == "dot"]
    if len(folds) != 1 or not all(isinstance(v, Load) for v in folds[0].values):
        return None
    a, b = folds[0].values
    assert isinstance(a, Load) and isinstance(b, Load)
    stores = [s for s in K.statements(proc.body) if isinstance(s, Store) and s.buffer.space is K.Space.GLOBAL]
    for columns in reversed(nest):
        j = columns.var
        for left, right in ((a, b), (b, a)):
            if stride_of(right, j) != 1 or stride_of(left, j) != 0 or any(stride_of(s, j) not in (0, 1) for s in stores):
                continue
            rows = tuple(x for x in nest if x is not columns and stride_of(right, x.var) == 0 and stride_of(left, x.var) != 0)
            if rows:
                batch = tuple(x for x in nest if x is not columns and x not in rows)
                return Roles(batch, rows, columns, left, right)
    return None


def sums_of(proc: Proc) -> list[For]:
    """The loops over summed axes, outermost first."""
    return [x for x in loops(proc.body) if x.kind is Kind.SEQ]


def join_sums(proc: Proc) -> Proc:
    """`for k1: for k2  ->  for k12` where all addresses go on linearly: one long loop, and less code."""
    return _join_all(proc, sums_of)


def join_rows(proc: Proc, roles: Roles) -> Proc:
    names = {x.var for x in roles.rows}

    def rows(proc: Proc) -> list[For]:
        nest = perfect_nest(proc)
        names.update(x.var for x in nest if x.var not in before)
        return [x for x in nest if x.var in names]

    before = {x.var for x in perfect_nest(proc)}
    return _join_all(proc, rows)


def _join_all(proc: Proc, candidates: Callable[[Proc], list[For]]) -> Proc:
    while True:
        found = candidates(proc)
        pair = next(((x, y) for x, y in itertools.pairwise(found) if x.body == (y,) and is_linear(proc, x, y)), None)
        if pair is None:
            return proc
        proc, _ = join(proc, pair[0].var, pair[1].var)


def is_linear(proc: Proc, outer: For, inner: For) -> bool:
    """Is a step of `outer` as long as all of `inner`, in every access?"""
    accesses: list[Load | Store | Fold] = [*K.loads(proc.body)]
    accesses += [s for s in K.statements(proc.body) if isinstance(s, Store | Fold)]
    for access in accesses:
        step, whole = stride_of(access, inner.var), stride_of(access, outer.var)
        if step is None or whole is None or whole != step * inner.extent:
            return False
    return not any(symbols_in_values(s, (outer.var, inner.var)) for s in K.statements(proc.body))


def symbols_in_values(s: K.Stmt, wanted: Sequence[Symbol]) -> bool:
    """Does a statement compute with the index of a loop, not only address memory by it?"""
    return any(isinstance(e, K.Index) and symbols_of(e.size) & set(wanted) for x in K.own_exprs(s) for e in K.subexprs(x))


# --- the tile ---------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Tile:
    """`rows`: how far a tile reaches along the last row loops (whole loops but for the first); `vectors` of `width` lanes."""

    rows: tuple[int, ...]
    vectors: int
    width: int

    @property
    def panel(self) -> int:
        return self.vectors * self.width


def tile_shape(roles: Roles, width: int, registers: int, short: bool) -> Tile:
    """The tile that takes the fewest cycles over all rows and columns, and of those the one that loads least.

    Accumulators share the registers with a row of the right operand and one element of the left; a short
    sum is written out, and there LLVM keeps an element for each row.
    """
    across = roles.columns.extent
    count = max(1, -(-across // width)) if isinstance(across, int) else None
    choices = range(1, min(count, registers // 2) + 1) if count is not None else [3 if registers == 32 else 2]
    tiles: dict[Tile, tuple[float, float]] = {}
    for vectors in choices:
        even = vectors if count is None else -(-count // -(-count // vectors))
        most = min(MAX_ROWS, (registers - 3 - even) // (even + 1) if short else (registers - 1 - even) // even)
        if most:
            shape = Tile(_row_extents(roles.rows, most), even, width)
            tiles[shape] = _cost(shape, roles.rows, count)
    return min(tiles, key=lambda t: tiles[t])


def _cost(shape: Tile, rows: Sequence[For], vectors: int | None) -> tuple[float, float]:
    """(cycles, loads) a term takes: two multiply-adds or loads start in a cycle, a sum takes one every LATENCY cycles.

    A vector of the right operand comes from the second-level cache more often than an element of the left: it counts four times.
    """
    first = rows[-len(shape.rows)].extent
    inner = product(list(shape.rows[1:]))
    assert isinstance(inner, int)
    size = shape.rows[0]
    heights = [size] if not isinstance(first, int) else [size] * (first // size) + [first % size] * bool(first % size)
    widths = [shape.vectors] if vectors is None else [shape.vectors] * (vectors // shape.vectors) + [vectors % shape.vectors] * bool(vectors % shape.vectors)
    outputs = sum(heights) * inner * sum(widths)
    cycles = loads = 0.0
    for (h, many), v in itertools.product(Counter(heights).items(), widths):
        r = h * inner
        cycles += many * max(r * v / 2, (r + v) / 2, LATENCY)
        loads += many * (r / 4 + v)
    return cycles / max(outputs, 1), loads / max(outputs, 1)


def _row_extents(rows: Sequence[For], most: int) -> tuple[int, ...]:
    """The last row loop in even parts, or whole, with a part of the one before."""
    last = rows[-1].extent
    if not isinstance(last, int):
        return (most,)
    if len(rows) > 1 and last > 0 and 2 * last <= most:
        return (_even(rows[-2].extent, most // last), last)
    return (_even(last, most),)


def _even(extent: Size, most: int) -> int:
    """The size of equal parts of at most `most`."""
    if not isinstance(extent, int) or extent <= 0:
        return most
    return -(-extent // -(-extent // most))


def right_is_large(roles: Roles) -> bool:
    """Would the right operand fall out of the cache while the rows go by?"""
    size = product(list(roles.right.buffer.shape)) * roles.right.buffer.dtype.itemsize
    across = roles.columns.extent
    if isinstance(size, int):
        return size > CACHED
    return not isinstance(across, int)


# --- the loops around tiles ---------------------------------------------------------------------------
def rows_outside(proc: Proc, roles: Roles, shape: Tile) -> Proc:
    """`for batch, rows: for panels: tile`: the left operand streams by, the right one stays in cache."""
    proc = order(proc, *(x.var for x in (*roles.batch, *roles.rows, roles.columns)))
    first = perfect_nest(proc)[0].var
    across = roles.columns.var
    inner = [x.var for x in roles.rows[-len(shape.rows) :]]
    proc, outer = tile_rows(proc, inner, across, shape, _panels_inside(shape))
    return set_kind(proc, outer if first is inner[0] else first, Kind.TEAM)


def _panels_inside(shape: Tile) -> Callable[[Proc, list[Symbol], Symbol], Proc]:
    """What goes on with a tile of rows: panels of columns inside it."""

    def panels(proc: Proc, rows: list[Symbol], columns: Symbol) -> Proc:
        proc = order(proc, columns, *rows)
        return in_parts(proc, columns, shape.panel, lambda p, part: register_tile(order(p, *nest_at(p, part)[1:], part), part, len(rows), shape))

    return panels


def panels_outside(proc: Proc, roles: Roles, shape: Tile) -> Proc:
    """`for panels: for batch, rows: tile`: a panel of the right operand stays in cache while the rows stream by."""
    names = [x.var for x in (*roles.batch, *roles.rows)]
    proc = order(proc, roles.columns.var, *names)
    batch = roles.batch[0].var if roles.batch else None
    if batch is not None:  # each has a right operand of its own
        proc = order(proc, batch, roles.columns.var)
    proc, outer, whole, rest = tile(proc, roles.columns.var, shape.panel)
    for part in (whole, rest):
        if part is not None:
            proc = _rows_of_panel(proc, part, len(shape.rows), shape)
    return set_kind(proc, batch or outer, Kind.TEAM)


def _rows_of_panel(proc: Proc, panel: Symbol, depth: int, shape: Tile) -> Proc:
    """All rows inside the loop over one panel; tiles reach along the last `depth` row loops."""
    inside = nest_at(proc, panel)[1:]
    proc = order(proc, *inside, panel)
    proc = _in_blocks(proc, inside, panel, shape)
    return tile_rows(proc, inside[len(inside) - depth :], panel, shape, lambda p, rows, columns: register_tile(p, columns, len(rows), shape))[0]


# --- the right operand in blocks -----------------------------------------------------------------------
@dataclass(frozen=True)
class Packing:
    """Memory for copies of the right operand's blocks (group of columns, block of terms, column), and for sums (row, column)."""

    copies: K.Buffer
    sums: K.Buffer

    @property
    def block(self) -> int:
        assert isinstance(self.copies.shape[1], int)
        return self.copies.shape[1]

    @property
    def group(self) -> int:
        assert isinstance(self.copies.shape[2], int)
        return self.copies.shape[2]


def packing_of(proc: Proc, roles: Roles) -> Packing | None:
    """The work memory that lowering gave a product too large for caches, if the loops are as a product's."""
    work = {p.name: p for p in proc.params if p.mode is K.Mode.WORK}
    simple = len(roles.rows) == 1 and not roles.batch and len(sums_of(proc)) == 1
    reads = {e.at for e in K.loads(proc.body) if e.buffer is roles.right.buffer}
    if "copies" not in work or not simple or len(reads) > 1:
        return None
    stores = [s for s in K.statements(proc.body) if isinstance(s, Store) and s.buffer.space is K.Space.GLOBAL]
    return Packing(work["copies"], work["sums"] if "sums" in work else stores[0].buffer)


def packed_groups(proc: Proc, roles: Roles, shape: Tile, packing: Packing, machine: Machine) -> Proc:
    """`for groups of panels: for blocks of terms: {copy the block; for rows: for panels: tile}`; without copies where sizes turn out small."""
    (row,), (total,) = roles.rows, sums_of(proc)
    large = worth_packing(row.extent, total.extent, roles.columns.extent)
    proc = order(proc, roles.columns.var, row.var)
    proc, outer, whole, rest = tile(proc, roles.columns.var, packing.group)
    for part in (whole, rest):
        if part is None:
            continue
        if large is not None:
            proc, direct = version(proc, part, large)
            proc = in_parts(proc, direct, shape.panel, lambda p, panel: _rows_of_panel(p, panel, 1, shape))
        proc = _blocked(proc, part, outer, shape, packing, roles.right.buffer, machine)
    return set_kind(proc, outer, Kind.TEAM)


def worth_packing(rows: Size, terms: Size, columns: Size) -> K.Expr | None:
    """The test of sizes that are known only at run time; None where lowering has seen that they are large."""
    if all(isinstance(n, int) for n in (rows, terms, columns)):
        return None
    return (K.index(LEAST_PACKED_ROWS) <= K.index(rows)) & (K.index(LEAST_PACKED) <= K.index(terms * columns))


def _blocked(proc: Proc, part: Symbol, outer: Symbol, shape: Tile, packing: Packing, right: K.Buffer, machine: Machine) -> Proc:
    """One group of columns: the loop over `part` and the rows inside it."""
    row = nest_at(proc, part)[1]
    proc = order(proc, row, part)
    (total,) = (x for x in loops(find_loop(proc, row).body) if x.kind is Kind.SEQ)
    stored = [s.at for s in K.statements(find_loop(proc, row).body) if isinstance(s, Store) and s.buffer is packing.sums]
    kept = stored[0] if stored else (Dim.of(row), Dim.of(outer) * packing.group + Dim.of(part))
    proc, block, term = block_sum(proc, row, total.var, packing.block, (packing.sums, kept))
    rows, columns = (term, find_loop(proc, term).extent), (part, find_loop(proc, part).extent)
    proc, lane = pack(proc, block, right, (packing.copies, (Dim.of(outer),)), rows, columns)
    proc = vectorise(proc, lane, machine)
    return tile_rows(proc, [row], part, shape, _panels_inside(shape))[0]


def _in_blocks(proc: Proc, rows: list[Symbol], panel: Symbol, shape: Tile) -> Proc:
    """The sum in blocks whose part of the panel stays in cache from one tile of rows to the next; sums wait in the result."""
    nest = find_loop(proc, rows[0])
    sums = [x for x in loops(nest.body) if x.kind is Kind.SEQ]
    fold = next(s for s in K.statements(nest.body) if isinstance(s, Fold))
    kept = [s for s in K.statements(nest.body) if isinstance(s, Store) and s.buffer.mode is K.Mode.OUT and s.buffer.dtype == fold.buffer.dtype]
    first, inner = sums[0].extent, product([x.extent for x in sums[1:]])
    height = product([find_loop(proc, v).extent for v in rows])
    across = find_loop(proc, panel).extent
    width = min(shape.panel, across) if isinstance(across, int) else shape.panel
    few = isinstance(height, int) and height <= 2 * math.prod(shape.rows)
    if not kept or few or not isinstance(first, int) or not isinstance(inner, int):
        return proc
    step = width * fold.buffer.dtype.itemsize * inner
    if first * step <= LONG_PANEL:
        return proc
    size = _even(first, max(1, PANEL // step))
    return block_sum(proc, rows[0], sums[0].var, size, (kept[0].buffer, kept[0].at))[0] if size < first else proc


# --- long sums with few results ---------------------------------------------------------------------------
def long_sums_of(proc: Proc, roles: Roles, shape: Tile) -> K.Buffer | None:
    """The work memory that lowering gave a long sum over several axes, if rows are of static size."""
    found = next((p for p in proc.params if p.mode is K.Mode.WORK and p.name == "totals"), None)
    static = all(isinstance(x.extent, int) for x in (*roles.rows, roles.columns))
    return found if static and not roles.batch and len(shape.rows) == 1 else None


def blocks_outside(proc: Proc, roles: Roles, shape: Tile, kept: K.Buffer) -> Proc:
    """`for groups of rows: for blocks of terms: for rows: tile`: what a block reads stays in cache for all tiles of a group."""
    last, others = roles.rows[-1], [x.var for x in roles.rows[:-1]]
    at = _place_of_sum(roles)
    sums = sums_of(proc)
    assert isinstance(last.extent, int)
    tiles = -(-last.extent // shape.rows[0])
    group = shape.rows[0] * -(-tiles // TEAM_GROUPS)
    read = (last.extent + roles.columns.extent) * product([x.extent for x in sums[1:]]) * kept.dtype.itemsize
    size = max(1, BLOCK_BYTES // read) if isinstance(read, int) and read else 1
    proc = order(proc, last.var, *others, roles.columns.var)
    proc, outer, whole, rest = tile(proc, last.var, group)
    for part in (whole, rest):
        if part is None:
            continue
        inside = nest_at(proc, part)
        proc = order(proc, *inside[1:-1], part, inside[-1])
        names = dict(zip([*others, roles.columns.var], inside[1:], strict=True))
        moved: dict[Symbol, Size] = {last.var: Dim.of(outer) * group + Dim.of(part), **{old: Dim.of(new) for old, new in names.items()}}
        first = inside[1] if others else part
        (total, *_) = (x for x in loops(find_loop(proc, first).body) if x.kind is Kind.SEQ)
        proc, _, _ = block_sum(proc, first, total.var, size, (kept, tuple(substitute(i, moved) for i in at)))
        proc = tile_rows(proc, [part], inside[-1], shape, _panels_inside(shape))[0]
    return set_kind(proc, outer, Kind.TEAM)


def _place_of_sum(roles: Roles) -> tuple[Size, ...]:
    """The index of each result in flat memory, in terms of the row and column loops."""
    flat: Size = Dim.of(roles.columns.var)
    step: Size = roles.columns.extent
    for x in reversed(roles.rows):
        flat = flat + Dim.of(x.var) * step
        step = step * x.extent
    return (flat,)


def nest_at(proc: Proc, var: Symbol) -> list[Symbol]:
    """The loop over `var` and the independent loops that stand alone inside it."""
    loop = find_loop(proc, var)
    found = [loop.var]
    while len(loop.body) == 1 and isinstance(loop.body[0], For) and loop.body[0].kind is Kind.ANY:
        loop = loop.body[0]
        found.append(loop.var)
    return found


def in_parts(proc: Proc, var: Symbol, size: int, then: Callable[[Proc, Symbol], Proc]) -> Proc:
    """Tile a loop; `then` goes on with the loop of a whole tile, and with that of the rest."""
    proc, _, whole, rest = tile(proc, var, size)
    for part in (whole, rest):
        if part is not None:
            proc = then(proc, part)
    return proc


def tile_rows(
    proc: Proc, rows: Sequence[Symbol], columns: Symbol, shape: Tile, then: Callable[[Proc, list[Symbol], Symbol], Proc]
) -> tuple[Proc, Symbol]:
    """Tile the first of `rows`, around `columns`; a rest of unknown size goes in ever smaller parts.  Also the loop over tiles."""
    depth = len(rows)
    size = shape.rows[0]
    proc, outer, whole, rest = tile(proc, rows[0], size)
    for part in (whole, rest):
        if part is None:
            continue
        if isinstance(find_loop(proc, part).extent, int):
            inside = nest_at(proc, part)
            proc = then(proc, inside[:depth], inside[depth])
        else:
            smaller = Tile(((size + 2) // 3, *shape.rows[1:]), shape.vectors, shape.width)
            inside = nest_at(proc, part)
            proc, _ = tile_rows(proc, inside[:depth], inside[depth], smaller, then)
    return proc, outer


def register_tile(proc: Proc, columns: Symbol, rows: int, shape: Tile) -> Proc:
    """`for rows: for columns: {acc; for k; epilogue}` with accumulators in registers; `columns` is the innermost of them.

    A rest of unknown width goes one masked vector at a time.
    """
    path = _path_to(proc, columns)
    above = path[len(path) - rows :]
    extent = find_loop(proc, columns).extent
    lanes = shape.width if not isinstance(extent, int) else min(shape.width, power_of_two(extent))
    exact = isinstance(extent, int) and extent % lanes == 0
    proc, vectors, lane = split(proc, columns, lanes, "exact" if exact else "mask")
    count = find_loop(proc, vectors).extent
    unrolled = isinstance(count, int)
    if not unrolled:
        proc = order(proc, vectors, *above)
    proc = distribute(set_kind(proc, lane, Kind.LANES), lane)
    if unrolled:
        proc = distribute(proc, vectors, Kind.UNROLL)
    for row in reversed(above):
        proc = distribute(proc, row, Kind.UNROLL)
    return proc


def _path_to(proc: Proc, var: Symbol) -> list[Symbol]:
    from graphflow.compiler.schedule.loops import around

    return [x.var for x in around(proc, var)]


def is_short(sums: Sequence[For]) -> bool:
    """Is a sum of so few terms that it is written out?"""
    terms = product([x.extent for x in sums])
    return isinstance(terms, int) and terms <= SHORT_SUM


def unroll_sums(proc: Proc) -> Proc:
    for x in list(loops(proc.body)):
        if x.kind is Kind.SEQ:
            proc = set_kind(proc, x.var, Kind.UNROLL)
    return proc
