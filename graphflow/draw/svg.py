"""The SVG text of a laid-out drawing: self-contained, no scripts, readable on any background."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

from graphflow.draw.layout import Box, Layout, Path
from graphflow.draw.model import Cluster, Drawing, Edge, Node
from graphflow.draw.text import MONO, SANS, STYLES, text_width

_MARGIN = 20
_LEGEND_WIDTH = 420  # the legend wraps at the drawing's width, or at this one if that is larger
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# class -> (fill, border, text, border width); the classes are Node.form for Apply nodes, else Node.kind
_COLOURS = {
    "placeholder": ("#dcfce7", "#22a35a", "#14532d", 1.4),
    "shared": ("#dbeafe", "#7aa7ee", "#1e3a8a", 1.2),
    "constant": ("#f1f3f5", "#c3c9d1", "#4b5563", 1),
    "result": ("#ffffff", "#94a3b8", "#1f2937", 1.2),
    "elementwise": ("#fff8e6", "#d6a53a", "#3f2d06", 1.2),
    "reduction": ("#f3e8ff", "#a477d6", "#3b1464", 1.2),
    "contraction": ("#ffe4d6", "#e0703a", "#5a1f06", 1.2),
    "view": ("#f8fafc", "#94a3b8", "#334155", 1),
    "control": ("#ffe4ee", "#d9588c", "#5b0f30", 1.2),
    "other": ("#dff5f5", "#3a9ea1", "#0b3f41", 1.2),
    "collapsed": ("#eef2f6", "#64748b", "#1f2937", 1.6),
}
_OUTPUT_BORDER = "#1d4ed8"
_LEGEND = (
    ("placeholder", "placeholder"), ("shared", "shared variable"), ("constant", "constant"), ("result", "result"), ("output", "output"),
    ("elementwise", "elementwise op"), ("reduction", "reduction"), ("contraction", "contraction"), ("view", "view (moves nothing)"),
    ("control", "control flow"), ("other", "other op"), ("collapsed", "collapsed scope"), ("kernel", "kernel"),
)  # fmt: skip


def style_sheet() -> str:
    rules = [
        f".gf text{{font-family:{SANS};fill:#1f2937;text-anchor:middle}}",
        f".gf .code,.gf .cost{{font-family:{MONO}}}",
        ".gf .edge{fill:none;stroke:#64748b;stroke-width:1.3}",
        ".gf .edges g:hover .edge{stroke:#1d4ed8;stroke-width:2.4}",
        ".gf .cluster rect{fill:#64748b;fill-opacity:.07;stroke:#94a3b8;stroke-dasharray:5 3}",
        ".gf .cluster.kernel rect{fill:#facc15;fill-opacity:.2;stroke:#ca8a04;stroke-width:1.4;stroke-dasharray:none}",
        ".gf .name text,.gf .legend text{text-anchor:start;fill:#475569}",
        ".gf .name.kernel text{fill:#854d0e}",
    ]
    for name, style in STYLES.items():
        rules.append(f".gf .{name}{{font-size:{style.size}px{';font-weight:600' if style.bold else ''}}}")
    for name, (fill, border, text, width) in _COLOURS.items():
        rules.append(f".gf .{name}>rect{{fill:{fill};stroke:{border};stroke-width:{width}}}.gf .{name}>text{{fill:{text}}}")
    rules.append(".gf .view>rect{stroke-dasharray:3 2}")
    rules.append(".gf .node>.code{fill-opacity:.85}.gf .node>.cost{fill-opacity:.7}")
    rules.append(f".gf .output>rect{{stroke:{_OUTPUT_BORDER};stroke-width:2.6}}")
    return "\n".join(rules)


def write_svg(drawing: Drawing, layout: Layout) -> str:
    """The picture as an SVG document with its own white background, tooltips and legend."""
    legend_width = max(layout.width, _LEGEND_WIDTH)
    legend, legend_height = _legend(drawing, legend_width)
    width = (legend_width if legend else layout.width) + 2 * _MARGIN
    height = layout.height + legend_height + 2 * _MARGIN
    shift = (width - layout.width) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gf" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
        f' role="img" aria-label="{escaped(drawing.summary)}">',
        f"<style>{style_sheet()}</style>",
        '<defs><marker id="gf-arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse"'
        ' orient="auto"><path d="M0 0.8 8 4 0 7.2 1.8 4z" fill="#64748b"/></marker></defs>',
        f'<rect class="paper" width="{width:.0f}" height="{height:.0f}" rx="10" fill="#ffffff"/>',
        f'<g transform="translate({shift:.1f} {_MARGIN})">',
        *_group("clusters", (_cluster(i, c, b) for i, (c, b) in enumerate(zip(drawing.clusters, layout.clusters, strict=True)) if b)),
        *_group("edges", (_edge(i, e, p) for i, (e, p) in enumerate(zip(drawing.edges, layout.edges, strict=True)))),
        *_group("nodes", (_node(i, n, b) for i, (n, b) in enumerate(zip(drawing.nodes, layout.nodes, strict=True)))),
        *_group("names", (_cluster_name(c, b) for c, b in zip(drawing.clusters, layout.clusters, strict=True) if b)),
        "</g>",
        f'<g class="legend" transform="translate({_MARGIN} {layout.height + 1.4 * _MARGIN:.1f})">{legend}</g>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _group(name: str, items: Iterator[str]) -> list[str]:
    listed = list(items)
    return [f'<g class="{name}">', *listed, "</g>"] if listed else []


def escaped(text: str) -> str:
    """Escaped for content and attributes; characters XML cannot hold are replaced."""
    return escape(_NOT_XML.sub("\ufffd", text), {'"': "&quot;"})


# --- the parts -----------------------------------------------------------------------------
def _cluster(i: int, cluster: Cluster, box: Box) -> str:
    return f'<g class="cluster {cluster.kind}" id="cluster{i}" data-parent="{cluster.parent}"><title>{escaped(cluster.tooltip)}</title>{_rect(box, 9)}</g>'


def _cluster_name(cluster: Cluster, box: Box) -> str:
    """Over edges that cross a box's upper border: the name has a background of its own."""
    width = text_width(cluster.title, STYLES["note"])
    plate = f'<rect x="{box.left + 6:.1f}" y="{box.top + 3:.1f}" width="{width + 6:.1f}" height="15" rx="4" fill="#ffffff" fill-opacity=".85"/>'
    return f'<g class="name {cluster.kind}">{plate}<text class="note" x="{box.left + 9:.1f}" y="{box.top + 14.5:.1f}">{escaped(cluster.title)}</text></g>'


def _rect(box: Box, radius: float) -> str:
    width, height = box.right - box.left, box.bottom - box.top
    return f'<rect x="{box.left:.1f}" y="{box.top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{min(radius, height / 2):.1f}"/>'


def _edge(i: int, edge: Edge, path: Path) -> str:
    x, y = path[0]
    steps = " ".join(f"{x:.1f} {y:.1f}" for x, y in path[1:])
    arrow = ' marker-end="url(#gf-arrow)"' if edge.arrow else ""
    tooltip = f"<title>{escaped(edge.tooltip)}</title>"
    return f'<g id="edge{i}" data-tail="{edge.tail}" data-head="{edge.head}">{tooltip}<path class="edge" d="M{x:.1f} {y:.1f}C{steps}"{arrow}/></g>'


def _node(i: int, node: Node, box: Box) -> str:
    classes = ["node", node.kind, *([node.form] if node.form else []), *(["output"] if node.output else [])]
    parts = [f'<g class="{" ".join(classes)}" id="node{i}" data-cluster="{node.cluster}"><title>{escaped(node.tooltip)}</title>']
    if node.bordered:
        parts.append(_rect(box, {"apply": 5, "collapsed": 8}.get(node.kind, 99)))
    y = (box.top + box.bottom) / 2 - sum(line.leading for line in node.lines) / 2
    for line in node.lines:
        style = STYLES[line.style]
        baseline = y + style.leading / 2 + 0.35 * style.size
        parts.append(f'<text class="{line.style}" x="{(box.left + box.right) / 2:.1f}" y="{baseline:.1f}">{escaped(line.text)}</text>')
        y += style.leading
    return "".join([*parts, "</g>"])


def _legend(drawing: Drawing, width: float) -> tuple[str, float]:
    """Swatches for what occurs, wrapped to `width`, then the summary; and the height of it all."""
    bordered = [n for n in drawing.nodes if n.bordered]
    present = {n.form or n.kind for n in bordered if not (n.output and n.kind == "result")}
    present |= {"output" for n in bordered if n.output} | {c.kind for c in drawing.clusters if c.kind == "kernel"}
    parts: list[str] = []
    x, y, leading = 0.0, 0.0, STYLES["note"].leading + 4
    for name, words in _LEGEND:
        if name not in present:
            continue
        advance = 24 + text_width(words, STYLES["note"]) + 14
        if x and x + advance > width:
            x, y = 0.0, y + leading
        round_ = name in ("placeholder", "shared", "constant", "result", "output")
        swatch = f'<rect x="{x:.1f}" y="{y:.1f}" width="18" height="11" rx="{5.5 if round_ else 2}"/>'
        class_ = "result output" if name == "output" else f"cluster {name}" if name == "kernel" else name
        parts.append(f'<g class="{class_}">{swatch}</g><text class="note" x="{x + 23:.1f}" y="{y + 9.5:.1f}">{words}</text>')
        x += advance
    y += leading
    parts.append(f'<text class="note" x="0" y="{y + 9.5:.1f}">{escaped(drawing.summary)}</text>')
    return "".join(parts), y + leading
