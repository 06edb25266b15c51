"""Which rewrites a kernel gets on a CPU: a function from (kernel, machine) to a kernel for each shape of nest.

Strategies look at loops and indices only.  They use tables and sizes, never a stopwatch.
"""

from __future__ import annotations

from collections.abc import Iterator

from graphflow.compiler import kernel as K
from graphflow.compiler.kernel import Fold, For, Kind, Load, Proc, Store
from graphflow.compiler.schedule.distribute import distribute, is_straight
from graphflow.compiler.schedule.loops import find_loop, loops
from graphflow.compiler.schedule.rewrites import cut, set_kind, split
from graphflow.compiler.schedule.tiling import tile
from graphflow.compiler.target.machine import Machine
from graphflow.graph.dim import Dim, Size, Symbol, row_major_strides, symbols_of
from graphflow.graph.types import DType

TEAM_ELEMENTS = 4096  # elements of a flat map one team iteration takes
LARGE_CHUNK = 64  # the same for bodies too large to copy
MAX_COPIED = 64  # statements; larger bodies are not copied for a remainder


# --- facts about a kernel -----------------------------------------------------------------------
def stride_of(access: Load | Store | Fold, var: Symbol) -> Size | None:
    """How far apart in memory neighbours along `var` are; None where the index is not linear in it."""
    flat: Size = 0
    for i, step in zip(access.at, row_major_strides(access.buffer.shape), strict=True):
        flat = flat + i * step
    if not isinstance(flat, Dim) or var not in flat.symbols():
        return 0
    total: Size = 0
    for mono, c in flat.terms.items():
        if var in mono:
            rest = list(mono)
            rest.remove(var)
            if var in rest:
                return None
            total = total + (Dim({tuple(rest): c}) if rest else c)
        elif any(not isinstance(a, Symbol) and var in symbols_of(Dim.of(a)) for a in mono):
            return None
    return total


def widest(body: K.Block) -> DType:
    """The dtype that fills vectors first: the widest one stored or folded."""
    found = [s.buffer.dtype for s in K.statements(body) if isinstance(s, Store | Fold)]
    return max(found, key=lambda d: d.itemsize, default=K.F32)


def vector_width(body: K.Block, machine: Machine) -> int:
    return machine.lanes(widest(body)) if machine.vector_bits else 1


def innermost(proc: Proc) -> Iterator[For]:
    """Independent loops of straight-line code that is not in lanes yet."""
    for loop in loops(proc.body):
        if loop.kind is Kind.ANY and not any(x.kind is Kind.LANES for x in loops(loop.body)) and all(is_straight(s) or isinstance(s, K.Alloc) for s in loop.body):
            yield loop


def power_of_two(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()


# --- elementwise and row kernels ------------------------------------------------------------------
def vectorise(proc: Proc, var: Symbol, machine: Machine) -> Proc:
    """Turn an innermost independent loop into lanes: whole vectors, then one masked vector."""
    loop = find_loop(proc, var)
    width = vector_width(loop.body, machine)
    n = loop.extent
    if width == 1 or any(isinstance(s, K.If) for s in K.statements(loop.body)):
        return set_kind(proc, var, Kind.UNROLL) if indexes_registers(loop) else proc
    if isinstance(n, int) and n <= width:
        return into_lanes(proc, var, power_of_two(n)) if n else proc
    whole = n // width * width
    if isinstance(n, int) and n == whole:
        return into_lanes(proc, var, width)
    if is_large(loop):
        return into_lanes(proc, var, width)
    proc, var, rest = cut(proc, var, whole)
    last = find_loop(proc, rest).extent
    proc = into_lanes(proc, rest, power_of_two(last) if isinstance(last, int) else width)
    return into_lanes(proc, var, width)


def into_lanes(proc: Proc, var: Symbol, lanes: int) -> Proc:
    """`for i in n -> for io in ceil(n/lanes): for ii in lanes`, masked where it does not divide."""
    loop = find_loop(proc, var)
    if isinstance(loop.extent, int) and loop.extent == lanes:
        return set_kind(proc, var, Kind.LANES)
    rest = loop.extent % lanes
    proc, outer, inner = split(proc, var, lanes, "exact" if isinstance(rest, int) and rest == 0 else "mask")
    proc = set_kind(proc, inner, Kind.LANES)
    count = find_loop(proc, outer).extent
    copies = isinstance(count, int) and (count == 1 or indexes_registers(loop))
    return set_kind(proc, outer, Kind.UNROLL) if copies else proc


def indexes_registers(loop: For) -> bool:
    """Does the loop variable choose a register?  Then the loop must be copies."""
    accesses: list[Load | Store | Fold] = [*K.loads(loop.body)]
    accesses += [s for s in K.statements(loop.body) if isinstance(s, Store | Fold)]
    return any(a.buffer.space is K.Space.REG and any(loop.var in symbols_of(i) for i in a.at) for a in accesses)


def is_large(loop: For) -> bool:
    return sum(1 for _ in K.statements(loop.body)) > MAX_COPIED


def vectorise_all(proc: Proc, machine: Machine) -> Proc:
    for loop in list(innermost(proc)):
        proc = vectorise(proc, loop.var, machine)
    return proc


def share_out(proc: Proc) -> Proc:
    """Give the outermost loop to the team, in chunks where it is the only one."""
    if len(proc.body) != 1 or not isinstance(proc.body[0], For) or proc.body[0].kind is not Kind.ANY:
        return proc
    loop = proc.body[0]
    flat = all(is_straight(s) or isinstance(s, K.Alloc) for s in loop.body)
    if not flat:
        return set_kind(proc, loop.var, Kind.TEAM)
    if isinstance(loop.extent, int) and loop.extent <= TEAM_ELEMENTS:
        return proc
    if is_large(loop):
        proc, outer, _ = split(proc, loop.var, LARGE_CHUNK, "mask")
        return set_kind(proc, outer, Kind.TEAM)
    proc, outer, _, _ = tile(proc, loop.var, TEAM_ELEMENTS)
    return set_kind(proc, outer, Kind.TEAM)


def map_strategy(proc: Proc, machine: Machine) -> Proc:
    """Maps, rows and nests: team outside, lanes inside."""
    from graphflow.compiler.schedule.transposition import find_turned, turn_blocks

    if (found := find_turned(proc, machine)) is not None:
        return vectorise_all(turn_blocks(proc, found), machine)
    return vectorise_all(share_out(proc), machine)


# --- folds that keep the last axis --------------------------------------------------------------
def column_strategy(proc: Proc, machine: Machine) -> Proc:
    """Lanes along the last kept axis, the folded loops inside."""
    nest = perfect_nest(proc)
    if not nest:
        return map_strategy(proc, machine)
    width = vector_width(proc.body, machine)
    var = nest[-1].var
    if width == 1 or not contiguous_lanes(proc, var):
        return set_kind(proc, nest[0].var, Kind.TEAM)
    extent = nest[-1].extent
    few = isinstance(extent, int) and 0 < extent <= 4 * width and extent % width == 0
    proc, outer, inner, rest = tile(proc, var, extent if few else 4 * width)  # type: ignore[arg-type]  # few: an int
    if inner is not None:
        proc, vectors, lanes = split(proc, inner, width)
        proc = distribute(set_kind(proc, lanes, Kind.LANES), lanes)
        proc = distribute(set_kind(proc, vectors, Kind.UNROLL), vectors) if proc.body else proc
    if rest is not None:
        proc = lanes_of_rest(proc, rest, width)
    first = nest[0].var if len(nest) > 1 else outer
    return set_kind(proc, first, Kind.TEAM)


def lanes_of_rest(proc: Proc, rest: Symbol, width: int) -> Proc:
    """A remainder, one masked vector at a time."""
    extent = find_loop(proc, rest).extent
    lanes = min(width, power_of_two(extent)) if isinstance(extent, int) else width
    exact = isinstance(extent, int) and extent % lanes == 0
    proc, _, inner = split(proc, rest, lanes, "exact" if exact else "mask")
    return distribute(set_kind(proc, inner, Kind.LANES), inner)


def perfect_nest(proc: Proc) -> list[For]:
    """The independent loops that stand alone inside each other, from the outermost."""
    found: list[For] = []
    body = proc.body
    while len(body) == 1 and isinstance(body[0], For) and body[0].kind is Kind.ANY:
        found.append(body[0])
        body = body[0].body
    return found


def contiguous_lanes(proc: Proc, var: Symbol) -> bool:
    """Are all memory accesses along `var` contiguous or uniform?"""
    accesses: list[Load | Store | Fold] = [*K.loads(proc.body)]
    accesses += [s for s in K.statements(proc.body) if isinstance(s, Store | Fold)]
    return all(stride_of(a, var) in (0, 1) for a in accesses if a.buffer.space is K.Space.GLOBAL)
