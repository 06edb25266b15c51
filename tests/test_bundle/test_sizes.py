"""Size arithmetic in native code against Python's integers."""

from __future__ import annotations

import ctypes
import itertools
import random

from graphflow.bundle.sizes import DECLARATIONS, DIVIDE, SizeCode, magnitude
from graphflow.compiler.emit import finish_module
from graphflow.compiler.target.machine import Loaded, compile_module, host
from graphflow.graph.dim import MAX_EXTENT, Compound, Dim, Size, evaluate, floordiv, maximum, minimum, mod, symbols_of

SYMBOLS = [next(iter(symbols_of(Dim.symbol(n)))) for n in "abc"]
TAGS = itertools.count()
OPERATIONS = [lambda x, y: x + y, lambda x, y: x - y, lambda x, y: x * y, floordiv, mod, minimum, maximum]


def random_size(rng: random.Random, depth: int) -> Size:
    if depth == 0:
        return Dim.of(rng.choice(SYMBOLS)) if rng.random() < 0.7 else rng.choice([0, 1, 2, 3, 7, 64, -1, -5, 2**31 - 1, 2**40])
    return rng.choice(OPERATIONS)(random_size(rng, depth - 1), random_size(rng, rng.randrange(depth)))


def largest_part(size: Size) -> int:
    """The magnitude of the size or of what is inside its divisions, minima and maxima."""
    inner = [part for a in size.atoms() if isinstance(a, Compound) for part in (a.a, a.b)] if isinstance(size, Dim) else []
    return max([magnitude(size), *map(largest_part, inner)])


def native(sizes: list[Size]) -> list[ctypes._CFuncPtr]:
    """For each size a function (dims, *value) -> overflowed."""
    parts = []
    for i, size in enumerate(sizes):
        code = SizeCode({s: f"%d{k}" for k, s in enumerate(SYMBOLS)})
        value = code.size(size)
        loads = "".join(f"  %p{k} = getelementptr i64, ptr %dims, i64 {k}\n  %d{k} = load i64, ptr %p{k}\n" for k in range(len(SYMBOLS)))
        lines = "".join(f"  {line}\n" for line in code.lines)
        parts.append(f"define i1 @f{i}(ptr %dims, ptr %out) #0 {{\nentry:\n{loads}{lines}  store i64 {value}, ptr %out\n  ret i1 {code.bad}\n}}\n")
    text = finish_module("".join(parts) + DIVIDE + DECLARATIONS, host())
    made = compile_module(text, host())
    assert isinstance(made, bytes)
    loaded = Loaded([made], [f"f{i}" for i in range(len(sizes))], {}, f"sizes-{next(TAGS)}")
    kind = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p)
    functions = [kind(loaded.address(f"f{i}")) for i in range(len(sizes))]
    for f in functions:
        f.code = loaded
    return functions


def test_sizes_are_exact_or_refused() -> None:
    rng = random.Random(0)
    sizes = [random_size(rng, rng.randrange(5)) for _ in range(400)]
    refused = 0
    for size, f in zip(sizes, native(sizes), strict=True):
        for dims in ([0, 0, 0], [1, 2, 3], [7, 1, 64], [MAX_EXTENT] * 3, [MAX_EXTENT, 0, 5]):
            value, out = evaluate(size, dict(zip(SYMBOLS, dims, strict=True))), ctypes.c_int64()
            bad = f((ctypes.c_int64 * 3)(*dims), ctypes.byref(out))
            if bad:
                refused += 1
                assert largest_part(size) >= 2**63
            else:
                assert out.value == value, (size, dims)
            assert abs(value) <= magnitude(size)
    assert 0 < refused < 200


def test_overflow_is_refused_and_the_limit_is_not() -> None:
    a, b, c = (Dim.of(s) for s in SYMBOLS)
    exact, over = native([a * b * 2, a * b * c])
    dims, out = (ctypes.c_int64 * 3)(MAX_EXTENT, MAX_EXTENT, MAX_EXTENT), ctypes.c_int64()
    assert not exact(dims, ctypes.byref(out)) and out.value == MAX_EXTENT**2 * 2
    assert over(dims, ctypes.byref(out))
