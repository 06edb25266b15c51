"""The loops that nest ops write, run by a small interpreter, against their NumPy references."""

from __future__ import annotations

import contextlib
import operator

import numpy as np
import pytest

import graphflow.ops  # noqa: F401  registers the ops
from graphflow.graph.dim import Dim, evaluate
from graphflow.graph.errors import CheckError
from graphflow.graph.op import REGISTRY, NestOp
from graphflow.graph.traversal import toposort

MODULES = {f"graphflow.ops.{m}" for m in ("gathering", "along_axis", "joining")}
NESTS = [cls for cls in REGISTRY.classes if issubclass(cls, NestOp) and cls.__module__ in MODULES]
SAMPLES = [(f"{cls.__name__} {s.name}".strip(), s) for cls in NESTS for s in cls.samples()]
SIZES = [{"a": 2, "b": 3, "c": 4, "d": 2, "k": 5, "l": 2, "m": 4, "n": 3}, dict.fromkeys("abcdklmn", 1), dict.fromkeys("abcdklmn", 0)]


class Value:
    """An expression: a dtype and a function of the loop indices."""

    def __init__(self, dtype, at):
        self.dtype, self.at = np.dtype(dtype), at

    def _with(self, other, fn, dtype=None):
        def at(env):
            right = other.at(env) if isinstance(other, Value) else self.dtype.type(other)
            return (dtype or self.dtype).type(fn(self.at(env), right))

        return Value(dtype or self.dtype, at)

    def __add__(self, other):
        return self._with(other, operator.add)

    def __or__(self, other):
        return self._with(other, operator.or_)

    def __lt__(self, other):
        return self._with(other, operator.lt, np.dtype(bool))


class Buffer:
    def __init__(self, nest, array):
        self.nest, self.array, self.shape, self.dtype = nest, array, array.shape, array.dtype

    def _place(self, ix, env):
        place = tuple(evaluate(i, env) for i in ix)
        assert all(0 <= p < n for p, n in zip(place, self.shape, strict=True)), f"{place} is outside {self.shape}"
        return place

    def load(self, *ix):
        return Value(self.dtype, lambda env: self.array[self._place(ix, env)])

    def store(self, ix, value):
        assert value.dtype == self.dtype
        self.nest.block.append(lambda env: self.array.__setitem__(self._place(ix, env), value.at(env)))


class Nest:
    """Records the statements of a nest, then runs them."""

    def __init__(self):
        self.block = []

    @contextlib.contextmanager
    def loop(self, name, extent, *, sequential=False):
        i, outer = Dim.symbol(name, 0, extent), self.block
        self.block = body = []
        yield i
        self.block = outer

        def run(env):
            for n in range(extent) if sequential else reversed(range(extent)):
                inner = env | {i.atom: n}
                for statement in body:
                    statement(inner)

        outer.append(run)

    def cast(self, dtype, x):
        return Value(dtype, lambda env: np.dtype(dtype).type(x.at(env)))

    def select(self, cond, x, y):
        return Value(x.dtype, lambda env: x.at(env) if cond.at(env) else y.at(env))

    def dim(self, size):
        return Value("int64", lambda env: np.int64(evaluate(size, env)))

    def position(self, value, extent, message, shown=None):
        place = Dim.symbol("p", 0, extent)

        def run(env):
            at = int(value.at(env))
            if not 0 <= at < extent:
                raise CheckError(message)
            env[place.atom] = at

        self.block.append(run)
        return place


def execute(op, arrays, shape, dtype):
    nest, out = Nest(), np.zeros(shape, dtype)
    op.nest(nest, [Buffer(nest, a) for a in arrays], [Buffer(nest, out)])
    for statement in nest.block:
        statement({})
    return out


@pytest.mark.parametrize("name,sample", SAMPLES, ids=[name for name, _ in SAMPLES])
def test_nests(name, sample, run, instances):
    for sizes in SIZES:
        for variables, arrays in instances(sample, sizes, dynamic=False):
            feeds = dict(zip(variables, arrays, strict=True))
            for node in toposort([sample.make(*variables)]):
                if isinstance(node.op, NestOp):
                    *given, expected = run([*node.inputs, *node.outputs], feeds)
                    np.testing.assert_array_equal(execute(node.op, given, expected.shape, expected.dtype), expected)
