"""Python callables, custom gradients and ops without a lowering form, in compiled graphs."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import DTypeError, GraphError, ShapeError

X = np.arange(6.0).reshape(2, 3)


@pytest.mark.smoke
def test_py_function() -> None:
    x = gf.placeholder("float64", (None, 3))
    total, shifted = gf.py_function(lambda a: (a.sum(), a[:, :2] + 1), [x * 2], [("float64", ()), ("float64", (x.shape[0], 2))])
    run = gf.function([x], [total + 1, gf.sum(shifted, axis=0)])
    for a in (X, X[:1], X[:0], X):
        got = run(a)
        assert got[0] == 2 * a.sum() + 1
        np.testing.assert_array_equal(got[1], (2 * a[:, :2] + 1).sum(0))


def test_its_gradient_is_what_vjp_says() -> None:
    x = gf.placeholder("float64", (2, 3))
    y = gf.py_function(np.tanh, [x], x, vjp=lambda inputs, outputs, grads: [grads[0] * (1 - outputs[0] ** 2)])
    gf.verify_grad(lambda v: gf.py_function(np.tanh, [v], v, vjp=lambda i, o, g: [g[0] * (1 - o[0] ** 2)]), [X], order=2)
    np.testing.assert_allclose(gf.function([x], gf.grad(gf.sum(y), x))(X), 1 - np.tanh(X) ** 2)
    with pytest.raises(GraphError, match="tanh has no gradient"):
        gf.grad(gf.sum(gf.py_function(np.tanh, [x], x)), x)


def test_what_it_raises_leaves_the_run() -> None:
    x = gf.placeholder("float64", (2, 3))

    class Mine(Exception):
        pass

    def fail(a: Any) -> Any:
        if a[0, 0] < 0:
            raise Mine(a[0, 0])
        return a

    counter = gf.shared(np.array(0.0), "counter")
    run = gf.function([x], gf.py_function(fail, [x], x), updates=[(counter, counter + 1)])
    for _ in range(4):  # native calls from the third on
        np.testing.assert_array_equal(run(X), X)
        with pytest.raises(Mine):
            run(X - 1)
    assert counter.get_value() == 4, "a run that fails writes no state"
    wrong = [(lambda a: a[:1], ShapeError), (lambda a: a.astype("float32"), DTypeError), (lambda a: (a, a), (DTypeError, ShapeError))]
    for fn, error in wrong:
        with pytest.raises(error):
            gf.function([x], gf.py_function(fn, [x], x))(X)
    with pytest.raises(ShapeError, match="unknown size"):
        gf.py_function(np.tanh, [x], ("float64", (None,)))


def test_it_runs_in_other_threads() -> None:
    x = gf.placeholder("float64", (2, 3))
    seen = []
    run = gf.function([x], gf.py_function(lambda a: (seen.append(threading.get_ident()), a)[1], [x], x))
    workers = [threading.Thread(target=run, args=(X,)) for _ in range(3)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert len(seen) == 3


def test_as_op() -> None:
    @gf.as_op(["float64", "float64"], lambda x, y: x.type)
    def larger(x: Any, y: Any) -> Any:
        """The larger one."""
        return np.maximum(x, y)

    x = gf.placeholder("float32", (None,))
    assert larger.__name__ == "larger" and larger.__doc__ == "The larger one."
    got = gf.function([x], larger(x, 2 * x))(np.array([1, -1], "float32"))
    np.testing.assert_array_equal(got, np.array([2.0, -1]))
    with pytest.raises(GraphError, match="takes 2 operands"):
        larger(x)


@gf.register
class Median(gf.Op):
    """A user's op with a reference only."""

    name = "my_median"
    axis: int

    def infer(self, *inputs: gf.TensorType) -> gf.TensorType:
        shape = inputs[0].known_shape
        return gf.TensorType(inputs[0].dtype, (*shape[: self.axis], *shape[self.axis + 1 :]))

    def reference(self, *arrays: Any) -> Any:
        return np.median(arrays[0], axis=self.axis)


@gf.register
class Double(gf.ScalarOp):
    """A user's op with everything."""

    name = "my_double"
    version = 1

    def scalar(self, b: Any, *xs: Any) -> Any:
        return xs[0] + xs[0]

    def reference(self, *arrays: Any) -> Any:
        return arrays[0] * 2

    def vjp(self, inputs: Any, outputs: Any, grads: Any) -> Any:
        return (None if grads[0] is None else Double()(grads[0]),)


def test_own_ops() -> None:
    x = gf.placeholder("float64", (None, None))
    run = gf.function([x], [Median(1)(x * 2) + 1, Double()(x), gf.grad(gf.sum(Double()(x) ** 2), x)])
    for a in (X, X[:, :2], X):
        m, d, g = run(a)
        np.testing.assert_array_equal(m, np.median(a * 2, axis=1) + 1)
        np.testing.assert_array_equal(d, 2 * a)
        np.testing.assert_array_equal(g, 8 * a)
    with pytest.raises(GraphError, match="has no gradient"):
        gf.grad(gf.sum(Median(0)(x)), x)


def test_custom_gradient() -> None:
    @gf.custom_gradient
    def clipped(x: Any) -> Any:
        return gf.exp(x), lambda g: gf.clip(g, -1, 1)

    @gf.custom_gradient
    def both(x: Any, y: Any) -> Any:
        return (x * y, x + y), lambda g, h: [g * 10, None]

    x, y = gf.placeholder("float64", (None,)), gf.placeholder("float64", ())
    a = np.array([1.0, -2, 3])
    np.testing.assert_allclose(gf.function([x], clipped(x))(a), np.exp(a))
    np.testing.assert_array_equal(gf.function([x], gf.grad(gf.sum(clipped(x) * a), x))(a), np.clip(a, -1, 1))
    product, _ = both(x, y)
    np.testing.assert_array_equal(gf.function([x, y], gf.grad(gf.sum(product), x))(a, 2.0), np.full(3, 10.0))
    w = gf.shared(1.0, "w")
    with pytest.raises(GraphError, match="not among its arguments"):
        gf.custom_gradient(lambda x: (x * w, lambda g: g))(x)
    with pytest.raises(GraphError, match="2 cotangents for 1"):
        gf.grad(gf.sum(gf.custom_gradient(lambda x: (x * 2, lambda g: [g, g]))(x)), x)
