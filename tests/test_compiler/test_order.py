"""The order of launches: data first, writes to state after readers and checks, and updates as soon as they can run."""

from __future__ import annotations

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler.assemble import assemble
from graphflow.compiler.memory import profile
from graphflow.compiler.order import Job, _Queue, alive
from graphflow.compiler.pipeline import Compilation, run_passes
from graphflow.compiler.program import Program
from graphflow.compiler.target.machine import host
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Shared


def program_of(inputs, outputs, updates) -> Program:
    c = Compilation(list(inputs), list(outputs), list(updates), host())
    run_passes(c)
    return assemble(c.inputs, c.outputs, c.updates, host())


def deep_network(layers: int, width: int = 32):
    rng = np.random.default_rng(0)
    batch = gf.Dim.symbol("batch")
    x, y = gf.placeholder("float32", (batch, width)), gf.placeholder("float32", (batch, width))
    weights = [gf.shared(rng.standard_normal((width, width)).astype("float32") * 0.2) for _ in range(layers)]
    h = x
    for w in weights:
        h = gf.tanh(h @ w)
    loss = gf.mean(gf.square(h - y))
    return x, y, weights, loss, gf.grad(loss, weights)


def test_updates_run_right_after_their_gradients() -> None:
    x, y, weights, loss, grads = deep_network(6)
    made = program_of([x, y], [loss], [(w, w - 0.1 * g) for w, g in zip(weights, grads, strict=True)])
    assert not made.copies
    writers = [i for i, launch in enumerate(made.launches) if any(p.kind == "state" and b.mode.value == "inout" for p, b in zip(launch.places, launch.proc.params, strict=True))]
    assert len(writers) == 6
    assert max(np.diff(writers)) <= 3  # the next layer's cotangent lies between two of them, not the whole backward pass
    alive = profile(made.plan, dict.fromkeys(made.dims, 512)).alive
    assert alive[(len(alive) * 3) // 4] < 0.7 * max(alive)


@pytest.mark.smoke
def test_steps_in_place_equal_steps_from_copies() -> None:
    x, y, weights, loss, grads = deep_network(4)
    a, b = np.random.default_rng(1).standard_normal((2, 20, 32)).astype("float32")
    new = [w - 0.1 * g for w, g in zip(weights, grads, strict=True)]
    expected = gf.function([x, y], new)(a, b)
    gf.function([x, y], loss, updates=list(zip(weights, new, strict=True)))(a, b)
    for w, value in zip(weights, expected, strict=True):
        assert w.get_value().tobytes() == value.tobytes()


def test_values_that_need_each_other_are_exchanged() -> None:
    u, v = gf.shared(np.arange(4.0)), gf.shared(np.arange(4.0) * 10)
    step = gf.function([], updates=[(u, gf.cumsum(v)), (v, gf.cumsum(u))])
    step()
    np.testing.assert_array_equal(u.get_value(), np.cumsum(np.arange(4.0) * 10))
    np.testing.assert_array_equal(v.get_value(), np.cumsum(np.arange(4.0)))


def test_checks_come_before_writes() -> None:
    table, count = gf.shared(np.ones((5, 2))), gf.shared(np.zeros(3))
    index = gf.placeholder("int64", (None,))
    step = gf.function([index], gf.sum(gf.take(table, index, axis=0)), updates=[(count, gf.cumsum(count) + 1)])
    with pytest.raises(gf.CheckError):
        step([7])
    np.testing.assert_array_equal(count.get_value(), np.zeros(3))
    step([4])
    np.testing.assert_array_equal(count.get_value(), [1, 1, 1])


def random_jobs(rng, count: int) -> tuple[list[Job], list[Shared]]:
    """Jobs that read values of earlier ones, and read and write state at random."""
    states = [gf.shared(np.zeros(2)) for _ in range(4)]
    values = [gf.Variable(TensorType(np.dtype("float32"), ())) for _ in range(count)]
    jobs = []
    for i in range(count):
        needs = {int(n) for n in rng.integers(0, i, min(i, 3))} if i else set()
        job = Job(i, {values[n]: int(rng.integers(1, 9)) for n in needs}, {values[i]: int(rng.integers(1, 9))}, needs)
        job.state_read = {s for s in states if rng.random() < 0.1}
        job.checks = rng.random() < 0.1
        jobs.append(job)
    for s in states:
        jobs[int(rng.integers(0, count))].state_written.add(s)
    return jobs, states


@pytest.mark.parametrize("eager", [True, False])
def test_any_jobs_run_once_after_what_they_need(eager: bool) -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        jobs, states = random_jobs(rng, 20)
        order = _Queue(jobs, eager).run()
        at = {i: k for k, i in enumerate(order)}
        assert sorted(order) == list(range(20))
        assert all(at[n] < at[job.number] for job in jobs for n in job.needs)
        for s in states:  # a reader after the writer writes or needs what another reader holds up, so one of them had to go first
            writer = next(job for job in jobs if s in job.state_written)
            late = [job for job in jobs if s in job.state_read and at[job.number] > at[writer.number]]
            assert all((above(jobs, job) | {job.number}) & {w.number for w in jobs if w.state_written} for job in late)


def above(jobs, job) -> set[int]:
    found: set[int] = set()
    stack = [job.number]
    while stack:
        for n in jobs[stack.pop()].needs - found:
            found.add(n)
            stack.append(n)
    return found


def test_what_frees_memory_goes_first() -> None:
    big, small, other = (gf.Variable(TensorType(np.dtype("float32"), ())) for _ in range(3))
    jobs = [Job(0, {}, {big: 100}), Job(1, {}, {other: 90}), Job(2, {other: 90}, {}, {1}), Job(3, {big: 100}, {small: 1}, {0})]
    order = _Queue(jobs, eager=True).run()
    assert order == [0, 3, 1, 2]
    assert alive([jobs[i] for i in order]) == [100, 101, 90, 90]
    assert max(alive(jobs)) == 190


def test_ordering_work_is_linear() -> None:
    def offers(layers: int) -> int:
        values = [gf.Variable(TensorType(np.dtype("float32"), ())) for _ in range(3 * layers)]
        states = [gf.shared(np.zeros(2)) for _ in range(layers)]
        jobs = [Job(i, {values[i - 1]: 4} if i else {}, {values[i]: 4}, {i - 1} if i else set(), {states[i]}) for i in range(layers)]
        for k in range(layers):  # backward, and all updates behind it
            n, i = layers - 1 - k, layers + k
            jobs.append(Job(i, {values[n]: 4, values[i - 1]: 4}, {values[i]: 4}, {n, i - 1}, {states[n]}))
        for k in range(layers):
            n, i = layers - 1 - k, layers + k
            jobs.append(Job(2 * layers + k, {values[i]: 4}, {values[2 * layers + k]: 0}, {i}, {states[n]}, {states[n]}))
        queue = _Queue(jobs, eager=True)
        counted = 0
        real = queue.offer

        def offer(i: int) -> None:
            nonlocal counted
            counted += 1
            real(i)

        queue.offer = offer
        assert len(queue.run()) == 3 * layers
        return counted

    assert offers(800) <= 2.1 * offers(400)
