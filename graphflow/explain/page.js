"use strict";
const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

// --- light and dark ----------------------------------------------------------
const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = on => document.documentElement.classList.toggle("dark", on);
paint(dark.matches);
dark.addEventListener("change", e => paint(e.matches));
const flip = () => paint(!document.documentElement.classList.contains("dark"));
$("#theme").onclick = flip;
$("#help").onclick = () => $("#keys").showModal();
$("#keys").onclick = e => e.target === e.currentTarget && e.currentTarget.close();

// --- texts: unpacked and coloured when first opened ---------------------------
const escaped = text => text.replace(/[&<>]/g, c => ({"&": "&amp;", "<": "&lt;", ">": "&gt;"})[c]);
const WORDS = {
  ir: /(#.*$|--.*$)|\b(kernel|for|in|out|inout|work|seq|any|lanes|unroll|team|reg|let|mask|check|else|site|where|if)\b|\b((?:f|i|u)(?:8|16|32|64)|bool)\b|(%\w+)|\b(-?\d[\d.e+-]*)\b/gm,
  llvm: /(;.*$)|\b(define|declare|void|br|ret|call|load|store|getelementptr|phi|label|align|noalias|internal|fadd|fmul|fsub|fdiv|fcmp|icmp|select|add|mul|sub|shl|lshr|and|or|xor|bitcast|shufflevector|insertelement|extractelement|alloca)\b|(&lt;\d+ x \w+&gt;|\b(?:ptr|float|double|half|i\d+)\b)|([%@][\w.$]+)|\b(-?\d[\d.e+]*|0x[0-9A-Fa-f]+)\b/gm,
  asm: /([#;].*$|\/\/.*$)|^(\s+[a-z][\w.]*)|(%?\b(?:[xyz]mm\d+|[re]?[abcd]x|r\d+[dwb]?|[re]?[sd]i|[re]?[sb]p|[vqdswx]\d+)\b)|(\.?L?\w+(?=:)|\.L\w+)|(\$?-?\b\d+\b)/gm,
};
const TAGS = ["s", "b", "u", "q", "i"];
function coloured(line, language) {
  return escaped(line).replace(WORDS[language], (all, ...found) => {
    const i = found.slice(0, 5).findIndex(x => x !== undefined);
    return i < 0 ? all : `<${TAGS[i]}>${all}</${TAGS[i]}>`;
  });
}
async function unpacked(packed) {
  const bytes = Uint8Array.from(atob(packed), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}
async function fill(panel) {
  if (!panel.dataset.packed) return;
  const [first, last] = (panel.dataset.hot || "-1,-2").split(",").map(Number);
  const text = await unpacked(panel.dataset.packed);
  delete panel.dataset.packed;
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  panel.innerHTML = lines.map((line, i) => `<span class="l${first <= i && i <= last ? " hot" : ""}">${coloured(line, panel.dataset.language) || " "}</span>`).join("");
}
async function toggle(button, open = button.getAttribute("aria-expanded") !== "true") {
  const panel = document.getElementById(button.dataset.panel);
  if (open) await fill(panel);
  panel.hidden = !open;
  button.setAttribute("aria-expanded", open);
  const hot = open && $(".hot", panel);
  if (hot) panel.scrollTop = hot.offsetTop - panel.offsetTop - panel.clientHeight / 3;
}
$$("[data-panel]").forEach(b => b.onclick = () => toggle(b));

// --- the graphs: pan and zoom --------------------------------------------------
const stages = $$(".stage");
const fused = stages.findIndex(s => "frames" in s.dataset); // the last one for the whole graph; bodies of loops follow
let stage = fused;
const views = new Map();
class View {
  constructor(box) {
    this.svg = $("svg", box);
    this.box = box;
    this.whole = this.svg.getAttribute("viewBox").split(" ").map(Number);
    this.svg.removeAttribute("width"), this.svg.removeAttribute("height");
    this.begin();
    box.addEventListener("wheel", e => { if (e.ctrlKey || e.metaKey || e.altKey || this.entered) { e.preventDefault(); this.zoom(Math.exp(e.deltaY * .0016), e); } }, {passive: false});
    box.addEventListener("pointerdown", e => this.grab(e));
    box.addEventListener("pointerleave", () => this.entered = false);
  }
  set(x, y, w, h) { this.at = [x, y, w, h]; this.svg.setAttribute("viewBox", this.at.join(" ")); }
  begin() { // the whole graph where that can be read, else its top
    const [x, y, w, h] = this.whole, across = this.box.clientWidth, down = this.box.clientHeight;
    const scale = Math.min(across / w, down / h);
    if (scale > .7 || !across) return this.fit();
    this.set(x + (w - across / .85) / 2, y, across / .85, down / .85);
  }
  fit() { this.set(...this.whole); }
  zoom(factor, e) {
    const [x, y, w, h] = this.at, r = this.box.getBoundingClientRect();
    const fx = e ? (e.clientX - r.left) / r.width : .5, fy = e ? (e.clientY - r.top) / r.height : .5;
    this.set(x + w * fx * (1 - factor), y + h * fy * (1 - factor), w * factor, h * factor);
  }
  grab(e) {
    if (e.button) return;
    this.entered = true;
    const from = [e.clientX, e.clientY], at = this.at, scale = 1 / this.svg.getScreenCTM().a;
    this.moved = false;
    const move = m => {
      const dx = m.clientX - from[0], dy = m.clientY - from[1];
      this.moved ||= Math.hypot(dx, dy) > 4;
      if (this.moved) this.set(at[0] - dx * scale, at[1] - dy * scale, at[2], at[3]);
    };
    const end = () => { removeEventListener("pointermove", move); removeEventListener("pointerup", end); };
    addEventListener("pointermove", move); addEventListener("pointerup", end);
  }
  centre(element) {
    const b = element.getBBox(), m = $("svg > g[transform]", this.box).transform.baseVal.consolidate().matrix;
    const w = Math.max(b.width * 1.5, this.box.clientWidth * .9), h = w * this.box.clientHeight / this.box.clientWidth;
    const tall = Math.max(1, b.height * 1.2 / h);
    this.set(b.x + m.e + b.width / 2 - w * tall / 2, b.y + m.f + b.height / 2 - h * tall / 2, w * tall, h * tall);
  }
}
function view(i = stage) {
  const box = $(".view", stages[i]);
  if (!$("svg", box)) return null;
  if (!views.has(i)) views.set(i, new View(box));
  return views.get(i);
}
function show(i) {
  stage = (i + stages.length) % stages.length;
  stages.forEach((s, k) => s.hidden = k !== stage);
  $$("[data-stage][role=tab]").forEach((t, k) => t.setAttribute("aria-selected", k === stage));
  view();
  mark();
}
$$(".tabs [role=tab]").forEach((t, i) => t.onclick = () => show(i));
const ZOOM = {in: v => v.zoom(.75), out: v => v.zoom(1.33), fit: v => v.fit()};
$$("[data-zoom]").forEach(b => b.onclick = () => { const v = view(); if (v) ZOOM[b.dataset.zoom](v); });

// --- what belongs together -------------------------------------------------------
const kernels = $$(".kernel[data-kernel]");
const frames = stages.map(s => s.dataset.frames ? s.dataset.frames.split(",") : []); // of each stage: frame i + 1 is of this kernel
let chosen = {kernel: null, line: null};
const placeOf = node => (/^at (\S+:\d+)$/m.exec($("title", node)?.textContent || "") || [])[1];
const stageOf = kernel => frames.findIndex(found => found.includes(kernel));
const frameOf = kernel => { const s = stageOf(kernel); return s < 0 ? null : $(`[data-cluster="${frames[s].indexOf(kernel) + 1}"].cluster`, stages[s]); };

function mark() {
  $$(".hit, .linked, .chosen, .selected").forEach(e => e.classList.remove("hit", "linked", "chosen", "selected"));
  const {kernel, line} = chosen;
  if (kernel !== null) {
    const card = document.getElementById(`k${kernel}`);
    card?.classList.add("selected");
    frameOf(kernel)?.classList.add("chosen");
    $$(".listing .line.used").filter(l => $(`[data-kernel="${kernel}"]`, l)).forEach(l => l.classList.add("hit"));
    const ran = (card?.dataset.launches || "").split(", ").map(Number);
    $$("[data-first]").filter(r => ran.some(n => +r.dataset.first <= n && n <= +r.dataset.last)).forEach(r => r.classList.add("hit"));
  }
  if (line !== null) {
    $$(`[data-line="${CSS.escape(line)}"]`).forEach(l => l.classList.add("hit"));
    $$(".node", stages[stage]).filter(n => placeOf(n) === line).forEach(n => n.classList.add("linked"));
  }
}
function choose(kernel, line = null, {scroll = true, graph = false} = {}) {
  chosen = {kernel, line};
  mark();
  if (scroll && kernel !== null) document.getElementById(`k${kernel}`)?.scrollIntoView({block: "start"});
  if (graph) {
    show(Math.max(stageOf(kernel), fused));
    const frame = frameOf(kernel);
    $("#graph").scrollIntoView();
    if (frame && view()) view().centre(frame);
  }
}
function chooseLine(line, move) {
  choose(null, line, {scroll: false});
  const node = $$(".node.linked", stages[stage])[0];
  if (node && view()) view().centre(node);
  if (move) $("#graph").scrollIntoView();
}
$$(".kernel-link").forEach(a => a.onclick = e => { e.preventDefault(); e.stopPropagation(); choose(a.dataset.kernel); });
$$(".line.used").forEach(l => {
  l.onclick = () => chooseLine(l.dataset.line, true);
  l.onkeydown = e => e.key === "Enter" && (e.stopPropagation(), chooseLine(l.dataset.line, true));
});
kernels.forEach(k => {
  $(".in-graph", k).onclick = () => choose(k.dataset.kernel, null, {scroll: false, graph: true});
  $(".number", k).onclick = e => { e.preventDefault(); choose(k.dataset.kernel); };
});
$$(".arena rect").forEach(r => r.onclick = () => {
  const card = kernels.find(k => k.dataset.launches.split(", ").includes(r.dataset.first));
  if (card) choose(card.dataset.kernel);
});
stages.forEach((s, i) => s.addEventListener("click", e => {
  if (views.get(i)?.moved) return;
  const node = e.target.closest(".node"), frame = e.target.closest(".cluster, .name");
  const number = node ? node.dataset.cluster : frame?.dataset.cluster;
  const line = node ? placeOf(node) ?? null : null;
  if (number && number !== "0" && frames[i][number - 1] !== undefined) choose(frames[i][number - 1], line);
  else if (line) chooseLine(line, false);
}));

// --- the filter ---------------------------------------------------------------------
const filter = $("#filter");
function search() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  kernels.forEach(k => {
    const fits = words.every(w => k.dataset.words.includes(w));
    k.classList.toggle("filtered", !fits);
    shown += fits;
  });
  $("#shown").textContent = words.length ? `${shown} of ${kernels.length} kernels` : "";
  $$(".listing .line").forEach(l => l.classList.toggle("filtered", words.length > 0 && !words.every(w => l.textContent.toLowerCase().includes(w) || (l.dataset.line || "").includes(w))));
  $$("svg.gf").forEach(svg => {
    svg.classList.toggle("searching", words.length > 0);
    $$(".node", svg).forEach(n => n.classList.toggle("found", words.length > 0 && words.every(w => n.textContent.toLowerCase().includes(w))));
  });
}
filter.oninput = search;
filter.onchange = () => { const found = filter.value && $(".node.found", stages[stage]); if (found) view()?.centre(found); };

// --- the order of kernels ---------------------------------------------------------------
$$("[data-order]").forEach((b, _, all) => b.onclick = () => {
  all.forEach(o => o.setAttribute("aria-selected", o === b));
  kernels.sort(b.dataset.order === "seconds" ? (x, y) => y.dataset.seconds - x.dataset.seconds : (x, y) => parseInt(x.dataset.launches) - parseInt(y.dataset.launches));
  $("#cards").append(...kernels);
});

// --- keys ------------------------------------------------------------------------------
const step = by => {
  const seen = kernels.filter(k => !k.classList.contains("filtered"));
  if (!seen.length) return;
  const at = seen.findIndex(k => k.dataset.kernel === chosen.kernel);
  choose(seen[at < 0 ? (by > 0 ? 0 : seen.length - 1) : Math.max(0, Math.min(seen.length - 1, at + by))].dataset.kernel);
};
const current = () => chosen.kernel === null ? null : document.getElementById(`k${chosen.kernel}`);
const KEYS = {
  "/": () => filter.focus(), j: () => step(1), k: () => step(-1), t: flip, "?": () => $("#keys").showModal(),
  "[": () => show(Math.max(0, stage - 1)), "]": () => show(Math.min(stages.length - 1, stage + 1)),
  "+": () => view()?.zoom(.75), "=": () => view()?.zoom(.75), "-": () => view()?.zoom(1.33), 0: () => view()?.fit(),
  g: () => chosen.kernel !== null && choose(chosen.kernel, null, {scroll: false, graph: true}),
  Enter: () => { const b = current() && $("[data-panel$=asm]", current()); if (b) toggle(b); },
};
addEventListener("keydown", e => {
  if (e.ctrlKey || e.metaKey || e.altKey || $("#keys").open) return;
  if (e.key === "Escape") { filter.value = ""; search(); filter.blur(); choose(null); return; }
  if (e.target.matches("input, summary") || (e.key === "Enter" && e.target.matches("button, a"))) return;
  const act = KEYS[e.key];
  if (act) { e.preventDefault(); act(); }
});

// --- where we are ------------------------------------------------------------------------
const links = $$("nav a");
const observer = new IntersectionObserver(entries => {
  for (const e of entries) if (e.isIntersecting) links.forEach(a => a.classList.toggle("here", a.hash === `#${e.target.id}`));
}, {rootMargin: "-15% 0px -75% 0px"});
$$("section").forEach(s => observer.observe(s));
show(fused);
if (/^#k\d+$/.test(location.hash)) choose(location.hash.slice(2));
addEventListener("resize", () => views.forEach(v => v.fit()));
