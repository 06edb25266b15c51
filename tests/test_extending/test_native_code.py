"""A user's op whose code is a native function of their own."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.extending import define_native
from graphflow.graph.errors import CheckError, CompileError

SIGNATURE = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 4)


@SIGNATURE
def reverse(ins: int, outs: int, sizes: int, work: int) -> int:
    """A stand-in for compiled code: writes its operand backwards, by way of the scratch memory, and refuses negative numbers."""
    n = ctypes.c_int64.from_address(sizes).value
    source, target = (ctypes.cast(ctypes.c_void_p.from_address(t).value, ctypes.POINTER(ctypes.c_double)) for t in (ins, outs))  # type: ignore[arg-type]
    room = ctypes.cast(work, ctypes.POINTER(ctypes.c_double))
    for i in range(n):
        if source[i] < 0:
            return 1
        room[i] = source[i]
    for i in range(n):
        target[i] = room[n - 1 - i]
    return 0


@gf.register
class Reverse(gf.ExternOp):
    name = "my_reverse"
    failure = "my_reverse: there is a negative number"
    symbol = "mine.reverse"  # type: ignore[assignment]

    def infer(self, *inputs: gf.TensorType) -> gf.TensorType:
        return inputs[0]

    def work(self, *inputs: gf.TensorType) -> Any:
        return inputs[0].nbytes

    def reference(self, *arrays: Any) -> Any:
        return arrays[0][::-1].copy()


def test_native_code_of_ones_own() -> None:
    x = gf.placeholder("float64", (None,))
    run = gf.function([x], Reverse()(x * 2) + 1)
    with pytest.raises(CompileError, match=r"no code is known for mine\.reverse"):
        run(np.arange(3.0))
    define_native("mine.reverse", reverse)
    for n in (3, 0, 5, 1):
        np.testing.assert_array_equal(run(np.arange(float(n))), 2 * np.arange(float(n))[::-1] + 1)
    with pytest.raises(CheckError, match="negative number"):
        run(np.array([1.0, -1]))
    for symbol in ("mine.reverse", "lapack.solve.float64"):
        with pytest.raises(CompileError, match="is taken"):
            define_native(symbol, reverse)
