"""Distributions at fixed seeds against SciPy's; their bits on kernels, by NumPy, and for any threads and shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import graphflow as gf
from graphflow.compiler.reference import evaluate
from graphflow.graph.errors import DTypeError, ShapeError
from graphflow.graph.variable import constant, placeholder
from graphflow.ops.arrays import Arrays
from graphflow.ops.random import elementary

N = 20000
r = gf.random

# name -> samples of a shape, and what they are samples of
REAL = {
    "uniform": (lambda n, **k: r.uniform(n, -1, 3, **k), stats.uniform(-1, 4)),
    "normal": (lambda n, **k: r.normal(n, 2, 3, **k), stats.norm(2, 3)),
    "truncated_normal": (lambda n, **k: r.truncated_normal(n, 1, 2, **k), stats.truncnorm(-2, 2, 1, 2)),
    "lognormal": (lambda n, **k: r.lognormal(n, 0.5, 0.25, **k), stats.lognorm(0.25, scale=math.exp(0.5))),
    "exponential": (lambda n, **k: r.exponential(n, 3, **k), stats.expon(scale=3)),
    "laplace": (lambda n, **k: r.laplace(n, 1, 2, **k), stats.laplace(1, 2)),
    "gumbel": (lambda n, **k: r.gumbel(n, 1, 2, **k), stats.gumbel_r(1, 2)),
    "logistic": (lambda n, **k: r.logistic(n, 1, 2, **k), stats.logistic(1, 2)),
    "cauchy": (lambda n, **k: r.cauchy(n, 1, 2, **k), stats.cauchy(1, 2)),
    "weibull": (lambda n, **k: r.weibull(n, 1.5, 2, **k), stats.weibull_min(1.5, scale=2)),
    "gamma of 0.2": (lambda n, **k: r.gamma(n, 0.2, **k), stats.gamma(0.2)),
    "gamma of 1": (lambda n, **k: r.gamma(n, 1.0, 2, **k), stats.gamma(1, scale=2)),
    "gamma of 40": (lambda n, **k: r.gamma(n, 40.0, **k), stats.gamma(40)),
    "beta": (lambda n, **k: r.beta(n, 0.5, 3, **k), stats.beta(0.5, 3)),
    "chisquare": (lambda n, **k: r.chisquare(n, 3, **k), stats.chi2(3)),
    "student_t": (lambda n, **k: r.student_t(n, 4, **k), stats.t(4)),
}
WHOLE = {
    "randint": (lambda n: r.randint(n, -3, 4, seed=11, step=2), stats.randint(-3, 4)),
    "poisson of 0.3": (lambda n: r.poisson(n, 0.3, seed=11, step=2), stats.poisson(0.3)),
    "poisson of 9.9": (lambda n: r.poisson(n, 9.9, seed=11, step=2), stats.poisson(9.9)),
    "poisson of 10": (lambda n: r.poisson(n, 10, seed=11, step=2), stats.poisson(10)),
    "poisson of 200": (lambda n: r.poisson(n, 200, seed=11, step=2), stats.poisson(200)),
    "binomial of 5": (lambda n: r.binomial(n, 5, 0.3, seed=11, step=2), stats.binom(5, 0.3)),
    "binomial of 30": (lambda n: r.binomial(n, 30, 0.5, seed=11, step=2), stats.binom(30, 0.5)),
    "binomial of 500": (lambda n: r.binomial(n, 500, 0.9, seed=11, step=2), stats.binom(500, 0.9)),
    "geometric": (lambda n: r.geometric(n, 0.2, seed=11, step=2), stats.geom(0.2)),
    "negative binomial": (lambda n: r.negative_binomial(n, 4, 0.3, seed=11, step=2), stats.nbinom(4, 0.3)),
    "bernoulli": (lambda n: r.bernoulli(n, 0.3, "int32", seed=11, step=2), stats.bernoulli(0.3)),
    "categorical": (lambda n: r.categorical(np.log([1.0, 3, 0.5, 5.5]), n[0], seed=11, step=2), stats.rv_discrete(values=([0, 1, 2, 3], [0.1, 0.3, 0.05, 0.55]))),
}


def value(v):
    return gf.function([], v)()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", REAL)
def test_real_numbers(name, dtype):
    make, expected = REAL[name]
    x = value(make((N,), dtype=dtype, seed=7, step=1))
    assert x.dtype == dtype and x.shape == (N,) and np.isfinite(x).all()
    assert stats.kstest(x.astype("float64"), expected.cdf).pvalue > 1e-3
    if name != "cauchy":
        assert x.mean(dtype="float64") == pytest.approx(expected.mean(), abs=5 * expected.std() / math.sqrt(N))


@pytest.mark.parametrize("name", WHOLE)
def test_counts(name):
    make, expected = WHOLE[name]
    x = value(make((N,)))
    found, counts = np.unique(x, return_counts=True)
    assert (expected.pmf(found) > 0).all()
    keep = expected.pmf(found) * N >= 5  # the others are one class
    observed, due = counts[keep], expected.pmf(found[keep]) * N
    rest = N - due.sum()
    if rest > 1:
        observed, due = np.append(observed, N - observed.sum()), np.append(due, rest)
    assert stats.chisquare(observed, due * observed.sum() / due.sum()).pvalue > 1e-3


# --- bits ----------------------------------------------------------------------------------------
SAME_BITS = {
    **{name: lambda n, name=name: REAL[name][0](n, seed=7, step=1) for name in ("uniform", "normal", "exponential", "laplace", "gamma of 0.2", "gamma of 40")},
    **{name: WHOLE[name][0] for name in WHOLE if name not in ("categorical", "geometric", "negative binomial")},
    "bits": lambda n: r.bits(n, seed=7, step=1),
    "permutation": lambda n: r.permutation(n[0], seed=7, step=1),
}


@pytest.mark.parametrize("name", SAME_BITS)
def test_kernels_and_numpy_give_the_same_bits(name):
    v = SAME_BITS[name]((1001,))
    np.testing.assert_array_equal(value(v), evaluate([v], {})[0])


@pytest.mark.smoke
@pytest.mark.parametrize("name", ["normal", "gamma of 0.2", "poisson of 200", "permutation"])
def test_threads_and_dynamic_shapes_do_not_change_bits(name):
    x = placeholder("float32", (None,))
    dynamic = gf.function([x], SAME_BITS[name]((x.shape[0],)))
    feed = np.zeros(30011, "float32")
    with gf.config.override(threads=1):
        alone, static = dynamic(feed), value(SAME_BITS[name]((30011,)))
    with gf.config.override(threads=2):
        together = dynamic(feed)
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(alone, static)
    if name != "permutation":
        np.testing.assert_array_equal(dynamic(feed[:1003]), alone[:1003])  # an element's number does not depend on the size


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elementary_functions_are_accurate(dtype):
    b, dtype, rng = Arrays(), np.dtype(dtype), np.random.default_rng(0)
    x = np.concatenate([rng.random(1000), 10 ** rng.uniform(-30, 30, 1000)]).astype(dtype)
    exact = np.log(x.astype(np.longdouble))
    assert (np.abs(elementary.log(b, dtype, x) - exact) <= 3 * np.spacing(np.abs(exact).astype(dtype))).all()
    t = rng.random(1000).astype(dtype)
    np.testing.assert_allclose(elementary.cos_turns(b, dtype, t), np.cos(2 * np.longdouble(math.pi) * t), atol=2 * np.finfo(dtype).eps, rtol=0)
    if dtype == "float64":
        e = rng.uniform(-700, 700, 1000)
        np.testing.assert_allclose(elementary.exp(b, e), np.exp(e), rtol=4e-16)
        k = np.arange(60.0)
        expected = [math.lgamma(n + 1) - (n * math.log(n) if n else 0) + n for n in k]
        np.testing.assert_allclose(elementary.log_residue(b, k), expected, atol=1e-13)


# --- odd parameters ------------------------------------------------------------------------------
def test_poisson_of_odd_means():
    means = np.array([0, -1, np.nan, np.inf, 1e-300, 1e18, 2.0**62])
    x = value(r.poisson(None, constant(means), seed=1, step=0))
    assert x[:5].tolist() == [0, -1, -1, -1, 0]
    assert x[5:] == pytest.approx(means[5:], rel=1e-8)
    assert np.isnan(value(r.poisson(None, constant(means[1:3]), dtype="float32", seed=1, step=0))).all()
    huge = value(r.poisson((2000,), 1e12, seed=1, step=0)).astype("float64")
    assert huge.std() == pytest.approx(1e6, rel=0.06)


def test_binomial_of_odd_parameters():
    n = constant(np.array([0, 7, 7, 7, 7, -1, 10**6, 10**6]))
    p = constant(np.array([0.5, 0.0, 1.0, np.nan, 1.5, 0.5, 0.0, 1.0]))
    assert value(r.binomial(None, n, p, seed=1, step=0)).tolist() == [0, 0, 7, -1, -1, -1, 0, 10**6]
    many = value(r.binomial((2000,), 10**12, 0.25, seed=1, step=0)).astype("float64")
    assert many.mean() == pytest.approx(2.5e11, abs=5 * many.std() / 44) and many.std() == pytest.approx(math.sqrt(1e12 * 0.1875), rel=0.06)


def test_gamma_of_odd_parameters():
    alpha = constant(np.array([0.0, -1.0, np.nan, np.inf]))
    x = value(r.gamma(None, alpha, seed=1, step=0))
    assert x[0] == 0 and np.isnan(x[1:3]).all() and x[3] == np.inf
    small = value(r.beta((1000,), 1e-4, 1e-4, dtype="float64", seed=1, step=0))
    assert np.isfinite(small).all() and np.mean(small > 0.5) == pytest.approx(0.5, abs=0.06)


def test_dirichlet():
    alpha = np.array([1.0, 2.0, 5.0])
    x = value(r.dirichlet(alpha, (5000,), seed=1, step=0))
    assert x.shape == (5000, 3)
    np.testing.assert_allclose(x.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(x.mean(0), alpha / 8, atol=0.01)
    assert np.isfinite(value(r.dirichlet(np.full(4, 1e-3), (100,), seed=1, step=0))).all()


def test_gradients():
    scale = gf.shared(np.float32(2.0))
    x = r.gamma((500,), 3.0, scale, seed=1, step=0)
    unit, g = gf.function([], [x / 2.0, gf.grad(gf.sum(x), scale)])()
    assert g == pytest.approx(unit.sum(), rel=1e-5)


@pytest.mark.parametrize("alpha", [0.02, 0.7, 3.0, 60.0, 1e4, 1e7])
def test_gradients_of_gamma_numbers(alpha):
    """Along a quantile: the derivative of the inverse distribution function at the probability of each number."""
    a = placeholder("float64", ())
    x = r.gamma((200,), a, dtype="float64", seed=1, step=0)
    samples, g = gf.function([a], [x, gf.grad(gf.sum(x * np.linspace(1, 2, 200)), a)])(alpha)
    h = alpha * 1e-4
    probability, above = stats.gamma.cdf(samples, alpha), stats.gamma.sf(samples, alpha)
    slopes = [(np.where(probability < 0.5, stats.gamma.ppf(probability, alpha + s), stats.gamma.isf(above, alpha + s))) for s in (h, -h)]
    assert g == pytest.approx(((slopes[0] - slopes[1]) / (2 * h) * np.linspace(1, 2, 200)).sum(), rel=2e-4)


def test_gradients_of_what_is_made_of_gamma_numbers():
    a = placeholder("float64", (3,))
    x = r.dirichlet(a, (20000,), dtype="float64", seed=1, step=0)
    g = gf.function([a], gf.grad(gf.mean(x[:, 0]), a))(np.array([1.0, 2.0, 5.0]))
    np.testing.assert_allclose(g, [7 / 64, -1 / 64, -1 / 64], atol=0.004)  # of a0 / (a0 + a1 + a2)
    b = placeholder("float64", ())
    g = gf.function([b], gf.grad(gf.mean(r.beta((20000,), b, 2.0, dtype="float64", seed=2, step=0)), b))(1.0)
    assert g == pytest.approx(2 / 9, abs=0.01)


# --- integers and classes ------------------------------------------------------------------------
def test_randint_of_large_ranges():
    x = value(r.randint((N,), -(2**63), 2**63, seed=1, step=0))
    assert stats.kstest(x / 2.0**64 + 0.5, "uniform").pvalue > 1e-3
    y = value(r.randint((N,), 0, 3 * 2**62, "uint64", seed=1, step=0))  # a remainder would make a third twice as likely
    assert stats.kstest(y / (3 * 2.0**62), "uniform").pvalue > 1e-3
    z = value(r.randint((N,), 0, 2**64, "uint64", seed=1, step=0))
    assert stats.kstest(z / 2.0**64, "uniform").pvalue > 1e-3
    assert value(r.randint((50,), 4, constant(np.array(2)), seed=1, step=0)).tolist() == [4] * 50


def test_categorical_rows_and_classes_without_weight():
    logits = np.log(np.array([[0.0, 1.0, 0.0, 3.0, 0.0], [2.0, 0.0, 0.0, 0.0, 0.0]]), where=[[0, 1, 0, 1, 0], [1, 0, 0, 0, 0]], out=np.full((2, 5), -np.inf))
    x = value(r.categorical(logits, 4000, "int32", seed=1, step=0))
    assert x.dtype == "int32" and x.shape == (2, 4000) and set(x[0]) == {1, 3} and set(x[1]) == {0}
    assert np.mean(x[0] == 3) == pytest.approx(0.75, abs=0.03)
    assert value(r.categorical(logits, seed=1, step=0)).shape == (2,)
    counts = value(r.multinomial(1000, [[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]], seed=1, step=0))
    assert counts.sum(1).tolist() == [1000, 1000] and counts[1].tolist() == [0, 1000, 0] and counts[0] == pytest.approx([500, 250, 250], abs=60)
    with pytest.raises(ShapeError, match="axis of classes"):
        r.categorical(1.0)


def test_permutations_are_all_equally_likely():
    draw = gf.function([], r.permutation(4, seed=1))
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(600):
        key = tuple(draw().tolist())
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 24 and stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_shuffle_and_choice():
    x = placeholder("float64", (4, 3))
    data = np.arange(12.0).reshape(4, 3)
    shuffled = r.shuffle(x, seed=1, step=0)
    g = gf.grad(gf.sum(shuffled * np.arange(4.0)[:, None]), x)
    s, g = gf.function([x], [shuffled, g])(data)
    order = s[:, 0] / 3
    assert sorted(order) == [0, 1, 2, 3] and (s == data[order.astype(int)]).all() and (g[order.astype(int), 0] == np.arange(4)).all()
    assert value(r.permutation(constant(np.arange(5)), seed=1, step=0)).shape == (5,)
    few = value(r.choice(10, (4,), replace=False, seed=1, step=0))
    assert len(set(few.tolist())) == 4
    weighted = value(r.choice(4, (N,), p=[0.0, 0.5, 0.25, 0.25], seed=1, step=0))
    assert np.bincount(weighted, minlength=4) / N == pytest.approx([0, 0.5, 0.25, 0.25], abs=0.015)
    assert set(value(r.choice(5, (3,), replace=False, p=[0.0, 1, 0, 5, 2], seed=1, step=0)).tolist()) == {1, 3, 4}
    assert value(r.choice(constant(data), (2, 2), axis=1, seed=1, step=0)).shape == (4, 2, 2)
    with pytest.raises(ShapeError, match="without replacement"):
        r.choice(3, (4,), replace=False)


def test_errors():
    with pytest.raises(DTypeError):
        r.poisson((2,), 3.0, dtype="uint8")
    with pytest.raises(DTypeError):
        r.gamma((2,), 3.0, dtype="int32")


# --- states of loops -----------------------------------------------------------------------------
@pytest.mark.smoke
def test_folded_states_differ():
    seen = set()
    for step in range(5):
        state = constant(np.array([3, step], "uint64"))
        for i in range(5):
            outer = r.fold_in(state, i)
            inner = [r.fold_in(outer, j) for j in range(3)]
            for s in evaluate([outer, *inner], {}):
                seen.add(tuple(s.tolist()))
    assert len(seen) == 5 * 5 * 4
    assert evaluate([r.fold_in(constant(np.array([3, 1], "uint64")), 2)], {})[0].tolist() != evaluate([r.fold_in(constant(np.array([3, 2], "uint64")), 1)], {})[0].tolist()


def test_all_bits_of_a_folded_step_count():
    def bits(step):
        return evaluate([r.bits((4,), seed=5, step=constant(np.uint64(step)))], {})[0].tolist()

    assert len({tuple(bits(s)) for s in (0, 1, 2**47, 2**48, 2**63, 2**63 + 1)}) == 6


def test_fold_in_errors():
    state = constant(np.zeros(2, "uint64"))
    with pytest.raises(ShapeError, match="one integer"):
        r.fold_in(state, np.arange(3))
    with pytest.raises(DTypeError, match="an integer"):
        r.fold_in(state, 1.0)
