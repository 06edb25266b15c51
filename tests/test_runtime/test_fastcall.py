"""Native calls: what goes natively, what is left to Python, and that nobody can tell them apart."""

from __future__ import annotations

import collections
import inspect
import warnings
import weakref

import numpy as np
import pytest

import graphflow as gf
import graphflow.ops
from graphflow.compiler.manifest import encode_size, size_function
from graphflow.graph.dim import Dim, Symbol, floordiv, maximum, minimum, mod
from graphflow.graph.op import REGISTRY, Sample
from graphflow.runtime import callcode, cpython, function
from graphflow.runtime.fastcall import Sizes

pytestmark = pytest.mark.skipif(not cpython.known(), reason="calls go through ctypes in this interpreter")
assert graphflow.ops

A, B = np.arange(4, dtype="float32"), np.array([3, 1, 4, 1], "float32")


def vectors(n: int = 2):
    return [gf.placeholder("float32", (None,), name=name) for name in "xyzuvw"[:n]]


# --- what goes natively -----------------------------------------------------------------------------
@pytest.mark.smoke
def test_repeated_calls_leave_python(python) -> None:
    x, y = vectors()
    f = gf.function([x, y], x + y)
    for _ in range(10):
        np.testing.assert_array_equal(f(A, B), A + B)
    assert python.calls == function.FEW and python.feeds == 2 * function.FEW
    assert f.compiled.executables[0].calls == 10
    for n in (0, 1, 1000):
        a = np.full(n, 2, "float32")
        got = f(a, a)
        assert type(got) is np.ndarray and got.flags.carray and got.flags.owndata and got.dtype == np.float32
        np.testing.assert_array_equal(got, a + a)
    assert python.calls == function.FEW


@pytest.mark.smoke
def test_every_structure_of_results(python, settled) -> None:
    x, _ = vectors()
    pair = collections.namedtuple("pair", "a b")

    class Listed(list):
        pass

    structures = [None, x, [], [x + 1], (x + 1, x), {"a": x, "b": [x + 2, (x,)]}, pair(x, (x,)), Listed([x, x]), ([x], x), (x, [])]
    for structure in structures:
        f = gf.function([x], structure)
        with gf.config.override(fastcall=False):
            want = f(A)
        settled(f, A)
        before = python.calls
        got = f(A)
        assert python.calls == before and type(got) is type(want) and str(got) == str(want)


def test_arrays_of_other_kinds_are_converted_and_then_go_natively(python, tmp_path, settled) -> None:
    x, n = gf.placeholder("float32", (None, None)), gf.placeholder("int32", ())
    f = settled(gf.function([x, n], x * gf.cast(n, "float32")), np.ones((2, 3), "float32"), np.int32(2))
    a = np.arange(24, dtype="float32").reshape(4, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matrix = np.matrix(a)
    on_disk = np.memmap(tmp_path / "a", "float32", "w+", shape=(4, 6))
    on_disk[:] = a
    raw = np.zeros(a.nbytes + 1, np.uint8)
    misaligned = raw[1:].view("float32").reshape(4, 6)
    misaligned[:] = a
    frozen = a.copy()
    frozen.flags.writeable = False
    named = np.dtype("float32", metadata={"unit": "m"})
    before = python.calls
    feeds = [a, frozen, matrix, on_disk, misaligned, np.ma.masked_array(a), a.view(named), a.astype(">f4"), a.astype(float), a.astype("int8"), a.tolist()]
    for value in [*feeds, *(v[::2, ::-1] for v in feeds[:-1]), *(v.T for v in feeds[:-1]), np.asfortranarray(a), a[:0], a[:, :0]]:
        for three in (3, np.array(3, "int32"), np.int64(3), np.array(3, ">i8"), np.True_ + 2):
            np.testing.assert_array_equal(f(value, three), np.asarray(value, "float32") * 3)
    assert python.calls == before


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_sizes_given_as_values(dtype, python, settled) -> None:
    n, x = gf.placeholder(dtype, ()), gf.placeholder("float32", (None,))
    f, a = gf.function([n, x], x[:n] + 1), np.arange(200, dtype="float32")
    info, outcomes = np.iinfo(dtype), []
    for native in (False, True):
        with gf.config.override(fastcall=native):
            settled(f, np.array(3, dtype), a) if native else None
            before = python.calls
            for k in (0, 1, 100, 3):
                np.testing.assert_array_equal(f(np.array(k, dtype), a), a[:k] + 1)
            assert (python.calls == before) == native
            for k in (info.min, -5 if info.min else 5, info.max):
                try:
                    outcomes.append(f(np.array(k, dtype), a).tolist())
                except gf.GraphflowError as e:
                    outcomes.append(str(e).splitlines()[0])
    assert outcomes[:3] == outcomes[3:]


def test_sizes_that_are_expressions(settled) -> None:
    x = gf.placeholder("float64", (None, None))
    n, m = x.shape
    outputs = [x[: n // 2, 1:], gf.concatenate([x, x], axis=0), gf.reshape(x, (n * m,)), x[-3:], gf.pad(x, [(1, 2), (0, 3)])]
    f = settled(gf.function([x], outputs), np.ones((2, 2)))
    rng = np.random.default_rng(0)
    for shape in [(1, 1), (5, 7), (8, 3), (3, 20)]:
        a = rng.standard_normal(shape)
        want = [a[: shape[0] // 2, 1:], np.concatenate([a, a]), a.reshape(-1), a[-3:], np.pad(a, [(1, 2), (0, 3)])]
        for got, w in zip(f(a), want, strict=True):
            np.testing.assert_array_equal(got, w)


def test_encoded_sizes_become_steps() -> None:
    """The steps, done one by one as the native code does them, against `size_function`."""
    rng = np.random.default_rng(0)
    symbols = [Symbol(f"n{i}") for i in range(3)]
    numbered = {s: i for i, s in enumerate(symbols)}
    operations = [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, floordiv, mod, minimum, maximum]
    do = {"+": int.__add__, "*": int.__mul__, "//": lambda a, b: a // b if b else 0, "%": lambda a, b: a % b if b else 0, "min": min, "max": max}
    for _ in range(200):
        pool = [Dim.of(s) for s in symbols] + [int(rng.integers(1, 9))]
        for _ in range(4):
            pool.append(operations[rng.integers(len(operations))](pool[rng.integers(len(pool))], pool[rng.integers(len(pool))]))
        encoded = [encode_size(size, numbered) for size in pool]
        sizes = Sizes(3)
        registers = [sizes.register(e) for e in encoded]
        dims = [int(n) for n in rng.integers(0, 20, 3)]
        rows, words = sizes.rows(), dims + sizes.words()[3:]
        first = len(words) - len(rows)
        for i, (kind, a, b) in enumerate(rows):
            assert max(a, b) < first + i
            words[first + i] = do[callcode.STEPS[kind]](words[a], words[b])
        assert [words[sizes.number(r)] for r in registers] == [size_function(e)(dims) for e in encoded]


def test_functions_of_the_ops_give_the_same_bits_natively(settled) -> None:
    cases = [s for cls in REGISTRY.classes if cls.__module__.startswith("graphflow.ops.") for s in list(cls.samples())[:1]][::4]
    assert len(cases) > 15
    rng = np.random.default_rng(0)

    def draw(sample: Sample):
        kinds = {"float": "float32", "int": "int64", "number": "float32", "bool": "bool", "any": "float32"}
        arrays = []
        for i in sample.inputs:
            shape = tuple(4 if isinstance(a, str) else a for a in i.axes)
            values = rng.uniform(max(i.low, 0), max(i.high, i.low, 0), shape)
            arrays.append(np.floor(values).astype(kinds.get(i.kind, i.kind)) if kinds.get(i.kind, i.kind) != "float32" else values.astype("float32"))
        return arrays

    for sample in cases:
        arrays = draw(sample)
        inputs = [gf.placeholder(a.dtype, [None if isinstance(n, str) else n for n in i.axes]) for a, i in zip(arrays, sample.inputs, strict=True)]
        made = sample.make(*inputs)
        f = gf.function(inputs, list(made) if isinstance(made, list | tuple) else [made])
        want = f(*arrays)
        settled(f, *arrays)
        for got, w in zip(f(*arrays), want, strict=True):
            assert got.tobytes() == w.tobytes() and got.shape == w.shape and got.dtype == w.dtype, sample


# --- what is left to Python -----------------------------------------------------------------------------
def message(call) -> str:
    with pytest.raises(Exception) as caught:
        call()
    return f"{caught.type.__name__}: {caught.value}"


WRONG = {
    "too few": lambda f: f(A),
    "too many": lambda f: f(A, B, B),
    "none at all": lambda f: f(),
    "unknown name": lambda f: f(A, B, alpha=1),
    "twice": lambda f: f(A, B, x=1),
    "rank": lambda f: f(A.reshape(2, 2), B),
    "scalar": lambda f: f(3.0, B),
    "static size": lambda f: f(A, B[:3]),
    "sizes differ": lambda f: f(A[:2], B),
    "dtype": lambda f: f(A, B.astype(complex)),
    "None": lambda f: f(None, B),
    "text": lambda f: f("abcd", B),
    "ragged": lambda f: f([[1], [1, 2]], B),
    "object": lambda f: f(np.array([object()] * 4), B),
    "records": lambda f: f(np.zeros(4, "f4,i4"), B),
    "dates": lambda f: f(np.zeros(4, "M8[s]"), B),
    "a class": lambda f: f(np.ndarray, B),
    "a Variable": lambda f: f(f.inputs[0], B),
    "large": lambda f: f(np.lib.stride_tricks.as_strided(A, (2**40,), (0,))[: 2**33][:0].reshape(0, 2**20), B),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_calls_say_the_same(wrong, settled) -> None:
    x, y = gf.placeholder("float32", (None,), name="x"), gf.placeholder("float32", (4,), name="y")
    f = gf.function([x, y], x * y)
    said = []
    for native in (False, True):
        with gf.config.override(fastcall=native):
            if native:
                settled(f, A, B)
            said.append(message(lambda: WRONG[wrong](f)))
    assert said[0] == said[1]
    np.testing.assert_array_equal(f(A, B), A * B)


def test_an_axis_beyond_the_largest_is_refused(settled) -> None:
    x = gf.placeholder("uint8", (None,))
    f = settled(gf.function([x], x[:1]), np.zeros(3, "uint8"))
    huge = np.zeros(2**31, "uint8")  # untouched: it takes no memory
    with pytest.raises(gf.ShapeError, match="at most"):
        f(huge)


def test_names_defaults_and_unpacking(settled) -> None:
    x, y = vectors()
    f = settled(gf.function([x, y], x - y), A, B)
    for got in (f(A, y=B), f(y=B, x=A), f(*[A, B]), f.__call__(A, B), type(f).__call__(f, A, B)):
        np.testing.assert_array_equal(got, A - B)
    assert repr(f).startswith("<graphflow function") and isinstance(f, gf.Function)
    assert callable(f) and f.__doc__ == gf.Function.__doc__ and list(inspect.signature(f).parameters) == ["values", "named"]
    assert f.graph_inputs == [x, y] and len(f.graph_outputs) == 1
    f.note = "a function keeps what the user hangs on it"
    assert f.note and weakref.ref(f)() is f


def test_settings_are_heard(python, settled) -> None:
    x = gf.placeholder("float64", (None,))
    f = settled(gf.function([x], gf.log(x)), np.ones(3))
    with gf.config.override(check_nan=True), pytest.raises(gf.CheckError, match="NaN in log"):
        f(-np.ones(3))
    assert np.isnan(f(-np.ones(3))).all()
    settled(f, np.ones(3))
    for override in ({"fastcall": False}, {"debug_memory": "poison"}):
        with gf.config.override(**override):
            for _ in range(5):
                before = python.calls
                assert f(np.ones(3)).tolist() == [0, 0, 0]
                assert python.calls == before + 1
    settled(f, np.ones(3))
    before = python.calls
    f(np.ones(3))
    assert python.calls == before


def test_threads_may_change(python, settled) -> None:
    x = gf.placeholder("float32", (None,))
    f = gf.function([x], gf.exp(x))
    a = np.linspace(0, 1, 500_000, dtype="float32")
    want = f(a)
    for threads in (1, 2, 1):
        with gf.config.override(threads=threads):
            settled(f, a)
            before = python.calls
            np.testing.assert_array_equal(f(a), want)
            assert python.calls == before


def test_a_larger_workspace_is_leased_after_some_calls(python, settled) -> None:
    x, w = gf.placeholder("float32", (None, 50)), gf.shared(np.ones((50, 50), "float32"))
    f = gf.function([x], gf.nn.softmax(gf.tanh(x @ w) @ w, axis=1))
    settled(f, np.ones((1, 50), "float32"))
    large = np.random.default_rng(0).standard_normal((300, 50)).astype("float32")
    want = f(large)
    for _ in range(20):
        np.testing.assert_array_equal(f(large), want)
    before = python.calls
    f(large)
    f(large[:1])
    assert python.calls == before


def test_ranks_and_axes_of_one_may_alternate() -> None:
    z = gf.placeholder("float32")
    f = gf.function([z], z * 2)
    for _ in range(10):
        for value in (np.float32(3), A, A.reshape(2, 2)):
            np.testing.assert_array_equal(f(value), np.asarray(value) * 2)
    x, y = gf.placeholder("float32", (None, 2)), gf.placeholder("float32", (None, 2))
    g = gf.function([x, y], x + y)
    for _ in range(10):
        for n, m in ((3, 3), (1, 3), (3, 1), (1, 1), (2, 2)):
            a, b = np.full((n, 2), 1, "float32"), np.full((m, 2), 2, "float32")
            np.testing.assert_array_equal(g(a, b), a + b)


# --- failures ---------------------------------------------------------------------------------------------
def test_a_failed_check_is_raised_and_leaves_state_alone(python, settled) -> None:
    table, i = gf.shared(np.zeros((5, 2)), name="table"), gf.placeholder("int32", (None,))
    counter = gf.shared(np.zeros(()), name="counter")
    f = gf.function([i], table[i], updates=[(counter, counter + 1)])
    said = []
    for k in range(4):
        if k == 1:
            settled(f, np.array([0, 1], "int32"))
            ran, before = float(counter.get_value()), python.calls
        with pytest.raises(gf.CheckError) as caught:
            f(np.array([0, 9], "int32"))
        said.append((caught.value.message, caught.value.hint))
    assert len(set(said)) == 1, said
    assert python.calls == before and counter.get_value() == ran
    assert f(np.array([4], "int32")).shape == (1, 2) and counter.get_value() == ran + 1


def test_a_result_that_cannot_be_had_is_an_error(settled) -> None:
    x = gf.placeholder("float64", (None,))
    f = settled(gf.function([x], gf.reshape(x, (-1, 1)) + gf.reshape(x, (1, -1))), np.ones(2))
    with pytest.raises((MemoryError, gf.GraphflowError, ValueError)):
        f(np.zeros(2**31 - 1, "float64")[: 2**27])  # 2**54 elements
    assert f(np.ones(1)).tolist() == [[2]]
