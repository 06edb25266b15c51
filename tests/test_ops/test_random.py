"""Philox against its published vectors; distributions, streams and the random state by reference."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import DTypeError, GraphError, ShapeError
from graphflow.graph.traversal import leaves
from graphflow.graph.variable import constant, placeholder
from graphflow.ops import random
from graphflow.ops.arrays import Arrays
from graphflow.ops.random.philox import philox, words

# kat_vectors of Random123: counter, key, result
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.fixture(autouse=True)
def fresh_state(monkeypatch):
    monkeypatch.setattr(random.state._Process, "state", None)
    random.seed(0)


def value(run, v, feeds=None):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run([v], feeds or {})[0]


def at(key, step):
    return {random.rng_state(): np.array([key, step], "uint64")}


@pytest.mark.smoke
@pytest.mark.parametrize("counter,key,result", KNOWN)
def test_known_answers(counter, key, result):
    c, k, expected = ([np.full((), int(w, 16), "uint32") for w in text.split()] for text in (counter, key, result))
    with np.errstate(over="ignore"):
        assert [int(w) for w in philox(Arrays(), tuple(c), tuple(k))] == [int(w) for w in expected]


def test_key_step_stream_and_element_all_count():
    def bits(key=1, step=2, stream=3, element=4):
        with np.errstate(over="ignore"):
            return tuple(int(w) for w in words(Arrays(), np.uint64(key), np.uint64(step), stream, np.int64(element)))

    other = [bits(), bits(key=2), bits(key=1 + 2**32), bits(step=3), bits(step=2 + 2**32), bits(stream=4), bits(element=5), bits(element=4 + 2**32)]
    assert len(set(other)) == len(other)


# --- distributions -------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_uniform(dtype, run):
    u = value(run, gf.random.uniform((200, 250), dtype=dtype), at(5, 1))
    assert u.dtype == dtype and u.shape == (200, 250) and u.min() >= 0 and u.max() < 1
    assert u.mean() == pytest.approx(0.5, abs=0.006) and u.std() == pytest.approx(1 / math.sqrt(12), abs=0.004)
    counts, _ = np.histogram(u, 20, (0, 1))
    assert np.abs(counts / 2500 - 1).max() < 0.1
    assert abs(np.corrcoef(u[:, :-1].ravel(), u[:, 1:].ravel())[0, 1]) < 0.02
    scaled = value(run, gf.random.uniform((100,), -3, 2, dtype, seed=1, step=0))
    assert scaled.dtype == dtype and -3 <= scaled.min() < -2 and 1 < scaled.max() <= 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normal(dtype, run):
    z = value(run, gf.random.normal((300, 300), dtype=dtype), at(5, 1)).astype("float64")
    assert np.isfinite(z).all()
    moments = [np.mean(z**n) for n in (1, 2, 3, 4)]
    assert moments == pytest.approx([0, 1, 0, 3], abs=0.06)
    assert np.mean(np.abs(z) < 1) == pytest.approx(math.erf(1 / math.sqrt(2)), abs=0.006)


def test_truncated_normal(run):
    z = value(run, gf.random.truncated_normal((300, 300), 1.0, 2.0), at(5, 1))
    assert -3 <= z.min() < -2.9 and 4.9 < z.max() <= 5
    assert z.mean() == pytest.approx(1, abs=0.02) and z.std() == pytest.approx(2 * 0.87962566, abs=0.02)


def test_bernoulli_and_randint(run):
    flags = value(run, gf.random.bernoulli((300, 300), 0.3), at(5, 1))
    assert flags.dtype == bool and flags.mean() == pytest.approx(0.3, abs=0.006)
    p = np.array([0.0, 0.5, 1.0], "float32")
    ones = value(run, gf.random.bernoulli((1000, 3), constant(p), "float32"), at(5, 1))
    assert ones.dtype == "float32" and ones.mean(0) == pytest.approx([0, 0.5, 1], abs=0.06) and ones[:, 0].max() == 0 and ones[:, 2].min() == 1
    dice = value(run, gf.random.randint((70, 1000), -3, 4, "int32"), at(5, 1))
    assert dice.dtype == "int32" and np.abs(np.bincount(dice.ravel() + 3, minlength=7) / 10000 - 1).max() < 0.04
    top = value(run, gf.random.randint((1000,), 0, constant(np.array(3))), at(5, 1))
    assert set(top.tolist()) == {0, 1, 2}


def test_parameters_give_the_shape_and_take_gradients(run, pull):
    mean, sigma = placeholder("float32", (None,)), placeholder("float32", (2, 1))
    z = gf.random.normal(mean=mean, stddev=sigma, seed=1, step=0)
    assert z.shape == (2, mean.shape[0]) and z.dtype == "float32"
    feeds = {mean: np.zeros(3, "float32"), sigma: np.ones((2, 1), "float32")}
    unit, g_mean = run([z, *pull(z, constant(np.ones((2, 3), "float32")), [mean])], feeds)
    (g_sigma,) = run(pull(z, constant(np.ones((2, 3), "float32")), [sigma]), feeds)
    assert g_mean.tolist() == [2, 2, 2]
    np.testing.assert_allclose(g_sigma[:, 0], unit.sum(1), rtol=1e-5)
    assert gf.random.uniform((4, 3), high=constant(np.ones(3))).shape == (4, 3)
    with pytest.raises(ShapeError):
        gf.random.normal((2,), constant(np.zeros(3)))
    with pytest.raises(ShapeError):
        gf.random.normal((), constant(np.zeros(3)))


def test_errors():
    with pytest.raises(DTypeError):
        gf.random.normal((2,), dtype="int32")
    with pytest.raises(DTypeError):
        gf.random.randint((2,), 0, 2, "float32")
    for low, high, dtype in ((3, 3, "int64"), (0, 300, "uint8"), (-1, 3, "uint8")):
        with pytest.raises(GraphError, match="no integers"):
            gf.random.randint((2,), low, high, dtype)
    with pytest.raises(ShapeError, match="one integer"):
        gf.random.uniform((2,), step=np.arange(3))


# --- seeds, streams, steps -----------------------------------------------------------------------
@pytest.mark.smoke
def test_streams_restart_with_the_seed(run):
    def pair():
        return [value(run, gf.random.uniform((5,)), at(7, 0)).tolist() for _ in range(2)]

    a, b = pair()
    assert a != b
    random.state._Process.state = None
    random.seed(7)
    assert pair() == [a, b]


def test_a_pinned_seed_does_not_depend_on_other_constructions(run):
    first = value(run, gf.random.normal((5,), seed=3, step=0))
    gf.random.uniform((5,))
    np.testing.assert_array_equal(value(run, gf.random.normal((5,), seed=3, step=0)), first)
    assert (value(run, gf.random.normal((5,), seed=3, step=1)) != first).all()
    assert (value(run, gf.random.normal((5,), seed=4, step=0)) != first).all()


def test_a_step_may_be_a_variable(run):
    i = placeholder("int32", ())
    u = gf.random.uniform((5,), seed=3, step=i)
    np.testing.assert_array_equal(value(run, u, {i: np.int32(2)}), value(run, gf.random.uniform((5,), seed=3, step=2)))


def test_the_state_is_one_shared_variable(run):
    u = gf.random.uniform((3,))
    (state,) = [v for v in leaves([u]) if random.is_rng_state(v)]
    assert state is random.rng_state() and state.name == "random_state" and not state.trainable and state.dtype == "uint64"
    assert not random.is_rng_state(constant(np.zeros(2, "uint64")))
    assert (value(run, u, at(1, 0)) != value(run, u, at(1, 1))).all()


def test_seed_writes_the_state(monkeypatch):
    written = []
    monkeypatch.setattr(type(random.rng_state()), "set_value", lambda self, v: written.append((self, v.tolist())))
    random.seed(2**64 + 5)
    random.seed()
    assert written[0] == (random.rng_state(), [5, 0])
    assert written[1][1][0] != 5 and written[1][1][1] == 0
    random.state._Process.state = None
    random.seed(-1)
    assert random.rng_state().initial.tolist() == [2**64 - 1, 0]
