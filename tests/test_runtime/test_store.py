"""Where state lives: initial values are shared by Stores until they are written."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.runtime.store import Store, default_store


def weights(n: int = 100):
    return np.random.default_rng(0).standard_normal((n, 3)).astype("float32")


def test_reading_keeps_the_initial_value_once() -> None:
    w = gf.shared(weights())
    x = gf.placeholder("float32", (None, 100))
    gf.function([x], x @ w)(np.ones((2, 100), "float32"))
    with gf.Session() as s:
        s.run(x @ w, {x: np.ones((2, 100), "float32")})
        arrays = [store.cell(w).array for store in (default_store(), s.store)]
    assert all(a is w.initial for a in arrays)
    assert w.initial.ctypes.data % 64 == 0
    assert not w.initial.flags.writeable


@pytest.mark.smoke
@pytest.mark.parametrize("value", [weights(), np.zeros((4, 5), "float32"), np.full(7, -0.0), np.int64(3), np.ones((0, 2))])
def test_a_write_in_one_store_does_not_reach_another(value) -> None:
    w = gf.shared(value)
    before = np.array(w.get_value())
    session = gf.Session()
    assert session.run(w).tobytes() == before.tobytes()
    step = gf.function([], updates=[(w, w + 1)])
    for _ in range(2):
        step()
    np.testing.assert_array_equal(w.get_value(), before + before.dtype.type(1) + before.dtype.type(1))
    assert session.run(w).tobytes() == before.tobytes() == w.initial.tobytes()
    assert gf.Session().run(w).tobytes() == before.tobytes()


def test_setting_and_reading_in_between() -> None:
    w = gf.shared(weights())
    read, step = gf.function([], w * 2.0), gf.function([], updates=[(w, w - 1)])
    np.testing.assert_array_equal(read(), weights() * 2)
    step()
    np.testing.assert_array_equal(read(), (weights() - 1) * 2)
    w.set_value(np.ones((100, 3), "float32"))
    np.testing.assert_array_equal(read(), np.full((100, 3), 2.0))
    np.testing.assert_array_equal(w.initial, weights())


def test_equal_elements_are_kept_as_one() -> None:
    for value in (np.zeros((1000, 10), "float32"), np.full(50, np.nan), np.full(9, -0.0), np.ones((3, 3), bool)):
        w = gf.shared(value)
        assert set(w.initial.strides) == {0}
        assert w.initial.tobytes() == value.tobytes() == w.get_value().tobytes()
    mixed = np.zeros(5)
    mixed[2] = -0.0  # equal, and not the same
    assert gf.shared(mixed).initial.tobytes() == mixed.tobytes()


def test_what_the_user_holds_is_never_state() -> None:
    value = weights()
    w = gf.shared(value, borrow=True)
    value[:] = 0
    np.testing.assert_array_equal(w.get_value(), weights())
    got = w.get_value()
    got[:] = 0
    np.testing.assert_array_equal(w.get_value(), weights())
    assert w not in Store()
