"""No schedule changes a bit: plain loops, scheduled loops and machine code of every vector width agree exactly."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler import interpret, lower_loops
from graphflow.compiler.emit import module_text
from graphflow.compiler.fuse import fuse
from graphflow.compiler.kernel import Mode, Proc
from graphflow.compiler.lower import lower
from graphflow.compiler.math import expand_proc
from graphflow.compiler.pipeline import Compilation, run_passes
from graphflow.compiler.schedule import contraction, schedule
from graphflow.compiler.target.machine import Loaded, compile_module, host
from graphflow.compiler.verify import verify
from graphflow.graph.dim import evaluate
from graphflow.graph.traversal import leaves
from graphflow.graph.variable import Placeholder
from graphflow.ops.convolution import ConvolutionInput, ConvolutionKernel
from graphflow.ops.pooling import FirstMax

M = gf.Dim.symbol("m")
_tag = itertools.count()


def x(*shape, dtype="float32"):
    return gf.placeholder(dtype, shape)


def dense():
    a, w, b = x(M, 13), x(13, 21), x(21)
    return gf.nn.relu(a @ w + b)


def weight_gradient():
    a, d, w = x(M, 9), x(M, 50), x(9, 50)
    return w - 0.5 * gf.matmul(gf.transpose(a), d)


CASES = {
    "map": lambda: gf.exp(x(M, 5)) * 0.5 + x(5),
    "static map": lambda: gf.sqrt(gf.abs(x(7, 19))) - x(7, 1),
    "float64 map": lambda: gf.tanh(x(M, dtype="float64")) / 3.0,
    "integer map": lambda: x(M, dtype="int32") // 3 + gf.right_shift(x(M, dtype="int32"), 2),
    "transpose": lambda: gf.transpose(x(M, 6)) * 2.0,
    "row sum": lambda: gf.sum(gf.square(x(M, 37)), axis=1),
    "long row sum": lambda: gf.sum(x(2, 4500), axis=1),
    "unknown row sum": lambda: gf.sum(x(3, M), axis=1),
    "softmax": lambda: gf.nn.softmax(x(M, 11), axis=1),
    "wide softmax": lambda: gf.nn.softmax(x(3, 70), axis=1),
    "variance": lambda: gf.var(x(M, 24), axis=1, keepdims=True) + x(M, 24),
    "argmax": lambda: gf.argmax(x(M, 9), axis=1),
    "sum of all": lambda: gf.sum(gf.exp(x(M, 4, 300)) - 1.0) * 2.0,
    "argmax of all": lambda: gf.argmax(x(M, 700)),
    "largest of all": lambda: gf.max(gf.abs(x(3, 30000))),
    "all": lambda: gf.all(x(M, 20) > -2.5, axis=1),
    "column sum": lambda: gf.sum(x(M, 70) * 2.0, axis=0),
    "column max": lambda: gf.max(x(M, 5), axis=0),
    "dense": dense,
    "weight gradient": weight_gradient,
    "narrow product": lambda: x(M, 8) @ x(8, 3),
    "batched product": lambda: x(3, M, 4) @ x(3, 4, 18),
    "matrix vector": lambda: x(M, 33) @ x(33),
    "concatenate": lambda: gf.concatenate([x(M, 5), x(M, 20)], axis=1),
    "argsort": lambda: gf.argsort(x(M, 13)),
    "float64 argsort": lambda: gf.argsort(x(M, 13, dtype="float64"), descending=True),
    "long argsort": lambda: gf.argsort(x(1, 130, dtype="int16")),
    "top_k": lambda: gf.top_k(x(M, 12), 3)[1],
    "searchsorted": lambda: gf.searchsorted(x(M), x(M, 5)),
    "segment_sum": lambda: gf.segment_sum(x(M, 70), x(M, dtype="int32"), 99),
    "logcumsumexp": lambda: gf.logcumsumexp(x(M, 6), 1),
    "cumsum": lambda: gf.cumsum(x(M, 6), axis=0),
    "pad": lambda: gf.pad(x(M, 6), ((1, 2), (0, 3))) + 1.0,
    "convolution": lambda: gf.nn.relu(gf.nn.conv(x(M, 5, 6, 3), x(3, 3, 3, 21), padding="same")),
    "convolution of one channel": lambda: gf.nn.conv(x(M, 4, 19, 1), x(3, 2, 1, 16)),
    "strided convolution": lambda: gf.nn.conv(x(M, 6, 9, 4), x(2, 3, 4, 18), 2),
    "convolution kernel": lambda: ConvolutionKernel((1, 1), (1, 1), 1, (3, 2))(x(M, 4, 5, 3), x(M, 2, 4, 18)),
    "convolution input": lambda: ConvolutionInput((2, 1), (1, 1), 1, (5, 6))(x(M, 2, 5, 7), x(3, 2, 5, 7)),
    "depthwise convolution": lambda: gf.nn.conv(x(M, 5, 18), x(3, 1, 18), groups=18),
    "pooling": lambda: gf.nn.max_pool(x(M, 6, 5, 20), (2, 3), 2),
    "first maximum": lambda: FirstMax((1,))(x(M, 7, 70)),
    "halves": lambda: gf.cast(x(M, 37), "bfloat16") * x(37, dtype="bfloat16"),
    "float16": lambda: gf.tanh(x(M, 37, dtype="float16")) - x(M, 1, dtype="float16"),
    "float16 row sum": lambda: gf.sum(x(M, 70, dtype="float16"), axis=1),
    "half product": lambda: x(M, 13, dtype="bfloat16") @ x(13, 21, dtype="bfloat16"),
    "turned operand": lambda: gf.transpose(x(35, M)) * x(M, 35),
    "turned square": lambda: gf.transpose(x(64, 32)) * 2.0,
    "turned planes": lambda: gf.transpose(x(2, 18, M), (0, 2, 1)) + 0.5,
    "turned float64": lambda: gf.transpose(x(19, M, dtype="float64")) + 0.5,
}


def packed_product(monkeypatch: pytest.MonkeyPatch) -> gf.Variable:
    """A product whose right operand counts as too large for caches, with an epilogue."""
    for module, names in ((lower_loops, ("LEAST_PACKED", "LEAST_PACKED_ROWS")), (contraction, ("LEAST_PACKED", "LEAST_PACKED_ROWS"))):
        for name in names:
            monkeypatch.setattr(module, name, 4)
    monkeypatch.setattr(lower_loops, "BLOCK", 5)
    monkeypatch.setattr(lower_loops, "GROUP", 48)
    return gf.tanh(x(M, 23) @ x(23, 100)) * x(100)


def kernels(y: gf.Variable) -> list[tuple[Proc, str]]:
    c = Compilation([v for v in leaves([y]) if isinstance(v, Placeholder)], [y], [], host())
    run_passes(c)
    fusion = fuse(c.outputs)
    return [(expand_proc(one.proc), g.kind.value) for g in fusion.groups if g.stores for one in lower(fusion, g, "k")]


def arrays_for(proc: Proc, dims: dict, rng: np.random.Generator) -> dict:
    made = {}
    for p in proc.params:
        shape = tuple(evaluate(s, dims) for s in p.shape)
        values = rng.standard_normal(shape) * 2
        made[p] = np.zeros(shape, p.dtype) if p.mode in (Mode.OUT, Mode.WORK) else (values > 0 if p.dtype.kind == "b" else (values * 10 if p.dtype.kind in "iu" else values)).astype(p.dtype)
    return made


def compiled(proc: Proc, buffers: dict, dims: dict, machine) -> None:
    code = compile_module(module_text([proc], machine), machine)
    loaded = Loaded([code], [proc.name], {}, f"schedule-test-{next(_tag)}")
    entry = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(proc.params), *[ctypes.c_int64] * len(proc.dims), ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(loaded.address(proc.name))
    record = np.zeros(8, np.int64)
    extent = 1 if proc.team is None else evaluate(proc.team.extent, dims)
    # two halves, as two threads would take them
    for low, high in ((0, extent // 2), (extent // 2, extent)) if proc.team is not None else ((0, 1),):
        entry(*(buffers[p].ctypes.data for p in proc.params), *(dims[d] for d in proc.dims), record.ctypes.data, low, high)


def test_blocks_of_a_large_product_keep_the_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    procs = kernels(packed_product(monkeypatch))
    assert [p.name for proc, _ in procs for p in proc.params if p.mode is Mode.WORK] == ["copies", "sums"]
    assert "copies" in str(schedule(procs[0][0], host(), procs[0][1]))
    check_bits(procs)


def test_blocks_of_a_long_sum_keep_the_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lower_loops, "PARTIALS", 4)
    monkeypatch.setattr(contraction, "BLOCK_BYTES", 4000)
    y = gf.tanh(ConvolutionKernel((1, 1), (1, 1), 1, (3, 2))(x(M, 4, 5, 7), x(M, 2, 4, 18))) * 2.0
    procs = kernels(y)
    assert [p.name for proc, _ in procs for p in proc.params if p.mode is Mode.WORK] == ["totals"]
    assert "totals" in str(schedule(procs[0][0], host(), procs[0][1]).body)
    check_bits(procs)


LONG = ("convolution", "convolution input", "strided convolution", "convolution of one channel")  # the interpreter takes its time


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in CASES])
def test_bits_do_not_depend_on_the_schedule(name: str) -> None:
    check_bits(kernels(CASES[name]()))


def check_bits(procs: list[tuple[Proc, str]]) -> None:
    rng = np.random.default_rng(0)
    machines = [m for m in (host(), host().narrowed(256), host().narrowed(128, fma=False)) if m.vector_bits <= host().vector_bits]
    for proc, shape in procs:
        for size in (1, 9, 26):
            dims = dict.fromkeys(proc.dims, size)
            plain = arrays_for(proc, dims, rng)
            start = {p: a.copy() for p, a in plain.items()}
            unfused = {p: a.copy() for p, a in plain.items()}
            interpret.run(proc, plain, dims, fma=True)
            interpret.run(proc, unfused, dims, fma=False)
            for machine in machines:
                scheduled = schedule(proc, machine, shape)
                verify(scheduled, final=True)
                want = plain if machine.fma else unfused
                by_interpreter = {p: a.copy() for p, a in start.items()}
                if size == 9:
                    interpret.run(scheduled, by_interpreter, dims, fma=machine.fma)
                by_machine = {p: a.copy() for p, a in start.items()}
                compiled(scheduled, by_machine, dims, machine)
                for p in (p for p in proc.params if p.mode is not Mode.WORK):
                    if size == 9:
                        np.testing.assert_array_equal(by_interpreter[p], want[p], err_msg=f"{machine.vector_bits} bits, interpreted")
                    np.testing.assert_array_equal(by_machine[p], want[p], err_msg=f"{machine.vector_bits} bits, size {size}")
