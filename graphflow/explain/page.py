"""A report as one HTML file; the long texts are compressed, and unpacked when they are opened."""

from __future__ import annotations

import base64
import linecache
import zlib
from html import escape
from importlib import resources
from pathlib import PurePath

from graphflow import __version__
from graphflow.compiler.op_cost import format_bytes, format_count
from graphflow.draw.svg import style_sheet
from graphflow.explain.kernels import Code, Kernel, Line
from graphflow.explain.report import Report, Tensor
from graphflow.explain.stages import Stage
from graphflow.runtime.profile_table import percent, time

MOST_LINES = 6000  # of a text that is shown
CONTEXT = 1  # lines shown around those of the user that are named
SECTIONS = (("summary", "Summary"), ("source", "Source"), ("graph", "Graph"), ("rules", "Rules"), ("kernels", "Kernels"), ("memory", "Memory"))


def page(report: Report) -> str:
    """The HTML text."""
    parts = {
        "summary": _summary(report),
        "source": _source(report.kernels),
        "graph": _graph(report.stages),
        "rules": _rules(report.stages),
        "kernels": _kernels(report),
        "memory": _memory(report),
    }
    contents = "".join(f'<a href="#{key}">{title}</a>' for key, title in SECTIONS)
    body = "".join(f'<section id="{key}"><h2>{title}</h2>{parts[key]}</section>' for key, title in SECTIONS)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report.name)} — graphflow</title><style>{_file('page.css')}\n{style_sheet()}\n{_file('picture.css')}</style></head><body>"
        f'<header><h1>{escape(report.name)}</h1><nav>{contents}</nav><div class="tools">'
        '<input id="filter" type="search" placeholder="Filter: op, line, kernel" aria-label="Filter kernels, lines and nodes" spellcheck="false"><kbd>/</kbd>'
        '<button id="theme" title="Light or dark (t)" aria-label="Light or dark">◐</button><button id="help" title="Keys (?)" aria-label="Keys">?</button></div></header>'
        f"<main>{body}<footer>graphflow {__version__}</footer></main>{_KEYS}<script>{_file('page.js')}</script></body></html>\n"
    )


_KEYS = (
    '<dialog id="keys"><h3>Keys</h3><dl>'
    "<dt><kbd>/</kbd></dt><dd>filter</dd><dt><kbd>j</kbd> <kbd>k</kbd></dt><dd>next, previous kernel</dd>"
    "<dt><kbd>Enter</kbd></dt><dd>open the kernel's assembly</dd><dt><kbd>[</kbd> <kbd>]</kbd></dt><dd>graph before, after the pass</dd>"
    "<dt><kbd>+</kbd> <kbd>−</kbd> <kbd>0</kbd></dt><dd>zoom the graph, fit it</dd><dt><kbd>g</kbd></dt><dd>show the kernel in the graph</dd>"
    "<dt><kbd>t</kbd></dt><dd>light or dark</dd><dt><kbd>Esc</kbd></dt><dd>clear</dd></dl></dialog>"
)


def _file(name: str) -> str:
    return resources.files("graphflow.explain").joinpath(name).read_text(encoding="utf-8")


# --- summary ------------------------------------------------------------------------------------
def _summary(r: Report) -> str:
    codes = [code for k in r.kernels for code in k.codes]
    flops, moved = sum(c.flops * c.times for c in codes), sum((c.read + c.written) * c.times for c in codes)
    about = "" if all(c.exact for c in codes) else "~"
    fused = next(s for s in r.stages if s.name == "fuse")
    figures = (
        ("kernels", str(sum(bool(k.codes) for k in r.kernels)), f"{len(codes)} launches of {len({c.symbol for c in codes})} pieces of code"),
        ("ops", f"{r.stages[0].ops:,} → {fused.ops:,}", f"{sum(sum(s.rules.values()) for s in r.stages):,} rules fired"),
        ("FLOP a call", about + format_count(flops), "a multiply-add is two"),
        ("bytes moved", about + format_bytes(moved), "each kernel's operands and results, once"),
        ("arena", format_bytes(r.memory.arena), f"at most {format_bytes(r.memory.peak)} alive at once"),
        ("state", format_bytes(sum(t.bytes for t in r.state)), f"{len(r.state)} variables; constants {format_bytes(r.constants)}"),
        ("at the roofline", time(sum(k.seconds for k in r.kernels)), f"the least time of this machine, {r.threads} thread{'s' if r.threads > 1 else ''}"),
    )
    cards = "".join(f'<div class="figure"><b>{escape(value)}</b><span>{name}</span><small>{escape(note)}</small></div>' for name, value, note in figures)
    sizes = ", ".join(f"<code>{escape(name)}={n}</code>" for name, n in r.sizes)
    said = f"<p class=note>Costs are stated for {sizes}{', which is assumed' if r.assumed else ''}; the code is for all sizes.</p>" if r.sizes else ""
    tables = "".join(_tensors(title, tensors) for title, tensors in (("Inputs", r.inputs), ("Results", r.outputs), ("State", r.state)) if tensors)
    peaks = "".join(f"<p class=note>{escape(who)}: {escape(speed)}</p>" for who, speed in r.roofline.lines().items())
    return f'<div class="figures">{cards}</div>{said}<div class="tensors">{tables}</div>{peaks}'


def _tensors(title: str, tensors: list[Tensor]) -> str:
    rows = "".join(f"<tr><td>{escape(t.name)}<td><code>{escape(t.type)}</code><td class=n>{format_bytes(t.bytes)}" for t in tensors)
    opened = " open" if len(tensors) <= 8 else ""
    return f"<details{opened}><summary>{title} <i>{len(tensors)}</i></summary><table>{rows}</table></details>"


# --- source --------------------------------------------------------------------------------------
def _source(kernels: list[Kernel]) -> str:
    """The user's lines that kernels come from, with the kernels beside them."""
    files: dict[str, dict[int, tuple[Line, dict[int, None]]]] = {}
    for k in kernels:
        for line in k.lines:
            files.setdefault(line.file, {}).setdefault(line.number, (line, {}))[1].setdefault(k.number)
    if not files:
        return "<p class=note>No lines are known.</p>"
    return "".join(_listing(file, lines) for file, lines in files.items())


def _listing(file: str, lines: dict[int, tuple[Line, dict[int, None]]]) -> str:
    rows: list[str] = []
    shown = sorted({n for number in lines for n in range(max(1, number - CONTEXT), number + CONTEXT + 1)})
    for before, n in zip([0, *shown], shown, strict=False):
        text = linecache.getline(file, n).rstrip("\n")
        if not text and n not in lines:
            continue
        gap = " gap" if n > before + 1 and before else ""
        if n in lines:
            numbers = list(lines[n][1])
            links = "".join(f'<a class="kernel-link" href="#k{k}" data-kernel="{k}">{k}</a>' for k in numbers)
            place = f"{PurePath(file).name}:{n}"
            rows.append(f'<div class="line used{gap}" tabindex="0" data-line="{escape(place)}"><span>{n}</span><code>{escape(text)}</code><em>{links}</em></div>')
        else:
            rows.append(f'<div class="line{gap}"><span>{n}</span><code>{escape(text)}</code></div>')
    return f'<div class="listing"><h3>{escape(PurePath(file).name)}</h3>{"".join(rows)}</div>'


# --- graph ---------------------------------------------------------------------------------------
def _graph(stages: list[Stage]) -> str:
    tabs, views = [], []
    last = next(i for i, s in enumerate(stages) if s.name == "fuse")
    for i, s in enumerate(stages):
        label = "as written" if s.name == "graph" else s.name if i > last else f"after {s.name}"
        tabs.append(f'<button role="tab" data-stage="{i}" aria-selected="{"true" if i == last else "false"}">{label}<i>{s.ops}</i></button>')
        note = f'<p class="note">{escape(s.note)}</p>' if s.note else ""
        framed = f' data-frames="{",".join(map(str, s.framed))}"' if i >= last else ""
        views.append(f'<div class="stage" data-stage="{i}"{framed}{"" if i == last else " hidden"}><p class="note">{escape(_plain(s.doc))}</p>{note}<div class="view">{s.svg}</div></div>')
    zoom = '<div class="zoom"><button data-zoom="in" title="Larger (+)">+</button><button data-zoom="out" title="Smaller (−)">−</button><button data-zoom="fit" title="Fit (0)">fit</button></div>'
    return f'<div class="tabs" role="tablist">{"".join(tabs)}</div><div class="stages">{zoom}{"".join(views)}</div>'


def _plain(text: str) -> str:
    return text.replace("`", "")


# --- rules ---------------------------------------------------------------------------------------
def _rules(stages: list[Stage]) -> str:
    rows = [(name, count, s.name) for s in stages for name, count in s.rules.most_common()]
    if not rows:
        return "<p class=note>No rule fired.</p>"
    most = max(count for _, count, _ in rows)
    body = "".join(
        f'<tr><td><code>{escape(name)}</code><td class="n">{count}<td class="bar"><i style="width:{100 * count / most:.1f}%"></i><td class="note">{stage}' for name, count, stage in rows
    )
    return f'<table class="rules">{body}</table>'


# --- kernels -------------------------------------------------------------------------------------
def _kernels(r: Report) -> str:
    total = sum(k.seconds for k in r.kernels) or 1.0
    cards = "".join(_kernel(k, total) for k in r.kernels)
    entry = _text_panel("entry", "LLVM text of the entry that launches them", "llvm", r.entry)
    order = '<div class="tabs order"><button data-order="number" aria-selected="true">as they run</button><button data-order="seconds" aria-selected="false">longest first</button><span class="note" id="shown"></span></div>'
    return f'{order}<div id="cards">{cards}</div><article class="kernel entry"><div class="head"><h3>entry</h3></div><div class="panels"><div class="buttons">{entry[0]}</div>{entry[1]}</div></article>'


def _kernel(k: Kernel, total: float) -> str:
    share = k.seconds / total
    lines = "".join(
        f'<div class="line used" tabindex="0" data-line="{escape(PurePath(line.file).name)}:{line.number}"><span>{escape(PurePath(line.file).name)}:{line.number}</span><code>{escape(line.text)}</code>'
        f"<em>{escape(' · '.join(line.ops))}</em></div>"
        for line in k.lines
    )
    flops, moved = sum(c.flops * c.times for c in k.codes), sum((c.read + c.written) * c.times for c in k.codes)
    facts = [] if not k.codes else [format_bytes(moved), *([f"{format_count(flops)} FLOP"] if flops else []), f"{time(k.seconds)} at the roofline, {percent(share)}", f"bound by {k.codes[0].bound}"]
    facts += [f"{k.codes[0].times:,} times, in a loop"] if k.codes and k.codes[0].times > 1 else []
    inside = "".join(f'<a class="kernel-link" href="#k{n}" data-kernel="{n}">{n}</a> ' for n in k.inside)
    words = " ".join([f"k{k.number}", *k.ops, k.form, *k.scopes, *(f"{PurePath(x.file).name}:{x.number} {x.text}" for x in k.lines), *(c.symbol for c in k.codes)]).lower()
    scopes = f'<span class="scopes" title="name scopes">{escape(", ".join(k.scopes))}</span>' if k.scopes else ""
    bar = f'<div class="share" title="its share of the least time"><i style="width:{100 * share:.1f}%"></i></div>' if k.codes else ""
    codes = "".join(_code(k, c, i) for i, c in enumerate(k.codes))
    launches = ", ".join(map(str, k.launches))
    return (
        f'<article class="kernel" id="k{k.number}" tabindex="-1" data-kernel="{k.number}" data-seconds="{k.seconds:.3e}" data-launches="{launches}" data-words="{escape(words)}">'
        f'<div class="head"><a class="number" href="#k{k.number}">{k.number}</a><h3>{escape(" · ".join(k.ops))}</h3>{scopes}<span class="form {k.form}">{k.form}</span>'
        f'<button class="in-graph" title="Show it in the graph (g)">graph</button></div>'
        f"{bar}"
        f'<p class="facts">{"".join(f"<span>{escape(f)}</span>" for f in facts)}{f"<span>inside: {inside}</span>" if inside else ""}</p>'
        f'<div class="lines">{lines}</div>{codes}</article>'
    )


def _code(k: Kernel, c: Code, i: int) -> str:
    key = f"k{k.number}-{i}"
    hot = c.assembly.hot
    loop = f", hot loop of {hot.last - hot.first} with {hot.arithmetic} on numbers" if hot else ""
    panels = [
        _text_panel(f"{key}-ir", "Kernel IR", "ir", c.kernel_ir),
        _text_panel(f"{key}-scheduled", "scheduled", "ir", c.scheduled),
        _text_panel(f"{key}-llvm", "LLVM", "llvm", c.llvm),
        _text_panel(f"{key}-asm", f"assembly, {c.assembly.instructions} instructions{loop}", "asm", c.assembly.text, (hot.first, hot.last) if hot else None),
        _operands(f"{key}-operands", c),
    ]
    title = f'<p class="note">launch {k.launches[i]}: {escape(c.launch)} <code>{escape(c.symbol)}</code></p>'
    return f'<div class="panels">{title}<div class="buttons">{"".join(b for b, _ in panels)}</div>{"".join(p for _, p in panels)}</div>'


def _text_panel(key: str, label: str, language: str, text: str, hot: tuple[int, int] | None = None) -> tuple[str, str]:
    """A button, and the panel it opens: the text is in the page compressed."""
    lines = text.splitlines()
    if len(lines) > MOST_LINES:
        text = "\n".join([*lines[:MOST_LINES], f"... {len(lines) - MOST_LINES:,} more lines; GRAPHFLOW_DUMP=folder writes them all"])
    packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
    marked = f' data-hot="{hot[0]},{hot[1]}"' if hot else ""
    name, _, rest = label.partition(",")
    small = f"<small>{rest}</small>" if rest else f"<small>{len(lines):,} lines</small>"
    button = f'<button data-panel="{key}" aria-expanded="false">{name}{small}</button>'
    return button, f'<pre id="{key}" class="code" data-language="{language}"{marked} data-packed="{packed}" tabindex="0" hidden></pre>'


def _operands(key: str, c: Code) -> tuple[str, str]:
    rows = "".join(f"<tr><td><code>{escape(o.name)}</code><td><code>{escape(o.type)}</code><td>{o.mode}<td>{escape(o.place)}<td class=n>{format_bytes(o.bytes)}" for o in c.operands)
    count = f"{len(c.operands)} operand{'s' * (len(c.operands) != 1)}"
    head = "<tr><th>name<th>type<th>mode<th>memory<th class=n>bytes"
    cost = f'<p class="note">{format_bytes(c.read)} read, {format_bytes(c.written)} written, {format_count(c.flops)} FLOP{"" if c.exact else " (estimated)"}; at least {time(c.seconds)}, bound by {escape(c.bound)}</p>'
    return f'<button data-panel="{key}" aria-expanded="false">memory and cost<small>{count}</small></button>', f'<div id="{key}" class="operands" hidden><table>{head}{rows}</table>{cost}</div>'


# --- memory --------------------------------------------------------------------------------------
def _memory(r: Report) -> str:
    if not r.memory.held:
        return "<p class=note>Nothing is kept between kernels.</p>"
    rows = "".join(
        f'<tr data-first="{h.first}" data-last="{h.last}"><td>{escape(h.name)}<td class=n>{format_bytes(h.bytes)}<td class=n>{h.offset:,}<td class=n>{h.first}–{h.last}<td>{escape(h.place)}'
        for h in sorted(r.memory.held, key=lambda h: (-h.bytes, h.first))
    )
    words = f"{format_bytes(r.memory.arena)} for {len(r.memory.held)} values. Launches run to the right, addresses go down; a rectangle is a value from its first launch to its last."
    table = f"<details><summary>Values <i>{len(r.memory.held)}</i></summary><table><tr><th>value<th class=n>bytes<th class=n>offset<th class=n>launches<th>line{rows}</table></details>"
    return f'<p class="note">{words}</p><div class="arena-box">{r.memory.svg()}</div>{table}'
