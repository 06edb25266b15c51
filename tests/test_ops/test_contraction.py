"""matmul, dot, tensordot, einsum, inner and outer against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from graphflow.graph.dim import Dim
from graphflow.graph.errors import CheckError, ShapeError
from graphflow.graph.traversal import toposort
from graphflow.graph.variable import placeholder
from graphflow.ops import contraction as ops

RNG = np.random.default_rng(0)


def check(ours, numpy, arrays, run, args=()):
    for dynamic in (False, True):
        xs = [placeholder(a.dtype, [n if n == 1 or not dynamic else None for n in a.shape]) for a in arrays]
        (value,) = run([ours(*xs, *args)], dict(zip(xs, arrays, strict=True)))
        np.testing.assert_allclose(value, numpy(*arrays, *args), rtol=1e-12, atol=1e-12)


MATMULS = [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 4)), ((1, 2, 3), (1, 3, 4)), ((6, 5, 2, 3), (3,)), ((3,), (6, 5, 3, 4)), ((1, 5, 2, 3), (6, 1, 3, 4)),
    ((2, 1), (1, 4)), ((1, 3), (3, 1)), ((0, 3), (3, 4)), ((2, 0), (0, 4)),
]  # fmt: skip


@pytest.mark.parametrize("left,right", MATMULS)
def test_matmul(left, right, run):
    check(ops.matmul, np.matmul, [RNG.normal(size=left), RNG.normal(size=right)], run)


@pytest.mark.parametrize("left,right", [((), (3, 2)), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (6, 3, 4)), ((3,), (6, 3, 4)), ((2, 3), ())])
def test_dot(left, right, run):
    check(ops.dot, np.dot, [RNG.normal(size=left), RNG.normal(size=right)], run)


@pytest.mark.parametrize("left,right", [((), (2,)), ((3,), (3,)), ((2, 3), (4, 3)), ((5, 2, 3), (3,))])
def test_inner(left, right, run):
    check(ops.inner, np.inner, [RNG.normal(size=left), RNG.normal(size=right)], run)


def test_outer_and_vdot(run):
    x, y = RNG.normal(size=(2, 3)), RNG.normal(size=(6,))
    check(ops.outer, np.outer, [x, y], run)
    check(ops.vdot, np.vdot, [x, y], run)


@pytest.mark.parametrize(
    "left,right,axes",
    [((2, 3, 4), (3, 4, 5), 2), ((2, 3), (4, 5), 0), ((2, 3, 4), (4, 2), ([0, 2], [1, 0])), ((2, 3), (3, 2), ([1], [0])), ((2, 3), (3, 4), (1, 0)), ((2, 3), (2, 3), ([-1, 0], [1, -2]))],
)
def test_tensordot(left, right, axes, run):
    check(ops.tensordot, np.tensordot, [RNG.normal(size=left), RNG.normal(size=right)], run, (axes,))


EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ji,jk", (3, 2), (3, 4)), ("i,i", (3,), (3,)), ("i,j->ij", (3,), (4,)),
    ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij->j", (2, 3)), ("ii", (3, 3)), ("ii->i", (3, 3)), ("iij->j", (3, 3, 2)), ("iii->i", (3, 3, 3)),
    ("ijij->ij", (2, 3, 2, 3)), ("ij,ij->ij", (2, 3), (2, 3)), ("ij,ij->", (2, 3), (2, 3)), ("ij,ik->i", (2, 3), (2, 4)), ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)), ("ij,jk,ki->", (2, 3), (3, 4), (4, 2)), ("i,i,i->i", (3,), (3,), (3,)), ("i,j,k->kji", (2,), (3,), (4,)),
    ("...ij,...jk->...ik", (5, 2, 3), (5, 3, 4)), ("...ij,jk", (6, 5, 2, 3), (3, 4)), ("...ij,...jk", (6, 1, 2, 3), (5, 3, 4)), ("...->...", (2, 3)),
    ("i...->...", (2, 3, 4)), ("...i->...", (2, 3, 4)), ("ij,kl->", (2, 3), (4, 5)), ("ab,bc,ad->dc", (2, 3), (3, 4), (2, 5)), ("ij, jk -> ik", (2, 3), (3, 4)),
    ("Ab,bC", (2, 3), (3, 4)), ("ij,j->i", (2, 3), (1,)), (",ij->ij", (), (2, 3)), ("ii,ij->j", (3, 3), (3, 4)), ("ij,jj->i", (2, 3), (3, 3)),
]  # fmt: skip


@pytest.mark.smoke
@pytest.mark.parametrize("case", EINSUMS, ids=lambda c: c[0])
def test_einsum(case, run):
    text, *shapes = case
    arrays = [RNG.normal(size=s) for s in shapes]
    check(lambda *xs: ops.einsum(text, *xs), lambda *xs: np.einsum(text, *xs), arrays, run)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "bool"])
def test_integers_wrap_and_bools_or(dtype, run):
    a, b = (RNG.integers(0, 2 if dtype == "bool" else 100, s).astype(dtype) for s in ((4, 300), (300, 5)))
    check(ops.matmul, np.matmul, [a, b], run)
    check(lambda *xs: ops.einsum("ij,jk->k", *xs), lambda *xs: np.einsum("ij,jk->k", *xs), [a[:, :7], b[:7]], run)


def test_broadcast_batches_are_not_copied():
    x, y = placeholder("float32", (1, 8, 2, 3)), placeholder("float32", (7, 1, 3, 4))
    out = ops.matmul(x, y)
    assert out.shape == (7, 8, 2, 4)
    assert "broadcast_to" not in {node.op.name for node in toposort([out])}


def test_equal_contractions_are_equal_ops():
    x, y = placeholder("float32", (2, 3)), placeholder("float32", (3, 4))
    same = [ops.matmul(x, y), ops.dot(x, y), ops.einsum("pq,qr->pr", x, y), ops.tensordot(x, y, 1)]
    assert len({v.owner.op for v in same}) == 1


def test_products_without_a_sum_are_elementwise():
    x, y = placeholder("float32", (2, 3)), placeholder("float32", (3,))
    assert ops.einsum("ij,j->ij", x, y).owner.op.name == "multiply"


def test_unknown_inner_sizes_are_compared_when_run(run):
    x, y = placeholder("float64", (None, None)), placeholder("float64", (None, None))
    out = ops.matmul(x, y)
    assert out.shape == (x.shape[0], y.shape[1])
    with pytest.raises(CheckError):
        run([out], {x: np.ones((2, 3)), y: np.ones((4, 2))})
    n = Dim.symbol("n")
    assert ops.matmul(placeholder("float32", (n, n)), placeholder("float32", (n, 3))).owner.constraints == ()


def test_matmul_says_what_differs():
    x, w = placeholder("float32", (None, 784), "x"), placeholder("float32", (300, 10), "w")
    with pytest.raises(ShapeError, match="matmul: inner sizes differ: 784 and 300") as caught:
        x @ w
    text = str(caught.value)
    assert "x: float32[" in text and "w: float32[300, 10]" in text and "hint" in text and "test_contraction.py" in text
    with pytest.raises(ShapeError, match="transpose the second"):
        ops.matmul(x, placeholder("float32", (300, 784)))


@pytest.mark.parametrize(
    "make,text",
    [
        (lambda x: ops.matmul(x, 2.0), "scalar is not a matrix"),
        (lambda x: ops.matmul(x[None], placeholder("float32", (2, 3, 4))) @ placeholder("float32", (3, 4, 5)), "differ"),
        (lambda x: ops.dot(x, x), "dot: inner sizes differ: 3 and 2"),
        (lambda x: ops.inner(x, x[:, :2]), "inner: inner sizes differ: 3 and 2"),
        (lambda x: ops.tensordot(x, x, 2) + ops.tensordot(x, x, 1), "tensordot: inner sizes differ"),
        (lambda x: ops.tensordot(x, x, 3), "3 axes to sum over"),
        (lambda x: ops.tensordot(x, x, ([0], [0, 1])), "pair different axes"),
        (lambda x: ops.tensordot(x, x, ([0, 0], [0, 0])), "pair different axes"),
        (lambda x: ops.einsum("ij,jk->ik", x), "2 subscripts are given for 1 operands"),
        (lambda x: ops.einsum("ijk->i", x), "operand 0 has rank 2 and 'ijk' names 3 axes"),
        (lambda x: ops.einsum("i->i", x), "operand 0 has rank 2 and 'i' names 1 axes"),
        (lambda x: ops.einsum("ij->ik", x), "repeats a label, or has one that no operand has"),
        (lambda x: ops.einsum("ij->ii", x), "repeats a label"),
        (lambda x: ops.einsum("i1->i", x), "letters"),
        (lambda x: ops.einsum("i.j->i", x), "letters"),
        (lambda x: ops.einsum("...->", x), "no '...'"),
        (lambda x: ops.einsum("ij,ij->i", x, x[:, :2]), "sizes of label .* differ: 3 and 2"),
        (lambda x: ops.einsum("ii", x), "sizes of label i in operand 0 differ: 2 and 3"),
        (lambda x: ops.einsum("ij"), "no operands"),
    ],
)
def test_errors(make, text):
    with pytest.raises(ShapeError, match=text):
        make(placeholder("float32", (2, 3)))


def test_an_operand_that_is_one_number_everywhere() -> None:
    import graphflow as gf

    x = gf.placeholder("float64", (2, 3))
    spread = gf.broadcast_to(x[0, 0], (4, 3, 3))
    got = gf.function([x], gf.matmul(spread, gf.broadcast_to(x[1, 1], (4, 3, 5))))(np.arange(6.0).reshape(2, 3) + 1)
    np.testing.assert_array_equal(got, np.full((4, 3, 5), 3 * 1.0 * 5.0))
