"""Native functions over words: arithmetic, memory, control flow."""

from __future__ import annotations

import ctypes
import itertools
import math

import numpy as np

from graphflow.compiler.emit import finish_module
from graphflow.compiler.target.machine import Loaded, compile_module, host
from graphflow.runtime.wordcode import DECLARATIONS, WordFunction

_tags = itertools.count()


def compiled(*functions: WordFunction):
    """The first of the functions, callable with ints."""
    code = compile_module(finish_module(DECLARATIONS + "\n".join(f.text() for f in functions), host()), host())
    loaded = Loaded([code], [functions[0].text().split("@")[1].split("(")[0]], {}, f"wordcode-{next(_tags)}")
    call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * len(functions[0].params))(next(iter(loaded._addresses.values())))
    call.keep = loaded
    return call


def test_arithmetic_wraps_and_shifts_keep_the_sign() -> None:
    f = WordFunction("t.arithmetic", "a", "b")
    a, b = f.params
    f.give(((a * 3 + b - 1) ^ (a & b) | (b << 2)) + (a >> 1))
    call = compiled(f)
    for x, y in ((5, 7), (-9, 4), (2**62, 2**62), (-(2**63), 1)):
        want = ((x * 3 + y - 1) ^ (x & y) | (y << 2)) + (x >> 1)
        assert call(x, y) == (want + 2**63) % 2**64 - 2**63


def test_loops_branches_and_memory() -> None:
    """The sum of the positive ones of n words; the others are made 0; blocks may be left from inside loops."""
    f = WordFunction("t.positive", "at", "n")
    at, n = f.params
    total = f.variable(0)
    with f.loop(n) as i:
        value = at.at(i << 3)
        f.leave_if(value.eq(99), "stop")
        with f.when(value > 0):
            total.set(total.get() + value)
        with f.when(value < 0):
            at.put(i << 3, 0)
    f.give(total.get())
    f.block("stop")
    f.give(-1)
    call = compiled(f)
    words = np.array([3, -4, 5, 0, -1], np.int64)
    assert call(words.ctypes.data, 5) == 8 and words.tolist() == [3, 0, 5, 0, 0]
    assert call(words.ctypes.data, 0) == 0
    words[2] = 99
    assert call(words.ctypes.data, 5) == -1


def test_calls_and_narrow_loads() -> None:
    square = WordFunction("t.square", "x", internal=True)
    square.give(square.params[0] * square.params[0])
    f = WordFunction("t.bytes", "at", "n")
    at, n = f.params
    total = f.variable(0)
    with f.loop(n) as i:
        total.set(total.get() + f.call("t.square", at.at(i, bits=8)))
    f.give(total.get())
    data = np.array([1, 2, 255], np.uint8)
    assert compiled(f, square)(data.ctypes.data, 3) == 1 + 4 + 255**2


def test_checked_arithmetic_goes_elsewhere() -> None:
    for kind, do in (("add", int.__add__), ("mul", int.__mul__)):
        f = WordFunction(f"t.{kind}", "a", "b")
        f.give(f.checked(kind, *f.params, "lost"))
        f.block("lost")
        f.give(-77)
        call = compiled(f)
        for a, b in ((3, 4), (2**62, 2**62), (2**32, 2**31), (-(2**62), 3), (math.isqrt(2**63), math.isqrt(2**63))):
            assert call(a, b) == (do(a, b) if -(2**63) <= do(a, b) < 2**63 else -77)
