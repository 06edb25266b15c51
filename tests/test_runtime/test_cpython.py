"""What native calls rest on: the interpreter is known, the code holds no address, nothing fed crashes it."""

from __future__ import annotations

import collections
import dataclasses
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import graphflow as gf
from graphflow.runtime import callcode, cpython, function
from graphflow.runtime.fastcall import native_call

pytestmark = pytest.mark.skipif(not cpython.known(), reason="calls go through ctypes in this interpreter")
A, B = np.arange(4, dtype="float32"), np.array([3, 1, 4, 1], "float32")


def vectors(n: int = 2):
    return [gf.placeholder("float32", (None,), name=name) for name in "xyzuvw"[:n]]


# --- what it rests on ---------------------------------------------------------------------------------------
def test_the_environment_turns_it_off() -> None:
    code = "import numpy as np, graphflow as gf; x = gf.placeholder('float32', (3,)); f = gf.function([x], x + 1); [f(np.ones(3, 'f4')) for _ in range(9)]; print(f._native)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "GRAPHFLOW_FASTCALL": "0"}
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120).stdout.strip() == "None"


def test_a_layout_that_is_not_ours_is_noticed(monkeypatch) -> None:
    assert cpython.layout_holds() and cpython.types_hold()
    for table, key in ((callcode.ARRAY, "data"), (callcode.ARRAY, "sizes"), (callcode.ARRAY, "dtype"), (callcode.ARRAY, "rank"), (callcode.ARRAY, "flags"), (callcode.OBJECT, "type"), (callcode.CELL, "array")):
        with monkeypatch.context() as m:
            m.setitem(table, key, 48 if key != "flags" else 24)
            assert not cpython.layout_holds(), key


def test_an_unknown_interpreter_calls_through_ctypes(monkeypatch) -> None:
    monkeypatch.setattr(cpython, "KNOWN", ((3, 99), (3, 99)))
    cpython.known.cache_clear()
    try:
        x, _ = vectors()
        f = gf.function([x], x + 1)
        for _ in range(6):
            np.testing.assert_array_equal(f(A), A + 1)
        assert type(f) is gf.Function and f._native is None
    finally:
        monkeypatch.undo()
        cpython.known.cache_clear()


def test_a_subclass_calls_through_its_own_call(python) -> None:
    class Logged(gf.Function):
        calls = 0

        def __call__(self, *values, **named):
            self.calls += 1
            return super().__call__(*values, **named)

    x, _ = vectors()
    f = Logged([x], x + 1, (), "logged", gf.default_store())
    for _ in range(8):
        np.testing.assert_array_equal(f(A), A + 1)
    assert f.calls == 8 and python.calls == function.FEW


def test_sizes_beyond_64_bits_stay_in_python() -> None:
    x, _ = vectors()
    f = gf.function([x], x + 1)
    f(A)
    executable = f.compiled.executables[0]
    assert native_call(executable, f.store, "one", f._rebuild) is not None
    executable.manifest = dataclasses.replace(executable.manifest, work=2**70)
    assert native_call(executable, f.store, "one", f._rebuild) is None


def test_the_code_holds_no_address() -> None:
    text = callcode.text(cpython.VECTORCALL + 8)
    numbers = {abs(int(n)) for n in re.findall(r"(?<![%\w.])-?\d+", text)}
    assert max(numbers) == callcode.COUNT and all(n <= 2**32 for n in numbers - {callcode.COUNT})
    assert re.findall(r"@[\w.]+", text.replace("@gf.", "")).count("@") == 0
    assert set(re.findall(r"@([\w.]+)", text)) <= {"gf.core", "gf.call", "gf.attempt"} | {f"llvm.s{k}" for k in ("add.with.overflow.i64", "mul.with.overflow.i64", "min.i64", "max.i64")}


def test_nothing_fed_crashes(settled) -> None:
    """Random values in random places: a result, or an error of ours."""
    rng = np.random.default_rng(0)
    dtypes = ["float32", "float64", "int32", "bool", ">f4", "float16", "complex64", "S3", "O", "M8[s]", "f4,i4", "longlong"]

    def anything():
        match rng.integers(8):
            case 0:
                return [None, 3, -2.5, "text", b"bytes", object(), float, [1, [2]], {}, 2**70, np.nan, True, ...][rng.integers(13)]
            case 1:
                return np.zeros(tuple(rng.integers(0, 5, rng.integers(0, 4))), dtypes[rng.integers(len(dtypes))])
            case 2:
                return np.ones((4, 3), "float32").T if rng.integers(2) else np.ones(8, "float32")[::2]
            case 3:
                return np.float32(1) if rng.integers(2) else np.ones((), "float32")
            case 4:
                return np.broadcast_to(np.float32(2), (3, 4))
            case _:
                return rng.standard_normal(rng.integers(1, 6)).astype("float32")

    x, y, w = *vectors(), gf.shared(np.ones(3, "float32"))
    n = gf.placeholder("int32", ())
    functions = [
        settled(gf.function([x, y], x + y), A, B),
        settled(gf.function([x], [x * w], updates=[(w, w * 1)]), A[:3]),
        settled(gf.function([n, x], x[:n] + 1), np.int32(3), A),
        settled(gf.function([x, gf.placeholder("float32", (None, 3), name="m")], {"a": x[:2], "b": gf.sum(x)}), A, np.ones((2, 3), "float32")),
        settled(gf.function([], w + 1)),
    ]
    outcomes = collections.Counter()
    for _ in range(3000):
        f = functions[rng.integers(len(functions))]
        count = len(f.inputs) if rng.integers(10) else int(rng.integers(0, 4))
        try:
            f(*(anything() for _ in range(count)))
            outcomes["result"] += 1
        except (gf.GraphflowError, MemoryError) as e:
            outcomes[type(e).__name__] += 1
    assert outcomes["result"] > 200 and outcomes["DTypeError"] > 100 and outcomes["ShapeError"] > 100
    with pytest.raises(gf.FeedError, match="1000000 values"):
        functions[0](*[A] * 1_000_000)
    for k in range(2000):
        f = functions[k % 2]
        a = rng.standard_normal(3).astype("float32")
        f(*[a] * len(f.inputs))
