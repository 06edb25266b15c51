"""Kernels that find out what a machine can do: multiply-adds in registers, and bytes read, written and copied.

Each is an ordinary Proc, `for t in threads: for pass: ...`, where every `t` has memory of its own, and
goes through the emitter like any kernel: what they reach, a kernel could.
"""

from __future__ import annotations

from graphflow.compiler import kernel as K
from graphflow.compiler.kernel import Alloc, Buffer, Const, Fold, For, Kind, Load, Mode, Proc, Space, Store
from graphflow.compiler.target.machine import Machine
from graphflow.graph.dim import Dim, Size, Symbol
from graphflow.graph.types import DType

CHAINS = 12  # independent sums: latency times units of today's CPUs is 8 to 10, and 16 registers hold them
ROW = 1024  # floats of memory an inner loop goes through
ROW_BYTES = 4 * ROW
_UNROLL = 8

THREADS, PASSES, ROWS = Symbol("threads", 1), Symbol("passes", 1), Symbol("rows", 1)


def multiply_adds(dtype: DType, machine: Machine) -> Proc:
    """`probe(x[lanes], y[threads, chains * lanes])[threads, passes]`: `passes` dependent muladds in each lane of each chain."""
    lanes = machine.lanes(dtype)
    x = Buffer("x", dtype, (lanes,))
    y = Buffer("y", dtype, (Dim.of(THREADS), CHAINS, lanes), mode=Mode.OUT)
    acc = Buffer("acc", dtype, (CHAINS, lanes), Space.REG)
    t, p = Symbol("t", 0, Dim.of(THREADS)), Symbol("p", 0, Dim.of(PASSES))
    u, lane = Symbol("u", 0, CHAINS), Symbol("l", 0, lanes)
    at = Dim.of(u), Dim.of(lane)

    def each_lane(s: K.Stmt) -> K.Stmt:
        return For(u, CHAINS, Kind.UNROLL, (For(lane, lanes, Kind.LANES, (s,)),))

    operand = Load(x, (Dim.of(lane),))
    body = (
        Alloc(acc),
        each_lane(Store(acc, at, Const(dtype, dtype.type(0)))),
        For(p, Dim.of(PASSES), Kind.SEQ, (each_lane(Fold("dot", acc, at, (operand, operand))),)),
        each_lane(Store(y, (Dim.of(t), *at), Load(acc, at))),
    )
    return Proc("probe", (THREADS, PASSES), (x, y), (For(t, Dim.of(THREADS), Kind.TEAM, body),))


def memory(pattern: str, machine: Machine) -> Proc:
    """`probe(x, y)[threads, passes, rows]`: each pass reads x, writes y, or copies x to y.

    `pattern` is "read", "write" or "copy"; x and y are float32[threads * rows * ROW], y float32[threads * 8 * lanes] for "read".
    """
    lanes = machine.lanes(K.F32)
    whole = Dim.of(THREADS) * Dim.of(ROWS) * ROW
    x = Buffer("x", K.F32, (whole,))
    sums = Dim.of(THREADS) * (_UNROLL * lanes)
    y = Buffer("y", K.F32, (sums if pattern == "read" else whole,), mode=Mode.OUT)
    acc = Buffer("acc", K.F32, (_UNROLL, lanes), Space.REG)
    t, p, i = (Symbol(n, 0, Dim.of(e)) for n, e in (("t", THREADS), ("p", PASSES), ("i", ROWS)))
    steps = ROW // (_UNROLL * lanes)
    j, u, lane = Symbol("j", 0, steps), Symbol("u", 0, _UNROLL), Symbol("l", 0, lanes)
    vector, own = Dim.of(u) * lanes + Dim.of(lane), (Dim.of(u), Dim.of(lane))
    at: Size = (Dim.of(t) * Dim.of(ROWS) + Dim.of(i)) * ROW + Dim.of(j) * (_UNROLL * lanes) + vector
    zero = Const(K.F32, K.F32.type(0))

    def each_lane(s: K.Stmt) -> K.Stmt:
        return For(u, _UNROLL, Kind.UNROLL, (For(lane, lanes, Kind.LANES, (s,)),))

    step = {
        "read": Fold("add", acc, own, (Load(x, (at,)),)),
        "write": Store(y, (at,), zero),
        "copy": Store(y, (at,), Load(x, (at,))),
    }[pattern]
    rows = For(i, Dim.of(ROWS), Kind.SEQ, (For(j, steps, Kind.SEQ, (each_lane(step),)),))
    body: K.Block = (For(p, Dim.of(PASSES), Kind.SEQ, (rows,)),)
    if pattern == "read":
        kept = Store(y, (Dim.of(t) * (_UNROLL * lanes) + vector,), Load(acc, own))
        body = (Alloc(acc), each_lane(Store(acc, own, zero)), *body, each_lane(kept))
    return Proc("probe", (THREADS, PASSES, ROWS), (x, y), (For(t, Dim.of(THREADS), Kind.TEAM, body),))
