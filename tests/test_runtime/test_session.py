"""Sessions: feeds and fetches of nested structures, state of their own, several threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import graphflow as gf


@pytest.mark.smoke
def test_run_with_nested_fetches_and_any_feed() -> None:
    x = gf.placeholder("float32", (None,), name="x")
    y = x * 2
    with gf.Session() as s:
        assert s.run({"y": y, "both": [x, (y,)]}, {x: [1, 2]})["both"][1][0].tolist() == [2, 4]
        assert s.run(y + 1, {y: [5.0]}).tolist() == [6]
        f = s.make_callable([y, y + x], [x])
        assert f([3.0])[1].tolist() == [9]
    with pytest.raises(gf.GraphflowError, match="closed"):
        s.run(y, {x: [1]})


def test_each_session_has_its_own_state() -> None:
    w = gf.shared(np.zeros(2), name="w")
    up = gf.assign(w, w + 1)
    one, two, sharing = gf.Session(), gf.Session(), gf.Session(store=gf.default_store())
    assert one.run(up).tolist() == [1, 1]
    assert one.run([up, w])[0].tolist() == [2, 2]
    assert two.run(w).tolist() == [0, 0]
    assert sharing.run(up).tolist() == [1, 1] and w.get_value().tolist() == [1, 1]
    with one:
        assert w.get_value().tolist() == [2, 2]
        assert w.eval().tolist() == [2, 2]


def test_fetched_arrays_are_not_state() -> None:
    w = gf.shared(np.zeros(3))
    with gf.Session() as s:
        before = s.run(w)
        s.run(gf.assign_add(w, np.ones(3)))
        assert before.tolist() == [0, 0, 0]
        before[:] = 7
        assert s.run(w).tolist() == [1, 1, 1]


def test_runs_from_several_threads() -> None:
    rng = np.random.default_rng(0)
    x = gf.placeholder("float64", (None, 16))
    w, n = gf.shared(rng.standard_normal((16, 16))), gf.shared(np.zeros(()))
    y, count = gf.tanh(x @ w), gf.assign_add(n, 1.0)
    session = gf.Session()
    inputs = [rng.standard_normal((k + 1, 16)) for k in range(8)]
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(50):
            got, _ = session.run([y, count], {x: inputs[k]})
            if not np.allclose(got, np.tanh(inputs[k] @ w.initial)):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert session.run(n) == 400


def test_unknown_device_and_bad_fetch() -> None:
    with pytest.raises(gf.GraphflowError, match="no device"):
        gf.Session(device="abacus")
    with gf.Session() as s, pytest.raises(gf.GraphError, match="not a Variable"):
        s.run("loss")
