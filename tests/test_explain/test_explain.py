"""`gf.explain`: a page of its own, whose parts belong together."""

from __future__ import annotations

import base64
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import graphflow as gf
from graphflow import keras
from graphflow.explain.assembly import assembly
from graphflow.graph.errors import GraphError, ShapeError

VOID = {"meta", "input", "br"}
IMPLIED = {"tr", "td", "th"}  # which end where the next one begins


class Reader(HTMLParser):
    """Elements by id, links, and whether every element ends."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: dict[str, dict[str, str | None]] = {}
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.elements.append((tag, found))
        if found.get("id"):
            assert found["id"] not in self.ids, f"{found['id']} is there twice"
            self.ids[str(found["id"])] = found
        if tag not in VOID | IMPLIED:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert tag in IMPLIED or self.open.pop() == tag


def read(path: str) -> tuple[Reader, str]:
    text = Path(path).read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    return reader, text


def unpacked(element: dict[str, str | None]) -> str:
    return zlib.decompress(base64.b64decode(str(element["data-packed"]))).decode()


def step() -> gf.Function:
    rng = np.random.default_rng(0)
    x, t = gf.placeholder("float32", (None, 20), name="x"), gf.placeholder("int32", (None,), name="t")
    w = gf.shared(rng.normal(size=(20, 5)).astype(np.float32), name="w")
    with gf.name_scope("head"):
        logits = x @ w  # product
    loss = gf.mean(gf.nn.sparse_softmax_cross_entropy(logits, t))
    return gf.function([x, t], loss, updates=[(w, w - 0.1 * gf.grad(loss, w))], name="a <step>")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Reader, str]:
    return read(gf.explain(step(), tmp_path_factory.mktemp("page") / "step.html"))


def line_of(text: str) -> str:
    with open(__file__) as f:
        return f"test_explain.py:{next(i for i, line in enumerate(f, 1) if line.rstrip().endswith(f'# {text}'))}"


@pytest.mark.smoke
def test_the_page_needs_no_other_file(page: tuple[Reader, str]) -> None:
    reader, text = page
    assert set(re.findall(r"https?://[^\s\"')]+", text)) <= {"http://www.w3.org/2000/svg"}
    for tag, attributes in reader.elements:
        assert tag not in ("link", "img", "iframe") and "src" not in attributes, tag
        assert str(attributes.get("href", "#")).startswith("#")
    assert "<title>a &lt;step&gt; — graphflow</title>" in text and "a <step>" not in text


def test_links_and_buttons_lead_somewhere(page: tuple[Reader, str]) -> None:
    reader, _ = page
    links = [str(a["href"])[1:] for tag, a in reader.elements if tag == "a"]
    assert len(links) > 10 and set(links) <= set(reader.ids)
    panels = [a["data-panel"] for _, a in reader.elements if "data-panel" in a]
    assert len(panels) > 10 and set(panels) <= set(reader.ids)
    assert all(a.get("hidden", 0) is None for name, a in reader.ids.items() if name in panels)


def test_each_kernel_has_its_code_and_its_frame(page: tuple[Reader, str]) -> None:
    reader, text = page
    kernels = [a for _, a in reader.elements if a.get("data-kernel") and "data-words" in a]
    fused = next(a for _, a in reader.elements if "data-frames" in a)
    frames = str(fused["data-frames"]).split(",")
    svg = text[text.index("data-frames=" + f'"{fused["data-frames"]}"') :]
    assert len(re.findall(r'<g class="cluster kernel" data-cluster', svg)) == len(frames) and len(kernels) >= 3
    assert {str(k["data-kernel"]) for k in kernels} >= set(frames)
    for k in kernels:
        key = f"k{k['data-kernel']}-0"
        assert unpacked(reader.ids[f"{key}-ir"]).startswith("kernel k_") and " lanes" not in unpacked(reader.ids[f"{key}-ir"])
        assert unpacked(reader.ids[f"{key}-llvm"]).startswith("define void @k_")
        assert "ret" in unpacked(reader.ids[f"{key}-asm"])
    assert any(" lanes" in unpacked(a) for name, a in reader.ids.items() if name.endswith("-scheduled"))
    assert "define i32 @step" in unpacked(reader.ids["entry"])


def test_lines_rules_and_scopes_are_there(page: tuple[Reader, str]) -> None:
    reader, text = page
    marked = [a["data-line"] for _, a in reader.elements if a.get("data-line")]
    assert line_of("product") in marked and "logits = x @ w" in text
    product = next(a for _, a in reader.elements if "data-words" in a and "ab,bc→ac" in str(a["data-words"]))
    assert "head" in str(product["data-words"]) and line_of("product") in str(product["data-words"])
    assert re.search(r'<table class="rules"><tr><td><code>[^<]+ -&gt; ', text)
    assert "x.0=128" in text and "which is assumed" in text
    tabs = re.findall(r'role="tab" data-stage="\d+"[^>]*>([^<]+)<', text)
    assert tabs[0] == "as written" and tabs[-1] == "after fuse" and "after expand" in tabs


def test_sizes_come_from_values(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    _, text = read(gf.explain(step(), tmp_path / "p.html", rng.normal(size=(7, 20)), rng.integers(0, 5, 7)))
    assert "x.0=7" in text and "which is assumed" not in text


def test_a_model_and_variables(tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Dense(4, activation="relu", input_shape=(3,)), keras.layers.Dense(1)])
    _, predict = read(gf.explain(model, tmp_path / "predict.html"))
    model.compile("adam", "mse")
    _, train = read(gf.explain(model, tmp_path / "train.html", np.zeros((5, 3)), np.zeros((5, 1))))
    assert ".predict</h1>" in predict and ".train</h1>" in train and ">loss<" in train and "new dense" in train
    x = gf.placeholder("float32", (None,), name="x")
    _, both = read(gf.explain({"twice": x * 2, "sum": gf.sum(x)}, tmp_path / "both.html"))
    assert "<td>twice<" in both and "<td>sum<" in both


def test_loops_have_their_bodies(tmp_path: Path) -> None:
    x, w = gf.placeholder("float32", (None, 8), name="x"), gf.shared(np.eye(8, dtype=np.float32), name="w")
    hs, _ = gf.scan(lambda row, h: gf.tanh(gf.sin(row) + h @ w), sequences=[x], outputs_info=[gf.zeros((8,), "float32")])
    y = gf.py_function(lambda a: a * 2, [hs], hs.type)
    reader, text = read(gf.explain(gf.function([x], [gf.sum(y), gf.cond(gf.sum(x) > 0, lambda: gf.exp(x), lambda: x)]), tmp_path / "loop.html"))
    kernels = {str(a["data-kernel"]): str(a["data-words"]) for _, a in reader.elements if a.get("data-kernel") and "data-words" in a}
    stages = [str(a["data-frames"]).split(",") for _, a in reader.elements if "data-frames" in a]
    assert len(stages) == 3 and text.count(">inside ") == 2
    assert [kernels[k] for k in stages[0] if "scan" in kernels[k]] and any("tanh" in kernels[k] for k in stages[1]) and any("exp" in kernels[k] for k in stages[2])
    assert any("python_call" in words for words in kernels.values()) and "128 times, in a loop" in text


def test_a_long_graph_is_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from graphflow.explain import stages

    monkeypatch.setattr(stages, "MOST_DRAWN", 3)
    monkeypatch.setattr(stages, "MOST_FUSED", 3)
    x = gf.placeholder("float32", (None,), name="x")
    reader, text = read(gf.explain(gf.function([x], gf.exp(gf.sin(x) * 2 + x) - 1), tmp_path / "long.html"))
    assert "ops are too many for a picture" in text and 'class="gf"' not in text
    assert "k0-0-asm" in reader.ids


def test_what_cannot_be_explained(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="is not compiled"):
        gf.explain(3, tmp_path / "p.html")
    f = gf.function([gf.placeholder("float32", name="x")], None)
    with pytest.raises(ShapeError, match="rank of x"):
        gf.explain(f, tmp_path / "p.html")
    with pytest.raises(GraphError, match="2 values for 1 inputs"):
        gf.explain(f, tmp_path / "p.html", 1, 2)


X86 = """\t.text
\t.globl\tk
k:
\t.cfi_startproc
\txorl\t%eax, %eax
.LBB0_1:
\tmovq\t%rdx, %rcx
.LBB0_2:
\tvfmadd231ps\t(%rsi), %zmm1, %zmm0  # a comment
\tdecq\t%rcx
\tjne\t.LBB0_2
\taddq\t$64, %rsi
\tjne\t.LBB0_1
.LBB0_3:
\tretq
"""


def test_the_hot_loop_is_the_innermost_with_arithmetic() -> None:
    found = assembly(X86)
    assert found.hot is not None
    lines = found.text.splitlines()
    assert lines[found.hot.first] == ".LBB0_2:" and lines[found.hot.last].split() == ["jne", ".LBB0_2"]
    assert found.hot.depth == 2 and found.hot.arithmetic == 1
    assert found.instructions == 8 and "cfi" not in found.text and "comment" not in found.text and ".LBB0_3" not in found.text


def test_a_loop_of_another_machine() -> None:
    found = assembly("k:\n.LBB0_1:\n\tfmla\tv0.4s, v1.4s, v2.4s\n\tsubs\tx0, x0, #1\n\tb.ne\t.LBB0_1\n\tret\n")
    assert found.hot is not None and (found.hot.first, found.hot.last, found.hot.arithmetic) == (1, 4, 1)
    assert assembly("k:\n\tret\n").hot is None
