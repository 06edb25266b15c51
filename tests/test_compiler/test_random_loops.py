"""Random loops: optimised and unoptimised compiled code, and their gradients, against Python loops over NumPy."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import graphflow as gf

Expr = tuple[Any, ...]
Array = np.ndarray[Any, np.dtype[Any]]

LOOPS_PER_COMPILATION = 4  # many loops share one compilation, which is where the time goes
COMPILATIONS = int(os.environ.get("GRAPHFLOW_FUZZ", "4"))
EXPLORE = os.environ.get("GRAPHFLOW_EXPLORE", "") != ""  # new loops at each run, instead of the same ones
WIDTH = 3
LEAVES = 6  # up to three carries, then two rows and a constant: see `Trip`


@dataclass(frozen=True)
class Loop:
    """`carries`: new values; `kept`: what is read of each ("last", "all" or nothing); `stop`: after that many trips, or when a sum is large."""

    kind: str
    carries: tuple[Expr, ...]
    kept: tuple[str, ...]
    rows: tuple[Expr, ...]
    stop: int


@dataclass(frozen=True)
class Trip:
    """What an expression may read in a trip."""

    number: Any
    values: Sequence[Any]
    weights: Any


# --- expressions, on graphs and on arrays ---------------------------------------------------------------
def choose(m: Any, flag: Any, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    return gf.cond(flag, yes, no) if m is gf else yes() if flag else no()


def repeat(m: Any, times: Any, step: Callable[[Any], Any], start: Any) -> Any:
    """`step` up to two times, in a loop of its own."""
    if m is gf:
        return gf.while_loop(lambda i, v: i < times, lambda i, v: (i + 1, step(v)), [np.int64(0), start], maximum_iterations=2)[1]
    for _ in range(min(2, int(times))):
        start = step(start)
    return start


def over_rows(m: Any, step: Callable[[Any, Any], Any], rows: Any, start: Any) -> Any:
    """The sum of all values of a scan over the elements of `rows`."""
    if m is gf:
        return gf.sum(gf.scan(step, sequences=rows, outputs_info=start)[0], axis=0)
    total = np.zeros_like(start)
    for row in rows:
        start = step(row, start)
        total = total + start
    return total


def outer(m: Any, x: Any, y: Any) -> Any:
    return m.reshape(x, (WIDTH, 1)) * m.reshape(y, (1, WIDTH))


def value(m: Any, e: Expr, trip: Trip) -> Any:
    """An expression, `m` being graphflow or NumPy; values stay small."""
    kind, *parts = e
    if kind == "leaf":
        return trip.values[parts[0] % len(trip.values)]
    x, *others = (value(m, p, trip) for p in parts)
    y = others[0] if others else x
    match kind:
        case "sin" | "tanh":
            return getattr(m, kind)(x)
        case "add":
            return (x + y) * 0.5
        case "times":
            return m.sin(x) * y * 0.7
        case "turn":
            return x[::-1]
        case "total":
            return m.sum(x) * 0.3 + y * 0.5
        case "product":
            return m.matmul(x, trip.weights)
        case "collect":
            return x + m.sum(m.sin(outer(m, y, y)), axis=0)
        case "contract":
            return x + m.matmul(m.tanh(y), m.sin(outer(m, y, x * 0.0 + 1.0)))
        case "odd":
            return m.where(trip.number % 2 > 0, x, y)
        case "cond":
            return choose(m, m.sum(x) > 0.1, lambda: m.tanh(x + y), lambda: x)
        case "repeat":
            return repeat(m, trip.number % 3, lambda v: m.tanh(v * 0.9 + y), x)
        case _:
            return over_rows(m, lambda element, v: m.tanh(v * 0.5 + element), y, x)


def values_of(m: Any, loop: Loop, number: Any, now: Sequence[Any], rows: Sequence[Any], h: Any, w: Any) -> tuple[list[Any], list[Any], Any]:
    """(new carries, stacked values, is this the last trip) of a trip."""
    trip = Trip(number, [*now, *rows, h], w)
    carries = [value(m, e, trip) for e in loop.carries]
    return carries, [value(m, e, trip) for e in loop.rows], (number + 1 >= loop.stop) | (m.sum(carries[0]) > 2.0)


# --- whole loops ------------------------------------------------------------------------------------------
def starts_of(loop: Loop, h: Any) -> list[Any]:
    return [h * (0.5 + i) for i in range(len(loop.carries))]


def built(loop: Loop, x: Any, h: Any, w: Any) -> list[Any]:
    """What is kept of the loop, as a graph."""
    starts = starts_of(loop, h)
    if loop.kind == "while":
        going = gf.while_loop(
            lambda i, done, *now: gf.logical_not(done),
            lambda i, done, *now: ((made := values_of(gf, loop, i, now, [], h, w)) and (i + 1, made[2], *made[0])),
            [np.int64(0), np.bool_(False), *starts],
            maximum_iterations=loop.stop + 2,
        )
        return list(going[2:])

    def step(number: Any, row: Any, mirrored: Any, *now: Any) -> Any:
        carries, rows, last = values_of(gf, loop, number, now, [row, mirrored], h, w)
        return ([*carries, *rows], gf.until(last)) if loop.kind == "until" else [*carries, *rows]

    made, _ = gf.scan(step, sequences=[gf.arange(x.shape[0]), x, x[::-1]], outputs_info=[*starts, *[None] * len(loop.rows)], return_list=True)
    n = len(starts)
    return [v[-1] if how == "last" else v for v, how in zip(made[:n], loop.kept, strict=True) if how] + made[n:]


def played(loop: Loop, x: Array, h: Array, w: Array) -> list[Array]:
    """The same by Python."""
    now: list[Any] = starts_of(loop, h)
    limit = loop.stop + 2 if loop.kind == "while" else len(x)
    past: list[list[Any]] = [[] for _ in now]
    stacked: list[list[Any]] = [[] for _ in loop.rows]
    for t in range(limit):
        read = [] if loop.kind == "while" else [x[t], x[::-1][t]]
        now, rows, last = values_of(np, loop, t, now, read, h, w)
        for many, one in [*zip(past, now, strict=True), *zip(stacked, rows, strict=True)]:
            many.append(one)
        if last and loop.kind != "scan":
            break
    if loop.kind == "while":
        return now
    kept = [v[-1] if how == "last" else np.stack(v) for v, how in zip(past, loop.kept, strict=True) if how]
    return kept + [np.stack(v) for v in stacked]


def loss_of(m: Any, results: Sequence[Any]) -> Any:
    return sum((m.sum(m.sin(v)) for v in results[1:]), m.sum(m.sin(results[0])))


# --- random ones --------------------------------------------------------------------------------------------
def deeper(inner: Any) -> Any:
    one = st.tuples(st.sampled_from(["sin", "tanh", "turn", "product"]), inner)
    two = st.tuples(st.sampled_from(["add", "times", "total", "collect", "contract", "odd", "cond", "repeat", "over_rows"]), inner, inner)
    return one | two


LEAF = st.tuples(st.just("leaf"), st.integers(0, LEAVES - 1))
EXPRESSIONS: Any = st.recursive(LEAF, deeper, max_leaves=4)


@st.composite
def loops(draw: Any) -> Loop:
    n = draw(st.integers(1, 3))
    carries = tuple(draw(EXPRESSIONS) for _ in range(n))
    if draw(st.booleans()):  # the same value twice
        carries = (*carries[:-1], carries[0])
    kept = tuple(draw(st.sampled_from(["", "last", "all"])) for _ in range(n))
    rows = [draw(EXPRESSIONS) for _ in range(draw(st.integers(0 if any(kept) else 1, 2)))]
    if rows and draw(st.booleans()):  # a new value of a carry as a row
        rows[-1] = carries[-1]
    return Loop(draw(st.sampled_from(["scan", "until", "while"])), carries, kept, tuple(rows), draw(st.integers(1, 4)))


def arguments(dtype: str, rows: int) -> list[Array]:
    r = np.random.default_rng(rows)
    return [r.uniform(-1, 1, shape).astype(dtype) for shape in ((rows, WIDTH), (WIDTH,), (WIDTH, WIDTH))]


def sloped(loop: Loop, args: Sequence[Array], ways: Sequence[Array], step: float = 1e-6) -> float:
    """The change of the loss along directions of all arguments."""
    up, down = (loss_of(np, played(loop, *(a + s * step * way for a, way in zip(args, ways, strict=True)))) for s in (1, -1))
    return float(up - down) / (2 * step)


def check(batch: Sequence[Loop], dtype: str, length: int | None) -> None:
    inputs = [gf.placeholder(dtype, (length, WIDTH), name="x"), gf.placeholder(dtype, (WIDTH,), name="h"), gf.placeholder(dtype, (WIDTH, WIDTH), name="w")]
    results = [built(loop, *inputs) for loop in batch]
    grads = [gf.grad(loss_of(gf, made), inputs, disconnected_inputs="ignore") for made in results]
    wanted = [v for made in [*results, *grads] for v in made]
    with gf.config.override(optimize=False):
        plain = gf.function(inputs, wanted)
    with gf.config.override(debug_memory="poison"):
        fast = gf.function(inputs, wanted)
    tolerance: dict[str, float] = {"rtol": 1e-9, "atol": 1e-11} if dtype == "float64" else {"rtol": 2e-3, "atol": 2e-4}
    for rows in [1, 2, 5] if length is None else [length]:
        args = arguments(dtype, rows)
        got = [fast(*args), None]
        with gf.config.override(optimize=False):
            got[1] = plain(*args)
        for a, b in zip(*got, strict=True):
            np.testing.assert_allclose(a, b, **tolerance)
        values, slopes = iter(got[0]), iter(got[0][sum(map(len, results)) :])
        ways = arguments(dtype, rows)[::1]
        for loop in batch:
            for want in played(loop, *args):
                np.testing.assert_allclose(next(values), want, **tolerance, err_msg=str(loop))
            slope = sum(float(np.sum(next(slopes) * way)) for way in ways)
            if dtype == "float64":
                np.testing.assert_allclose(slope, sloped(loop, args, ways), rtol=1e-4, atol=1e-5, err_msg=str(loop))


BUDGET = settings(
    max_examples=COMPILATIONS, deadline=None, database=None, derandomize=not EXPLORE, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


@pytest.mark.parametrize("length", [None, 4])
@BUDGET
@given(batch=st.lists(loops(), min_size=LOOPS_PER_COMPILATION, max_size=LOOPS_PER_COMPILATION), dtype=st.sampled_from(["float64", "float64", "float32"]))
def test_random_loops_are_what_python_makes_of_them(length: int | None, batch: list[Loop], dtype: str) -> None:
    check(batch, dtype, length)
