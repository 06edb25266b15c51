"""Recomputing instead of keeping: the same bits, less memory, and never a contraction or a fold twice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import graphflow as gf
from graphflow.compiler import rematerialise as R
from graphflow.compiler.assemble import assemble
from graphflow.compiler.fuse import fuse
from graphflow.compiler.memory import profile
from graphflow.compiler.pipeline import PASSES, Compilation
from graphflow.compiler.target.machine import host
from graphflow.compiler.unify import unify
from graphflow.graph.op import ContractOp, FoldOp, NestOp
from graphflow.graph.traversal import leaves, toposort
from graphflow.graph.types import TensorType
from graphflow.graph.variable import Placeholder


def gelu(v):
    return 0.5 * v * (1.0 + gf.erf(v * 0.7071))


def normalised(v):
    c = v - gf.mean(v, axis=-1, keepdims=True)
    return c / gf.sqrt(gf.mean(c * c, axis=-1, keepdims=True) + 1e-5)


def network(block, layers: int = 4, width: int = 16):
    """Inputs, loss, and updates by gradient descent of a network of `block`s."""
    rng = np.random.default_rng(0)
    batch = gf.Dim.symbol("batch")
    x, y = gf.placeholder("float32", (batch, width), name="x"), gf.placeholder("float32", (batch, width), name="y")
    weights = []
    h = x
    for _ in range(layers):
        w, scale = gf.shared(rng.standard_normal((width, width)).astype("float32") * 0.3), gf.shared(rng.standard_normal(width).astype("float32"))
        weights += [w, scale]
        h = block(h, w, scale)
    loss = gf.mean(gf.square(h - y))
    return [x, y], loss, [(w, w - 0.1 * g) for w, g in zip(weights, gf.grad(loss, weights), strict=True)]


BLOCKS = {
    "gelu": lambda h, w, s: gelu(h @ w) * s,
    "residual": lambda h, w, s: h + gelu(normalised(h) * s @ w),
    "softmax": lambda h, w, s: gf.nn.softmax(gf.tanh(h @ w) * s) + gf.softplus(h),
    "dropout": lambda h, w, s: gf.nn.dropout(gf.tanh(h @ w) * s, 0.3),
}


def compilation(outputs, updates=(), mode: str = "", until: str = "separate") -> Compilation:
    outputs = unify([*outputs, *(v for _, v in updates)])
    updates = list(zip([s for s, _ in updates], outputs[len(outputs) - len(updates) :], strict=True))
    outputs = outputs[: len(outputs) - len(updates)]
    inputs = [v for v in leaves([*outputs, *(v for _, v in updates)]) if isinstance(v, Placeholder)]
    c = Compilation(inputs, outputs, updates, host(), rematerialise=mode)
    for name, step in PASSES:
        step(c)
        if name == until:
            break
    return c


def arena(outputs, updates, mode: str, size: int = 1024) -> int:
    c = compilation(outputs, updates, mode)
    made = assemble(c.inputs, c.outputs, c.updates, host())
    return profile(made.plan, dict.fromkeys(made.dims, size)).workspace


@pytest.mark.parametrize("name", [pytest.param("residual", marks=pytest.mark.smoke), "dropout"])
def test_training_gives_the_same_bits(monkeypatch, name: str) -> None:
    monkeypatch.setattr(R, "WORTH", 10.0)  # every cut is taken, whatever it brings
    monkeypatch.setattr(R, "ROUNDS", 2)
    rng = np.random.default_rng(1)
    feeds = [rng.standard_normal((2, n, 16)).astype("float32") for n in (1, 9, 64, 0)]
    results = []
    for mode in ("", "min-cut"):
        gf.random.seed(5)
        inputs, loss, updates = network(BLOCKS[name], layers=2)
        assert any(isinstance(node.op, R.Recall) for node in toposort(compilation([loss], updates, mode).results)) == bool(mode)
        with gf.config.override(rematerialise=mode):
            step = gf.function(inputs, loss, updates=updates)
            losses = [step(a, b).tobytes() for a, b in feeds]
        results.append((losses, [w.get_value().tobytes() for w, _ in updates]))
    assert results[0] == results[1]


@pytest.mark.parametrize(("name", "most"), [("gelu", 0.7), ("residual", 0.6), ("softmax", 0.8)])
def test_less_memory_is_needed(name: str, most: float) -> None:
    _, loss, updates = network(BLOCKS[name], layers=8)
    assert arena([loss], updates, "min-cut") < most * arena([loss], updates, "")


@pytest.mark.parametrize("name", BLOCKS)
def test_only_elementwise_nodes_and_views_are_made_twice(name: str) -> None:
    _, loss, updates = network(BLOCKS[name])

    def dear(mode: str) -> list[str]:
        return sorted(str(node.op) for node in toposort(compilation([loss], updates, mode).results) if isinstance(node.op, ContractOp | FoldOp | NestOp))

    assert dear("min-cut") == dear("")


def test_a_copy_is_not_computed_before_it_is_needed() -> None:
    _, loss, updates = network(BLOCKS["gelu"], layers=3)
    c = compilation([loss], updates, "min-cut")
    recalls = [node for node in toposort(c.results) if isinstance(node.op, R.Recall)]
    assert recalls
    made = fuse(c.results)
    for node in recalls:
        trigger = made.home(node.inputs[1])
        users = [n for n in toposort(c.results) if node.outputs[0] in n.inputs and made.home(n.outputs[0]) is not None]
        assert trigger is None or all(made.home(n.outputs[0]).id >= trigger.id for n in users)


def test_where_nothing_is_gained_the_graph_stays() -> None:
    x, w = gf.placeholder("float32", (None, 8)), gf.shared(np.eye(8, dtype="float32"))
    loss = gf.sum(gf.maximum(x @ w, 0.0))
    c = compilation([loss], [(w, w - gf.grad(loss, w))], until="arrange")
    assert all(a is b for a, b in zip(R.rematerialise(c.outputs, c.updates), c.results, strict=True))
    assert R.rematerialise([x], []) == [x]


STEPS = [
    lambda v, w: gf.tanh(v), lambda v, w: gf.exp(-gf.abs(v)), lambda v, w: v * gf.sigmoid(w), lambda v, w: gf.where(v > w, v, w * 0.5),
    lambda v, w: gf.transpose(gf.transpose(v) * 2.0), lambda v, w: v[::-1] - w[:, ::-1], lambda v, w: gf.pad(v, ((1, 0), (0, 1)))[1:, 1:],
    lambda v, w: gf.reshape(gf.reshape(v, (-1,)) + 1.0, v.shape), lambda v, w: gf.concatenate([v, w], axis=1)[:, 3 : 3 + v.shape[1]],
    lambda v, w: gf.nn.softmax(v), lambda v, w: v - gf.mean(v, axis=0), lambda v, w: gf.cumsum(v, axis=1) * w, lambda v, w: v + gf.max(w, axis=1, keepdims=True),
]  # fmt: skip


@pytest.mark.parametrize(("seed", "largest"), [(0, 2000), (1, 0), (2, 2000)])
def test_random_graphs_keep_their_bits(monkeypatch, seed: int, largest: int) -> None:
    monkeypatch.setattr(R, "LARGEST", largest)
    monkeypatch.setattr(R, "WORTH", 10.0)
    monkeypatch.setattr(R, "ROUNDS", 3)
    rng = np.random.default_rng(seed)
    batch, n = gf.Dim.symbol("m"), 7
    inputs = [gf.placeholder("float32", s) for s in ((batch, n), (batch, n), (n, n))]
    values = [*inputs[:2], inputs[0] @ inputs[2]]
    for i in range(40):
        v, w = (values[-1 - int(rng.integers(0, min(8, len(values))))] for _ in range(2))
        values.append(v @ inputs[2] * 0.3 if i % 7 == 6 else STEPS[int(rng.integers(len(STEPS)))](v, w))
    cost = gf.mean(gf.tanh(values[-1])) + gf.mean(values[-9])
    outputs = [values[-5], cost, *gf.grad(cost, [inputs[0], inputs[2]], disconnected_inputs="ignore")]
    plain = gf.function(inputs, outputs)
    with gf.config.override(rematerialise="min-cut"):
        less = gf.function(inputs, outputs)
        for size in (5, 1):
            arrays = [rng.standard_normal([size if s is batch else s for s in v.shape]).astype("float32") for v in inputs]
            assert [a.tobytes() for a in less(*arrays)] == [a.tobytes() for a in plain(*arrays)]


def test_cuts_are_minimal() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        part = [gf.Variable(TensorType(np.dtype("float32"), ())) for _ in range(8)]
        made_from = {v: [part[int(j)] for j in set(rng.integers(0, i, 2).tolist())] for i, v in enumerate(part) if i and rng.random() < 0.7}
        needed = {v for v in part if rng.random() < 0.4} | {part[-1]}
        bytes_ = {v: int(rng.integers(1, 10)) for v in part}
        found = R._above_cut(part, made_from, needed, bytes_)
        costs = {}
        for mask in itertools.product([False, True], repeat=len(part)):
            chosen = {v for v, m in zip(part, mask, strict=True) if m}
            if chosen <= set(made_from):
                costs[frozenset(chosen)] = sum(bytes_[v] for v in kept(chosen, made_from, needed))
        useful = frozenset(found & reached(found, made_from, needed))
        assert costs[useful] == min(costs.values())
        assert len(useful) == min(len(c & reached(c, made_from, needed)) for c, n in costs.items() if n == min(costs.values()))


def reached(chosen, made_from, needed):
    seen, stack = set(), list(needed)
    while stack:
        v = stack.pop()
        if v not in seen:
            seen.add(v)
            stack.extend(made_from[v] if v in chosen else ())
    return seen


def kept(chosen, made_from, needed):
    return reached(chosen, made_from, needed) - set(chosen)


def test_what_costs_nothing_is_recomputed_in_large_parts() -> None:
    a, b, c, d = (gf.Variable(TensorType(np.dtype("float32"), ())) for _ in range(4))
    made_from = {b: [a], c: [b], d: [c]}
    assert R._free([a, b, c, d], made_from, {a, d}) == {b, c, d}
    assert R._free([a, b, c, d], made_from, {b, d}) == {c, d}
    assert R._free([a, b, c, d], made_from, {d}) == set()


def test_long_chains_are_kept_in_between() -> None:
    x = gf.placeholder("float32", (None, 64))
    v = x * 0.5
    for _ in range(40):
        v = gf.sin(v) * 1.25
    c = compilation([gf.sum(v * gf.sum(v))], until="arrange")
    timeline = R.Timeline(c.results, [])
    timeline.turn = 10**6  # all nodes are early
    assert 0 < len(R._sources(timeline, 40)) < len(R._sources(timeline, 10**6))


def test_the_setting_takes_known_values_only() -> None:
    with pytest.raises(gf.GraphflowError, match="min-cut"), gf.config.override(rematerialise="max-cut"):
        pass


def test_programs_are_cached_by_the_setting() -> None:
    from graphflow.runtime.cache import canonical_key

    x = gf.placeholder("float32", (None,))
    keys = []
    for mode in ("", "min-cut"):
        with gf.config.override(rematerialise=mode, cache=True):
            keys.append(canonical_key([x], [gf.exp(x)], [])[0])
    assert len(set(keys)) == 2
