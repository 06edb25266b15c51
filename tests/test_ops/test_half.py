"""float16 and bfloat16: casts over all their values, functions computed in float32 and rounded once, gradients, state."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler.reference import evaluate
from graphflow.graph.errors import DTypeError, ExportError
from graphflow.graph.variable import constant, placeholder
from graphflow.ops.half import rounded

BFLOAT16, FLOAT16 = np.dtype(ml_dtypes.bfloat16), np.dtype("float16")
HALVES = [FLOAT16, BFLOAT16]
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in cast")  # NumPy's own, of NaN and large numbers
half = pytest.mark.parametrize("dtype", HALVES, ids=["float16", "bfloat16"])


def all_of(dtype):
    return np.arange(2**16, dtype="uint16").view(dtype)


def single(x):
    return np.asarray(x, "float32")


def run(make, *arrays):
    xs = [placeholder(a.dtype, (None,) * a.ndim) for a in arrays]
    return gf.function(xs, make(*xs))(*arrays)


def same_bits(a, b):
    nan = np.isnan(single(a))
    assert a.dtype == b.dtype and (nan == np.isnan(single(b))).all()
    np.testing.assert_array_equal(a.view("uint16")[~nan], b.view("uint16")[~nan])


# --- casts ---------------------------------------------------------------------------------------
@half
@pytest.mark.smoke
def test_all_values_widen_and_narrow(dtype):
    x = all_of(dtype)
    wide = run(lambda x: gf.cast(x, "float32"), x)
    np.testing.assert_array_equal(wide, x.astype("float32"))
    assert (np.signbit(wide) == np.signbit(x.astype("float32")))[~np.isnan(wide)].all()
    same_bits(run(lambda x: gf.cast(x, dtype), wide), x)
    other = HALVES[dtype == FLOAT16]
    same_bits(run(lambda x: gf.cast(x, other), x), x.astype("float32").astype(other))


@half
def test_float32_rounds_to_nearest_even(dtype):
    near = all_of(dtype).astype("float32").view("uint32")
    shifts = np.array([-1, 1, 0xFFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001]).astype("uint32")
    x = (near[:, None] + shifts).ravel().view("float32")
    with np.errstate(over="ignore"):
        same_bits(run(lambda x: gf.cast(x, dtype), x), x.astype(dtype))


@half
def test_float64_rounds_once(dtype):
    values = np.unique(all_of(dtype).astype("float64"))
    values = values[np.isfinite(values)]
    middle = (values[1:] + values[:-1]) / 2
    below, above = np.nextafter(middle, -np.inf), np.nextafter(middle, np.inf)
    got = [run(lambda x: gf.cast(x, dtype), x).astype("float64") for x in (below, middle, above)]
    np.testing.assert_array_equal(got[0], values[:-1])
    np.testing.assert_array_equal(got[2], values[1:])
    even = np.where(values.astype(dtype).view("uint16")[:-1] & 1, values[1:], values[:-1])
    np.testing.assert_array_equal(got[1], even)


@half
@pytest.mark.parametrize("integer", ["bool", "int8", "uint8", "int32", "uint32", "int64", "uint64"])
def test_integers(dtype, integer):
    rng = np.random.default_rng(0)
    high = 1 if integer == "bool" else np.iinfo(integer).max
    k = np.concatenate([rng.integers(0, high, 500, dtype="uint64"), rng.integers(0, min(high, 70000), 500, dtype="uint64")]).astype(integer)
    same_bits(run(lambda k: gf.cast(k, dtype), k), rounded(k, dtype))
    finite = all_of(dtype)[np.isfinite(single(all_of(dtype)))]
    v = placeholder(dtype, (None,))
    cast = gf.cast(v, integer)
    np.testing.assert_array_equal(gf.function([v], cast)(finite), evaluate([cast], {v: finite})[0])


# --- functions -----------------------------------------------------------------------------------
MATRIX = {
    "arithmetic": (lambda x: x * 2 + x / 3 - 1, None),
    "exp": (gf.exp, np.exp),
    "tanh": (gf.tanh, np.tanh),
    "sum": (lambda x: gf.sum(x, axis=0), lambda x: x.sum(0)),
    "mean": (lambda x: gf.mean(x, axis=1), lambda x: x.mean(1)),
    "max": (lambda x: gf.max(x, axis=1), lambda x: x.max(1)),
    "softmax": (gf.softmax, lambda x: np.exp(x - x.max(1, keepdims=True)) / np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True)),
    "matmul": (lambda x: x @ gf.transpose(x), lambda x: x @ x.T),
    "cumsum": (lambda x: gf.cumsum(x, 1), lambda x: np.cumsum(x, 1)),
    "sort": (gf.sort, np.sort),
    "concatenate": (lambda x: gf.concatenate([x, x]), lambda x: np.concatenate([x, x])),
    "take": (lambda x: x[[2, 0, 2]], lambda x: x[[2, 0, 2]]),
    "slice": (lambda x: x[1:, ::-2], lambda x: x[1:, ::-2]),
    "pad": (lambda x: gf.pad(x, 1, constant_values=3), lambda x: np.pad(x, 1, constant_values=3)),
    "where": (lambda x: gf.where(x > 0, x, 0), lambda x: np.where(x > 0, x, 0)),
    "set_subtensor": (lambda x: gf.set_subtensor(x[0], 1), lambda x: np.concatenate([np.ones_like(x[:1]), x[1:]])),
    "reshape": (lambda x: gf.reshape(x, (-1,)), lambda x: x.reshape(-1)),
}


@half
@pytest.mark.parametrize("name", MATRIX)
def test_computed_in_float32_and_rounded_once(dtype, name):
    make, expected = MATRIX[name]
    x = np.random.default_rng(0).normal(size=(8, 40)).astype(dtype)
    got = run(make, x)
    assert got.dtype == dtype
    if expected is None:  # each function rounds
        def r(v):
            return single(v.astype(dtype))

        want = r(r(r(single(x) * 2) + r(single(x) / np.float32(3))) - 1)
    else:
        want = single(expected(single(x)).astype(dtype))
    step = float(ml_dtypes.finfo(dtype).eps) if name in ("exp", "tanh", "sum", "mean", "softmax", "matmul", "cumsum") else 0.0  # a tie may fall elsewhere
    np.testing.assert_allclose(single(got), want, rtol=step, atol=step / 100)
    assert (single(got) == want).mean() > 0.99


@half
def test_sums_add_up_in_float32(dtype):
    x = np.full(5000, 1.0, dtype)  # in the half itself, the sum would stop at 2048 or 256
    assert single(run(gf.sum, x)) == single(np.asarray(5000.0).astype(dtype))


@half
def test_other_results(dtype):
    x = np.array([1.5, -2.0, 3.0], dtype)
    order, flags, place = run(lambda x: [gf.argsort(x), gf.isnan(x), gf.argmax(x)], x)
    assert order.tolist() == [1, 0, 2] and flags.tolist() == [False] * 3 and place == 2
    assert run(lambda x: gf.sum(x, dtype="float32"), x).dtype == "float32"


def test_promotion():
    def dtype_of(a, b):
        return (placeholder(a, ()) + (b if isinstance(b, int | float) else placeholder(b, ()))).dtype

    for h in HALVES:
        for other in (h, 2, 2.5, "bool", "int8", "int64", "uint32"):
            assert dtype_of(h, other) == h
        assert dtype_of(h, "float32") == "float32" and dtype_of(h, "float64") == "float64"
    assert dtype_of(FLOAT16, BFLOAT16) == "float32"
    x = placeholder("bfloat16", (2,))
    assert (x + np.float32(1)).dtype == "float32" and (x + np.ones(2, BFLOAT16)).dtype == BFLOAT16


@half
def test_new_tensors(dtype):
    made = [gf.zeros((2,), dtype), gf.full((2,), 0.1, dtype), gf.arange(3, dtype=dtype), gf.eye(2, dtype=dtype), gf.one_hot([1], 2, dtype=dtype), constant([1, 2], dtype.name), gf.zeros_like(placeholder(dtype, (2,)))]
    assert [v.dtype for v in made] == [dtype] * len(made)
    assert single(gf.function([], made[1])())[0] == single(np.asarray(0.1).astype(dtype))


@half
def test_random_numbers(dtype):
    z, e, g = gf.function([], [gf.random.normal((4000,), dtype=dtype, seed=1), gf.random.exponential((9,), dtype=dtype, seed=1), gf.random.gamma((9,), 2.0, dtype=dtype, seed=1)])()
    assert z.dtype == e.dtype == g.dtype == dtype
    assert abs(single(z).mean()) < 0.06 and abs(single(z).std() - 1) < 0.05


# --- gradients, state, functions -----------------------------------------------------------------
@half
def test_gradients(dtype):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(6, 5)).astype(dtype), rng.normal(size=(5, 3)).astype(dtype)

    def loss(x, w):
        return gf.sum(gf.square(gf.tanh(x[[0, 2, 2]] @ w) + gf.max(w)))

    def gradients(x, w):
        return gf.grad(loss(x, w), [x, w])

    halves, singles = run(gradients, x, w), run(gradients, single(x), single(w))
    for a, b in zip(halves, singles, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(single(a), b, atol=0.03 * np.abs(b).max())


@half
def test_shared_variables_and_updates(dtype):
    w = gf.shared(np.ones(3, dtype))
    x = placeholder(dtype, (None,))
    step = gf.function([x], gf.sum(w * x), updates=[(w, w - 0.5 * gf.grad(gf.sum(w * x), w))])
    for _ in range(5):  # the later calls are native
        step(np.array([1, 2, 4], dtype))
    assert w.get_value().dtype == dtype and single(w.get_value()).tolist() == [-1.5, -4, -9]
    w.set_value([0.5, 0.25, 0])
    assert single(w.get_value()).tolist() == [0.5, 0.25, 0]


@half
def test_feeds_are_converted(dtype):
    x = placeholder(dtype, (None,))
    f = gf.function([x], x * 2)
    for value in ([1.0, 2.0], np.array([1, 2]), np.array([1.0, 2.0], "float32"), np.array([1.0, 2.0], dtype)):
        assert single(f(value)).tolist() == [2, 4]
    free = gf.placeholder(dtype)
    assert gf.function([free], gf.exp(free))(np.ones((2, 2), dtype)).shape == (2, 2)


@half
def test_loops_and_branches(dtype):
    x = placeholder(dtype, (None, 3))
    s, _ = gf.scan(lambda x, c: c * 0.5 + x, sequences=[x], outputs_info=[gf.zeros((3,), dtype)])
    assert s.dtype == dtype
    data = np.ones((3, 3), dtype)
    assert single(gf.function([x], s)(data))[-1].tolist() == [1.75] * 3


def test_names_and_errors():
    assert placeholder("bfloat16", ()).dtype == placeholder(ml_dtypes.bfloat16, ()).dtype == BFLOAT16
    with pytest.raises(DTypeError, match="bfloat16"):
        placeholder("complex64", ())
    x = placeholder("bfloat16", (2,))
    with pytest.raises(ExportError, match="no type for bfloat16"):
        gf.export(gf.function([x], x * 2), "unused")


def test_a_cast_there_and_back_is_dropped():
    x = placeholder("bfloat16", (None,))
    f = gf.function([x], gf.cast(gf.cast(x, "float32"), "bfloat16"))
    data = all_of(BFLOAT16)
    assert (f(data).view("uint16") == data.view("uint16")).all()  # NaNs, too


@half
def test_gradients_of_loops_and_branches(dtype):
    x = placeholder(dtype, (None, 3))
    s, _ = gf.scan(lambda x, c: c * 0.5 + x, sequences=[x], outputs_info=[gf.zeros((3,), dtype)])
    chosen = gf.cond(gf.sum(x) > 0, lambda: x * 2, lambda: x)
    g, h = gf.function([x], gf.grad(gf.sum(s[-1]), x)), gf.function([x], gf.grad(gf.sum(chosen), x))
    data = np.ones((3, 3), dtype)
    assert single(g(data))[:, 0].tolist() == [0.25, 0.5, 1] and (single(h(data)) == 2).all()
