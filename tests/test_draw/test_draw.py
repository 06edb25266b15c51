"""gf.draw: the SVG's structure, and layouts whose boxes and lines keep clear of each other."""

from __future__ import annotations

import itertools
import math
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphflow as gf
from graphflow.compiler.op_cost import flops, format_bytes, format_count, nbytes, traffic
from graphflow.draw import graphviz_layout, layered_layout
from graphflow.draw.layered_order import nondecreasing
from graphflow.draw.layout import Box, Layout, Path, Point
from graphflow.draw.model import Cluster, Drawing, Edge, Node, make_drawing
from graphflow.draw.text import Line
from graphflow.graph.dim import Dim
from graphflow.graph.op import REGISTRY, ExternOp, RegionOp
from graphflow.graph.traversal import toposort

SVG = "{http://www.w3.org/2000/svg}"
needs_dot = pytest.mark.skipif(not graphviz_layout.available(), reason="Graphviz is not installed")
LAYOUTS = [pytest.param("dot", marks=needs_dot), "layered"]
PLACE = {"dot": graphviz_layout.graphviz_layout, "layered": layered_layout.layered_layout}


def parsed(text: str) -> ET.Element:
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    return root


def nodes(root: ET.Element, *classes: str) -> list[ET.Element]:
    """Node groups that have all of `classes`."""
    found = (g for g in root.iter(f"{SVG}g") if (g.get("id") or "").startswith("node"))
    return [g for g in found if set(classes) <= set((g.get("class") or "").split())]


def lines(node: ET.Element) -> list[str]:
    return [t.text or "" for t in node.findall(f"{SVG}text")]


def tooltip(node: ET.Element) -> str:
    return node.findtext(f"{SVG}title") or ""


def edges(root: ET.Element) -> set[tuple[str, str]]:
    """Pairs of node titles (or first lines)."""
    names = {(n.get("id") or "")[4:]: lines(n)[0] for n in nodes(root)}
    found = (g for g in root.iter(f"{SVG}g") if (g.get("id") or "").startswith("edge"))
    return {(names[g.get("data-tail") or ""], names[g.get("data-head") or ""]) for g in found}


def perceptron(batch: int | None = 8) -> dict[str, gf.Variable]:
    x = gf.placeholder("float32", (batch, 784), name="x")
    with gf.name_scope("model"):
        h = x
        for i, (rows, columns) in enumerate([(784, 300), (300, 10)]):
            with gf.name_scope(f"dense_{i}"):
                h = gf.tanh(h @ gf.shared(np.zeros((rows, columns), "float32"), name=f"w{i}") + np.float32(0.5))
    return {"loss": gf.mean(h)}


# --- what is drawn -----------------------------------------------------------------------------
@pytest.mark.smoke
@pytest.mark.parametrize("layout", LAYOUTS)
def test_sum_as_in_the_lecture(layout: str) -> None:
    x, y = gf.placeholder("float64", (), name="x"), gf.placeholder("float64", (), name="y")
    z = x + y
    z.name = "z"
    root = parsed(gf.draw(z, variables=True, layout=layout))
    assert [lines(n) for n in nodes(root, "placeholder")] == [["x", "float64[] · 8 B"], ["y", "float64[] · 8 B"]]
    assert [lines(n) for n in nodes(root, "apply")] == [["add", "1 FLOP"]]
    assert [lines(n) for n in nodes(root, "output")] == [["z", "float64[] · 8 B"]]
    assert edges(root) == {("x", "add"), ("y", "add"), ("add", "z")}


def test_written_file_is_the_returned_text(tmp_path: object) -> None:
    path = f"{tmp_path}/g.svg"
    text = gf.draw(gf.placeholder("float32", (2,), name="é"), path)
    with open(path, encoding="utf-8") as f:
        assert f.read() == text


def test_results_are_text_on_edges_and_variables_are_nodes() -> None:
    x = gf.placeholder("float32", (4, 3), name="x")
    y = gf.tanh(gf.exp(x))
    (label,) = nodes(parsed(gf.draw(y)), "result")[:1]
    assert lines(label) == ["float32[4, 3] · 48 B"]
    assert label.find(f"{SVG}rect") is None
    shown = nodes(parsed(gf.draw(y, variables=True)), "result")
    assert len(shown) == 2
    assert all(n.find(f"{SVG}rect") is not None for n in shown)


def test_names_are_escaped() -> None:
    name = '<b>&"x"\x00'
    x = gf.placeholder("float32", (2,), name=name)
    with gf.name_scope("a<b"):
        y = gf.exp(x)
    root = parsed(gf.draw({"<out>": y}))
    assert lines(nodes(root, "placeholder")[0])[0] == '<b>&"x"\ufffd'
    assert lines(nodes(root, "output")[0])[0] == "<out>"
    assert "a<b" in [t.text for t in root.iter(f"{SVG}text")]


def test_tooltips_name_parameters_types_cost_and_line() -> None:
    y = gf.sum(gf.placeholder("float32", (4, 3), name="x"), axis=1)
    text = tooltip(nodes(parsed(gf.draw(y)), "apply")[0])
    for part in ("axes=(1,)", "input 0: x: float32[4, 3]", "output 0: float32[4], 16 B", "FLOP: 12", "operands and results: 64 B", "test_draw.py:"):
        assert part in text


def test_symbolic_sizes_give_polynomials() -> None:
    root = parsed(gf.draw(perceptron(batch=None)))
    products = [lines(n) for n in nodes(root, "contraction")]
    assert [line[-1] for line in products] == ["470k·x.0 FLOP", "6k·x.0 FLOP"]


def test_scopes_nest_as_boxes() -> None:
    root = parsed(gf.draw(perceptron()))
    clusters = {(g.get("id") or "")[7:]: g for g in root.iter(f"{SVG}g") if "cluster" in (g.get("class") or "").split() and g.get("id")}
    by_scope = {tooltip(g): number for number, g in clusters.items()}
    assert set(by_scope) == {"scope: model", "scope: model/dense_0", "scope: model/dense_1"}
    assert clusters[by_scope["scope: model"]].get("data-parent") == "0"
    assert clusters[by_scope["scope: model/dense_1"]].get("data-parent") == by_scope["scope: model"]
    inside = {lines(n)[0]: n.get("data-cluster") for n in nodes(root)}
    assert inside["w0"] == by_scope["scope: model/dense_0"]
    assert inside["x"] == inside["loss"] == "0"


def test_numbers_are_drawn_at_each_use_but_are_one_variable() -> None:
    half = gf.constant(np.float32(0.5))
    x = gf.placeholder("float32", (2,), name="x")
    y = (x + half) * half
    assert len(nodes(parsed(gf.draw(y)), "constant")) == 2
    assert len(nodes(parsed(gf.draw(y, variables=True)), "constant")) == 1


def test_legend_explains_what_occurs() -> None:
    x = gf.placeholder("float32", (2,), name="x")
    words = {t.text for t in parsed(gf.draw(gf.exp(x))).iter(f"{SVG}text")}
    assert {"placeholder", "output", "elementwise op", "1 op · 24 FLOP"} <= words
    assert not {"shared variable", "contraction", "kernel"} & words


def test_collapsed_scopes_are_one_box() -> None:
    root = parsed(gf.draw(perceptron(), collapse=True))
    (box,) = nodes(root, "collapsed")
    assert lines(box)[:2] == ["model", "6 ops"]
    assert edges(root) == {("x", "model"), ("w0", "model"), ("w1", "model"), ("model", "float32[8, 10] · 320 B"), ("float32[8, 10] · 320 B", "mean"), ("mean", "loss")}
    inner = parsed(gf.draw(perceptron(), collapse=["model/dense_1"]))
    assert [lines(n)[0] for n in nodes(inner, "collapsed")] == ["dense_1"]
    assert len(nodes(inner, "contraction")) == 1


def test_scopes_that_feed_each_other_can_be_collapsed() -> None:
    x = gf.placeholder("float32", (2,), name="x")
    with gf.name_scope("a"):
        y = gf.exp(x)
    with gf.name_scope("b"):
        z = gf.tanh(y)
    with gf.name_scope("a"):
        w = gf.sin(z)
    for layout in LAYOUTS[1:]:
        root = parsed(gf.draw(w, collapse=True, layout=layout))
        assert sorted(lines(n)[0] for n in nodes(root, "collapsed")) == ["a", "b"]


def test_fused_kernels_are_boxes() -> None:
    from graphflow.compiler import pipeline

    x = gf.placeholder("float32", (64, 32), name="x")
    y = gf.sum(gf.exp(x) * 2.0, axis=1)
    groups = pipeline.groups(pipeline.snapshot([y], "fuse"))
    root = parsed(gf.draw({"y": y}, pass_="fuse"))
    kernels = [g for g in root.iter(f"{SVG}g") if (g.get("class") or "") == "cluster kernel" and g.get("id")]
    assert len(kernels) == len(groups) >= 1
    assert [lines(n)[0] for n in nodes(root, "output")] == ["y"]
    with pytest.raises(gf.GraphError, match="no pass"):
        gf.draw(y, pass_="nonsense")


def test_compiled_functions_can_be_drawn() -> None:
    class Made:
        graph_outputs = (gf.exp(gf.placeholder("float32", (2,), name="x")),)

    assert len(nodes(parsed(gf.draw(Made())), "apply")) == 1


# --- limits and errors ---------------------------------------------------------------------------
def test_large_graphs_have_short_labels_and_very_large_ones_are_refused() -> None:
    v = gf.placeholder("float32", (2,), name="x" * 60)
    for _ in range(300):
        v = gf.tanh(v)
    root = parsed(gf.draw(v))
    assert len(nodes(root, "apply")) == 300
    assert [lines(n) for n in nodes(root, "placeholder")] == [["x" * 17 + "…"]]
    assert all(lines(n) == ["tanh"] for n in nodes(root, "apply"))
    assert len(nodes(root, "result")) == 1
    for _ in range(2_000):
        v = gf.tanh(v)
    with pytest.raises(gf.GraphError, match="more than 2,000 nodes") as error:
        gf.draw(v)
    assert "collapse" in error.value.hint


def test_wrong_arguments() -> None:
    x = gf.placeholder("float32", (2,), name="x")
    for wrong in (3, [x, "y"], [], {}, None):
        with pytest.raises(gf.GraphError):
            gf.draw(wrong)
    with pytest.raises(gf.GraphError, match="layout"):
        gf.draw(x, layout="neato")
    with pytest.raises(gf.GraphError, match="name scope 'missing'"):
        gf.draw(gf.exp(x), collapse=["missing"])


def test_without_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    x = gf.exp(gf.placeholder("float32", (2,), name="x"))
    monkeypatch.setenv("PATH", "")
    assert gf.draw(x) == gf.draw(x, layout="layered")
    with pytest.raises(gf.MissingExtraError, match="layout='dot'"):
        gf.draw(x, layout="dot")


def test_the_package_stays_callable_when_its_modules_are_imported() -> None:
    import importlib

    package = importlib.import_module("graphflow.draw")
    x = gf.placeholder("float32", (2,), name="x")
    assert package(x) == gf.draw(x) == package.draw(x)


# --- layouts -------------------------------------------------------------------------------------
@st.composite
def drawings(draw: st.DrawFn) -> Drawing:
    """Random graphs with random sizes, ports and nested clusters."""
    made = Drawing()
    for _ in range(draw(st.integers(0, 4))):
        made.clusters.append(Cluster("c" * draw(st.integers(0, 12)), draw(st.integers(0, len(made.clusters) - 1))))
    count = draw(st.integers(1, 14))
    for _ in range(count):
        text = "x" * draw(st.integers(1, 14))
        rows = draw(st.integers(1, 3))
        made.nodes.append(Node("apply", tuple(Line(text, "title") for _ in range(rows)), "", draw(st.integers(0, len(made.clusters) - 1))))
    for _ in range(draw(st.integers(0, 22)) if count > 1 else 0):
        tail = draw(st.integers(0, count - 2))
        head = draw(st.integers(tail + 1, count - 1))
        if draw(st.integers(0, 9)) == 0:  # collapsed scopes may close cycles
            tail, head = head, tail
        made.edges.append(Edge(tail, head, 0.5, draw(st.sampled_from([0.25, 0.5, 0.75]))))
    used = {c for node in made.nodes for c in made.ancestors(node.cluster)}
    numbers = {0: 0, **{c: i + 1 for i, c in enumerate(sorted(used))}}
    made.clusters = [made.clusters[0], *(Cluster(made.clusters[c].title, numbers[made.clusters[c].parent]) for c in sorted(used))]
    made.nodes = [Node(n.kind, n.lines, "", numbers[n.cluster]) for n in made.nodes]
    return made


def along(path: Path) -> Iterator[Point]:
    assert len(path) % 3 == 1
    for k in range(0, len(path) - 1, 3):
        corners = path[k : k + 4]
        for t in np.linspace(0, 1, 9):
            weights = [math.comb(3, i) * t**i * (1 - t) ** (3 - i) for i in range(4)]
            yield sum(w * x for w, (x, _) in zip(weights, corners, strict=True)), sum(w * y for w, (_, y) in zip(weights, corners, strict=True))


def check_geometry(drawing: Drawing, layout: Layout, slack: float) -> None:
    """Boxes are apart and on the paper (but for `slack`), clusters nest, lines end at boxes and pass between the others."""
    for (i, a), (j, b) in itertools.combinations(enumerate(layout.nodes), 2):
        assert not a.overlaps(b), (i, j)
    for c, box in enumerate(layout.clusters):
        if box is None:
            continue
        parent = layout.clusters[drawing.clusters[c].parent]
        assert parent is None or parent.contains(box)
        for node, at in zip(drawing.nodes, layout.nodes, strict=True):
            assert box.contains(at) if c in drawing.ancestors(node.cluster) else not box.overlaps(at)
        for d, other in enumerate(layout.clusters[:c]):
            related = d in drawing.ancestors(c) or c in drawing.ancestors(d)
            assert other is None or related or not box.overlaps(other)
    for edge, path in zip(drawing.edges, layout.edges, strict=True):
        tail, head = layout.nodes[edge.tail], layout.nodes[edge.head]
        upward = head.top < tail.top
        for (x, y), box, side in ((path[0], tail, tail.bottom), (path[-1], head, head.top)):
            assert box.left - 1 <= x <= box.right + 1
            assert upward or abs(y - side) < 0.1
        for (x, y), (i, b) in itertools.product(along(path), enumerate(layout.nodes)):
            inside = min(x - b.left, b.right - x, y - b.top, b.bottom - y) > 1.5
            assert not inside or upward or i in (edge.tail, edge.head), (edge, i)
    paper = Box(-slack, -slack, layout.width + slack, layout.height + slack)
    assert all(paper.contains(b) for b in (*layout.nodes, *layout.clusters) if b is not None)


@settings(max_examples=100, deadline=None)
@given(drawings())
def test_layered_layout_keeps_everything_apart(drawing: Drawing) -> None:
    check_geometry(drawing, PLACE["layered"](drawing), 0.0)


@needs_dot
@settings(max_examples=25, deadline=None)
@given(drawings())
def test_dot_layout_keeps_everything_apart(drawing: Drawing) -> None:
    check_geometry(drawing, PLACE["dot"](drawing), 1.0)


@pytest.mark.smoke
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("options", [{}, {"variables": True}, {"collapse": ["model/dense_0"]}])
def test_real_graphs_keep_everything_apart(layout: str, options: dict[str, object]) -> None:
    loss = perceptron()["loss"]
    weights = [v for v in gf.graph.traversal.leaves([loss]) if isinstance(v, gf.Shared)]
    outputs = [("loss", loss), *((f"g{i}", g) for i, g in enumerate(gf.grad(loss, weights)))]
    drawing = make_drawing(outputs, **options)  # type: ignore[arg-type]
    check_geometry(drawing, PLACE[layout](drawing), 1.0)


def test_layered_layout_turns_edges_that_close_cycles() -> None:
    drawing = Drawing(nodes=[Node("apply", (Line(t, "title"),), "", 0) for t in "abc"], edges=[Edge(0, 1), Edge(1, 2), Edge(2, 0)])
    boxes = PLACE["layered"](drawing)
    assert [b.top for b in boxes.nodes] == sorted(b.top for b in boxes.nodes)
    back = boxes.edges[2]
    assert back[0][1] == pytest.approx(boxes.nodes[2].top)
    assert back[-1][1] == pytest.approx(boxes.nodes[0].bottom)


def test_layered_layout_draws_chains_straight() -> None:
    v = gf.placeholder("float32", (4,), name="x")
    for _ in range(10):
        v = gf.exp(v)
    drawing = make_drawing([("", v)])
    layout = PLACE["layered"](drawing)
    assert len({round(b.left + b.right, 3) for b in layout.nodes}) == 1


def test_layered_layout_grows_linearly() -> None:
    def calls(blocks: int) -> int:
        x = gf.placeholder("float32", (4,), name="x")
        for _ in range(blocks):
            x = gf.tanh(x) + gf.exp(x)
        drawing = make_drawing([("", x)])
        count = 0

        def profile(frame: object, event: str, arg: object) -> None:
            nonlocal count
            count += event == "call"

        sys.setprofile(profile)
        try:
            PLACE["layered"](drawing)
        finally:
            sys.setprofile(None)
        return count

    assert calls(64) < 1.5 * 8 * calls(8)


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(1, 3)), min_size=1, max_size=5))
def test_nondecreasing_is_nearest(pairs: list[tuple[int, int]]) -> None:
    values, weights = [float(v) for v, _ in pairs], [float(w) for _, w in pairs]
    found = nondecreasing(values, weights)
    assert found == sorted(found)

    def distance(candidate: tuple[float, ...] | list[float]) -> float:
        return sum(w * abs(c - v) for c, v, w in zip(candidate, values, weights, strict=True))

    best = min(distance(c) for c in itertools.combinations_with_replacement(sorted(set(values)), len(values)))
    assert distance(found) == pytest.approx(best)


# --- cost ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (999, "999"), (1000, "1k"), (1536, "1.5k"), (60_211_200, "60M"), (999_999, "1M"), (3 * 10**12, "3T")],
)
def test_counts_print_short(count: int, text: str) -> None:
    assert format_count(count) == text


def test_polynomials_print_by_their_largest_terms() -> None:
    b, t = Dim.symbol("B"), Dim.symbol("T")
    assert format_count(2 * b * 784 * 300) == "470k·B"
    assert format_count(b * t - 2 * b + 1) == "B·T - 2·B + 1"
    assert format_count(b * b * t + 5 * b * t + 3 * b + 7) == "B·B·T + 5·B·T + 3·B + …"


def test_bytes_print_in_powers_of_1024() -> None:
    assert [format_bytes(n) for n in (0, 40, 1023, 1024, 1536, 940_800, 3 << 30)] == ["0 B", "40 B", "1023 B", "1 KB", "1.5 KB", "919 KB", "3 GB"]


def test_operations_of_each_form() -> None:
    x, y = gf.placeholder("float32", (6, 4), name="x"), gf.placeholder("float32", (4, 5), name="y")
    i = gf.placeholder("int32", (6,), name="i")

    def cost(v: gf.Variable) -> object:
        return flops(v.owner)

    assert cost(x + x) == 24
    assert cost(gf.sum(x)) == 24
    assert cost(x @ y) == 2 * 6 * 4 * 5
    assert cost(x.T) == 0
    assert cost(i + i) == 0
    assert cost(gf.cumsum(x, axis=1)) == 24
    assert cost(gf.concatenate([x, x])) == 0
    assert cost(gf.nn.softmax(x)) == sum(flops(n) for n in toposort([gf.nn.softmax(x).owner.op.expand(x)]))
    assert nbytes((x @ y).type) == 120
    assert traffic((x + x).owner) == 2 * 96


def test_a_notebook_shows_the_picture_instead_of_its_text() -> None:
    formatters = pytest.importorskip("IPython.core.formatters")
    text = gf.draw(gf.placeholder("float32", (2,)) * 2)
    shown, _ = formatters.DisplayFormatter().format(text)
    assert parsed(text) is not None
    assert shown["image/svg+xml"] == text and len(shown["text/plain"]) < 40


@pytest.mark.parametrize("cls", [c for c in REGISTRY.classes if not issubclass(c, ExternOp | RegionOp)], ids=lambda c: c.__name__)
def test_every_op_is_counted(cls: type) -> None:
    for sample in cls.samples():  # type: ignore[attr-defined]
        sizes: dict[str, Dim] = {}
        kinds = {"float": "float32", "number": "float32", "any": "float32", "int": "int32"}
        inputs = [
            gf.placeholder(kinds.get(i.kind, i.kind), tuple(sizes.setdefault(a, Dim.symbol(a)) if isinstance(a, str) else a for a in i.axes))
            for i in sample.inputs
        ]
        made = sample.make(*inputs)
        for node in toposort(made if isinstance(made, list | tuple) else [made]):
            assert flops(node) is not None, node
