"""CTC loss against a sum over all paths, its gradient against finite differences, and greedy decoding."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import graphflow as gf
from graphflow.graph.errors import CheckError, GraphError, ShapeError

rng = np.random.default_rng(0)


def log_softmax(x: np.ndarray) -> np.ndarray:
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def collapse(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    return tuple(c for c, _ in itertools.groupby(path) if c != blank)


def by_paths(logits: np.ndarray, label: list[int], blank: int) -> float:
    """The loss by adding up every path of classes."""
    p = np.exp(log_softmax(logits))
    total = sum(np.prod([p[t, c] for t, c in enumerate(path)]) for path in itertools.product(range(p.shape[1]), repeat=len(p)) if collapse(path, blank) == tuple(label))
    return -float(np.log(total)) if total else np.inf


LABELS = np.array([[1, 2, 1], [2, 2, 7], [1, 9, 9], [-5, 0, 0], [1, 1, 1]])
COUNTS, FRAMES = np.array([3, 2, 1, 0, 3]), np.array([5, 4, 5, 3, 4])  # the last one needs 5 frames


@pytest.mark.smoke
@pytest.mark.parametrize("blank", [0, -1])
def test_loss_is_the_sum_over_paths(blank: int) -> None:
    logits = rng.standard_normal((5, 5, 4))
    labels = LABELS - 1 if blank else LABELS
    x = gf.placeholder("float64", (None, None, 4))
    y, m, n = gf.placeholder("int32", (None, None)), gf.placeholder("int64", (None,)), gf.placeholder("int32", (None,))
    run = gf.function([x, y, m, n], gf.nn.ctc_loss(y, x, m, n, blank_index=blank))
    got = run(logits.swapaxes(0, 1), labels.astype("int32"), COUNTS, FRAMES.astype("int32"))
    want = [by_paths(logits[b, : FRAMES[b]], labels[b, : COUNTS[b]].tolist(), 0 if blank == 0 else 3) for b in range(5)]
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert got[-1] == np.inf
    empty = run(np.zeros((0, 2, 4)), np.zeros((2, 1), "int32"), np.array([0, 1]), np.zeros(2, "int32"))
    np.testing.assert_array_equal(empty, [0, np.inf])


def test_gradient() -> None:
    logits = rng.standard_normal((4, 5, 4))
    weights = rng.standard_normal(4)

    def cost(x: gf.Variable) -> gf.Variable:
        return gf.nn.ctc_loss(LABELS[:4], x, COUNTS[:4], FRAMES[:4], logits_time_major=False) * weights

    gf.verify_grad(cost, [logits])
    x = gf.placeholder("float64", (None, None, None))
    loss = gf.nn.ctc_loss(LABELS, x, COUNTS, FRAMES, logits_time_major=False)
    found = gf.function([x], gf.grad(gf.sum(loss), x))(rng.standard_normal((5, 5, 4)))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[-1], 0)
    np.testing.assert_array_equal(found[1, 4:], 0)
    np.testing.assert_allclose(found.sum(-1), 0, atol=1e-12)
    with pytest.raises(GraphError, match="no gradient of its own"):
        gf.grad(gf.sum(gf.grad(gf.sum(loss), x) ** 2), x)


def test_long_sequences_do_not_underflow() -> None:
    logits, labels = np.zeros((1, 400, 3), "float32"), np.tile([1, 2], 100)[None]
    x = gf.placeholder("float32", (1, 400, 3))
    loss = gf.nn.ctc_loss(labels, x, [200], [400], logits_time_major=False)
    value, slope = gf.function([x], [loss[0], gf.grad(gf.sum(loss), x)])(logits)
    # 601 - 200 choose 400 paths of 3 ** -400 each: alternating labels need no blanks
    from math import comb, log

    assert value == pytest.approx(400 * log(3) - log(comb(600, 400)), rel=1e-4)
    assert np.isfinite(slope).all()


def test_what_is_refused() -> None:
    x = gf.placeholder("float64", (1, 3, 4))

    def run(labels: list[int], count: int, frames: int) -> None:
        gf.function([x], gf.nn.ctc_loss([labels], x, [count], [frames], logits_time_major=False))(np.zeros((1, 3, 4)))

    run([1, 9], 1, 3)
    for labels, count, frames, message in (([1, 4], 2, 3, "not a class"), ([1, 1], 3, 3, "label_length"), ([1, 1], 1, 4, "logit_length")):
        with pytest.raises(CheckError, match=message):
            run(labels, count, frames)
    sized = gf.placeholder("float64", (1, 3, None))
    with pytest.raises(ShapeError, match=">= 5"):
        gf.function([sized], gf.nn.ctc_loss([[1]], sized, [1], [3], logits_time_major=False, blank_index=4))(np.zeros((1, 3, 4)))
    with pytest.raises(ShapeError, match="ranks"):
        gf.nn.ctc_loss([1], x, [1], [3])
    with pytest.raises(ShapeError, match="none of 4 classes"):
        gf.nn.ctc_loss([[1]], x, [1], [3], blank_index=4)


def test_greedy_decoding() -> None:
    best = np.array([[0, 1, 1, 3, 1, 2], [3, 3, 2, 2, 0, 1]])
    logits = np.eye(4)[best] * 2
    x, n = gf.placeholder("float64", (None, None, 4)), gf.placeholder("int64", (None,))
    decoded, count, score = gf.function([x, n], list(gf.nn.ctc_greedy_decode(x, n)))(logits.swapaxes(0, 1), np.array([6, 4]))
    np.testing.assert_array_equal(decoded, [[0, 1, 1, 2, -1, -1], [2, -1, -1, -1, -1, -1]])
    np.testing.assert_array_equal(count, [4, 1])
    np.testing.assert_array_equal(score, [-12, -8])
    unmerged = gf.function([x, n], gf.nn.ctc_greedy_decode(x, n, merge_repeated=False)[0])(logits.swapaxes(0, 1), np.array([6, 6]))
    np.testing.assert_array_equal(unmerged, [[0, 1, 1, 1, 2, -1], [2, 2, 0, 1, -1, -1]])


def test_beam_search_finds_the_likeliest_labellings() -> None:
    """A beam that holds every prefix gives the exact probabilities; narrow ones never promise more."""
    logits = rng.standard_normal((2, 4, 3)) * 2
    p = np.exp(log_softmax(logits))
    x, n = gf.placeholder("float64", (None, None, 3)), gf.placeholder("int64", (None,))
    wide = gf.function([x, n], list(gf.nn.ctc_beam_search_decode(x, n, 200, 5)))
    decoded, counts, scores = wide(logits.swapaxes(0, 1), np.array([4, 3]))
    for b, frames in enumerate((4, 3)):
        exact: dict[tuple[int, ...], float] = {}
        for path in itertools.product(range(3), repeat=frames):
            label = collapse(path, 2)
            exact[label] = exact.get(label, 0.0) + float(np.prod([p[b, t, c] for t, c in enumerate(path)]))
        want = sorted(exact.items(), key=lambda item: -item[1])[:5]
        assert [tuple(d[:c]) for d, c in zip(decoded[b], counts[b], strict=True)] == [label for label, _ in want]
        np.testing.assert_allclose(np.exp(scores[b]), [q for _, q in want], rtol=1e-12)
        assert all((d[c:] == -1).all() for d, c in zip(decoded[b], counts[b], strict=True))
    narrow = gf.function([x, n], gf.nn.ctc_beam_search_decode(x, n, 2)[2])(logits.swapaxes(0, 1), np.array([4, 3]))
    assert (narrow[:, 0] <= scores[:, 0] + 1e-12).all()
    none = wide(np.zeros((0, 1, 3)), np.array([0]))
    assert none[2][0].tolist() == [0, -np.inf, -np.inf, -np.inf, -np.inf]
    with pytest.raises(GraphError, match="top_paths"):
        gf.nn.ctc_beam_search_decode(x, n, 2, 3)
