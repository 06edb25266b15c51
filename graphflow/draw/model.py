"""A graph as a drawing: nodes with their text and size, edges, nested clusters; no positions yet.

Apply nodes are boxes.  Leaves and outputs are rounded.  A result between two Apply nodes is the text
on the edge: it is a node of kind 'result' that is drawn without a border, so that its consumers branch
from one label and no layout can put anything over it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from graphflow.draw import caption
from graphflow.draw.text import Line, elide
from graphflow.graph.errors import GraphError
from graphflow.graph.traversal import consumers, toposort
from graphflow.graph.variable import Apply, Constant, Shared, Variable

BRIEF_ABOVE = 400  # nodes; larger drawings have short names and no text on edges
MOST_NODES = 2_000

_PAD = {"apply": (10, 6), "collapsed": (14, 9), "result": (3, 1), "constant": (8, 3)}
_LEAF_PAD = (15, 6)
_PORT = 10


@dataclass(frozen=True)
class Node:
    """`kind`: apply, collapsed (a name scope), placeholder, shared, constant or result; `bordered` is False for text on an edge."""

    kind: str
    lines: tuple[Line, ...]
    tooltip: str
    cluster: int
    form: str = ""
    output: bool = False
    bordered: bool = True
    ports: int = 1  # edges that enter, or leave, at places of their own

    @property
    def _pad(self) -> tuple[int, int]:
        return _LEAF_PAD if self.kind == "result" and self.bordered else _PAD.get(self.kind, _LEAF_PAD)

    @property
    def width(self) -> float:
        return round(max(max(line.width for line in self.lines) + 2 * self._pad[0], _PORT * self.ports), 1)

    @property
    def height(self) -> float:
        return round(sum(line.leading for line in self.lines) + 2 * self._pad[1], 1)


@dataclass(frozen=True)
class Edge:
    """From the bottom of `tail` to the top of `head`, at the fractions `leave` and `enter` of their widths."""

    tail: int
    head: int
    leave: float = 0.5
    enter: float = 0.5
    arrow: bool = True
    tooltip: str = ""


@dataclass(frozen=True)
class Cluster:
    """A box around nodes: a name scope or a kernel.  Number 0 is the whole drawing, its own parent."""

    title: str
    parent: int
    kind: str = "scope"
    tooltip: str = ""


@dataclass
class Drawing:
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    clusters: list[Cluster] = field(default_factory=lambda: [Cluster("", 0, "root")])
    summary: str = ""

    def ancestors(self, cluster: int) -> Iterator[int]:
        """`cluster`, its parent, and so on; the root is left out."""
        while cluster:
            yield cluster
            cluster = self.clusters[cluster].parent

    def common_cluster(self, clusters: Sequence[int]) -> int:
        """The innermost cluster that has all of `clusters` inside."""
        shared = list(self.ancestors(clusters[0])) if clusters else []
        for c in clusters[1:]:
            within = set(self.ancestors(c))
            shared = [s for s in shared if s in within]
        return shared[0] if shared else 0

    def above(self) -> list[tuple[int, int]]:
        """Pairs (u, v) where u should stand above v though no edge says so.

        What enters a cluster stands above the leaves it meets there, so that the cluster's box begins below it.  Only
        leaves with one reader are held down: no cycle can come of that.
        """
        fed = {e.head for e in self.edges}
        readers: dict[int, list[int]] = {}
        inputs: dict[int, list[int]] = {}
        for e in self.edges:
            readers.setdefault(e.tail, []).append(e.head)
            inputs.setdefault(e.head, []).append(e.tail)
        held = {v: heads[0] for v, heads in readers.items() if v not in fed and len(set(heads)) == 1 and self.nodes[v].cluster}
        pairs = {
            (u, leaf): None
            for leaf, reader in held.items()
            for u in inputs[reader]
            if u not in held and self.nodes[leaf].cluster not in self.ancestors(self.nodes[u].cluster)
        }
        return list(pairs)


def make_drawing(
    outputs: Sequence[tuple[str, Variable]],
    *,
    variables: bool = False,
    kernels: Sequence[Sequence[Apply]] = (),
    collapse: bool | str | Sequence[str] = False,
) -> Drawing:
    """The drawing of all that `outputs` depend on.

    `variables`: results are nodes, too.  `kernels`: groups to box in place of name scopes.  `collapse`:
    name scopes to draw as one box each, True for all outermost ones.  Raises GraphError above
    `MOST_NODES` nodes and for a scope that does not exist.
    """
    return _Builder(outputs, variables, kernels, collapse).build()


class _Builder:
    """Walks the graph once, inputs first.  A `box` is what an Apply is drawn as: itself, or the path of a collapsed scope."""

    def __init__(
        self, outputs: Sequence[tuple[str, Variable]], variables: bool, kernels: Sequence[Sequence[Apply]], collapse: bool | str | Sequence[str]
    ) -> None:
        self.fetched: dict[Variable, str] = {}
        for name, v in outputs:
            self.fetched[v] = self.fetched.get(v) or name or v.name or ""
        self.order = toposort(self.fetched)
        self.uses = consumers(self.order)
        self.variables = variables
        self.kernels = kernels
        self.drawing = Drawing()
        self.box = self._boxes(collapse)
        self.cluster_of = self._kernel_clusters() if kernels else self._scope_clusters()
        self.inside: dict[Apply | str, list[Apply]] = {}
        for node, box in self.box.items():
            self.inside.setdefault(box, []).append(node)
        self.boxes: dict[Apply | str, int] = {}
        self.places: dict[Variable, int] = {}  # a Variable's node, or the box it leaves where it has none
        self.linked: set[tuple[int, int]] = set()
        self.brief = len(self.inside) + len({*self.uses, *self.fetched}) > BRIEF_ABOVE

    # --- boxes and clusters -----------------------------------------------------------------
    def _boxes(self, collapse: bool | str | Sequence[str]) -> dict[Apply, Apply | str]:
        scopes = {node.scope for node in self.order} - {""}
        if collapse is True:
            wanted = {scope.partition("/")[0] for scope in scopes}
        else:
            wanted = {collapse} if isinstance(collapse, str) else set(collapse or ())
        paths = {scope: _prefixes(scope) for scope in scopes}
        if unknown := sorted(wanted.difference(*paths.values())):
            raise GraphError(f"no node is in the name scope {unknown[0]!r}", hint=f"scopes here: {', '.join(sorted(scopes)) or 'none'}")
        outermost = {scope: next((p for p in path if p in wanted), None) for scope, path in paths.items()}
        return {node: outermost.get(node.scope) or node for node in self.order}

    def _scope_clusters(self) -> dict[Apply, int]:
        numbers = {"": 0}
        found: dict[Apply, int] = {}
        for node in self.order:
            box = self.box[node]
            within = box.rpartition("/")[0] if isinstance(box, str) else node.scope
            for path in _prefixes(within):
                if path not in numbers:
                    numbers[path] = len(self.drawing.clusters)
                    parent, _, last = path.rpartition("/")
                    self.drawing.clusters.append(Cluster(elide(last, 40), numbers[parent], "scope", f"scope: {path}"))
            found[node] = numbers[within]
        return found

    def _kernel_clusters(self) -> dict[Apply, int]:
        numbers = dict.fromkeys(self.order, 0)
        for i, group in enumerate(self.kernels):
            inside = [node for node in group if node in numbers]
            if inside:
                numbers.update(dict.fromkeys(inside, len(self.drawing.clusters)))
                title = caption.kernel_title(i, inside)
                names = ", ".join(caption.op_title(node) for node in inside)
                self.drawing.clusters.append(Cluster(title, 0, "kernel", f"{title}\n{elide(names, 400)}"))
        return numbers

    def _cluster_of_variable(self, v: Variable) -> int:
        """Placeholders stand outside, other leaves with their readers.  Results stand in their scope if they are
        read there, else between it and their readers; those that leave a kernel are outside.
        """
        around = [self.cluster_of[node] for node in self.uses.get(v, ())]
        if v.owner is None:
            inside = isinstance(v, Shared | Constant) and not self.kernels
            return self.drawing.common_cluster(around) if inside else 0
        own = self.cluster_of[v.owner]
        if self.kernels:
            return own if v not in self.fetched and all(c == own for c in around) else 0
        if own in around:
            return own
        return 0 if v in self.fetched else self.drawing.common_cluster([own, *around])

    # --- nodes and edges --------------------------------------------------------------------
    def build(self) -> Drawing:
        for node in self.order:
            box = self._box_of(node)
            for i, v in enumerate(node.inputs):
                self._link_input(node, box, i, v)
            for v in node.outputs:
                self._place_result(node, box, v)
        for v in self.fetched:
            if v not in self.places:
                self.places[v] = self._add_variable(v, self._cluster_of_variable(v))
        self.drawing.summary = caption.summary(self.order)
        return self.drawing

    def _add(self, node: Node) -> int:
        if len(self.drawing.nodes) >= MOST_NODES:
            raise GraphError(
                f"the graph has more than {MOST_NODES:,} nodes to draw ({len(self.order):,} Apply nodes)",
                hint="draw a part of it (an inner Variable), or collapse name scopes: gf.draw(..., collapse=True)",
            )
        self.drawing.nodes.append(node)
        return len(self.drawing.nodes) - 1

    def _box_of(self, node: Apply) -> int:
        key, cluster = self.box[node], self.cluster_of[node]
        if key not in self.boxes:
            if isinstance(key, str):
                made = Node("collapsed", caption.scope_lines(key, self.inside[key]), f"scope: {key}", cluster)
            else:
                lines, tooltip, form = caption.apply_lines(node, self.brief), caption.apply_tooltip(node), caption.form_of(node)
                made = Node("apply", lines, tooltip, cluster, form, ports=max(len(node.inputs), len(node.outputs)))
            self.boxes[key] = self._add(made)
        return self.boxes[key]

    def _add_variable(self, v: Variable, cluster: int) -> int:
        output = v in self.fetched
        name = self.fetched.get(v) or v.name or ("output" if output and v.owner is not None else "")
        bordered = v.owner is None or output or self.variables
        kind = "result" if v.owner is not None else _leaf_kind(v)
        lines, tooltip = caption.variable_lines(v, name, self.brief), caption.variable_tooltip(v, name)
        return self._add(Node(kind, lines, tooltip, cluster, "", output, bordered))

    def _place_result(self, node: Apply, box: int, v: Variable) -> None:
        """A result that is read elsewhere or fetched gets its node; in brief drawings only outputs do."""
        read = any(self.box[reader] != self.box[node] for reader in self.uses.get(v, ()))
        shown = v in self.fetched or (read and (self.variables or not self.brief))
        if not shown:
            self.places[v] = box
            return
        self.places[v] = self._add_variable(v, self._cluster_of_variable(v))
        bordered = self.drawing.nodes[self.places[v]].bordered
        edge = Edge(box, self.places[v], self._leave(v), arrow=bordered, tooltip=f"output {v.index}: {v.type}")
        self.drawing.edges.append(edge)

    def _leave(self, v: Variable) -> float:
        """Where on its Apply's lower side a result leaves."""
        return (v.index + 0.5) / len(v.owner.outputs) if v.owner is not None and self.box[v.owner] is v.owner else 0.5

    def _link_input(self, node: Apply, box: int, i: int, v: Variable) -> None:
        tooltip = f"input {i}: {v.label}: {v.type}"
        if self.box[node] is node:
            tail = self._leaf(v, node) if v.owner is None else self.places[v]
            leave = self._leave(v) if v.owner is not None and tail == self.boxes[self.box[v.owner]] else 0.5
            ordered = not node.op.commutative or len(set(node.inputs)) < len(node.inputs)
            enter = (i + 0.5) / len(node.inputs) if ordered else 0.5
            self.drawing.edges.append(Edge(tail, box, leave, enter, tooltip=tooltip))
        elif not _is_number(v) and (v.owner is None or self.box[v.owner] != self.box[node]):
            tail = self._leaf(v, node) if v.owner is None else self.places[v]
            if (tail, box) not in self.linked:
                self.linked.add((tail, box))
                self.drawing.edges.append(Edge(tail, box, tooltip=tooltip))

    def _leaf(self, v: Variable, reader: Apply) -> int:
        """A leaf's node; a number is drawn once for each use, unless Variables are shown as they are."""
        if _is_number(v) and not self.variables and v not in self.fetched:
            return self._add_variable(v, self.cluster_of[reader])
        if v not in self.places:
            self.places[v] = self._add_variable(v, self._cluster_of_variable(v))
        return self.places[v]


def _prefixes(scope: str) -> list[str]:
    """`a/b/c` -> `a`, `a/b`, `a/b/c`."""
    parts = scope.split("/") if scope else []
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _is_number(v: Variable) -> bool:
    return isinstance(v, Constant) and v.value.ndim == 0


def _leaf_kind(v: Variable) -> str:
    return "shared" if isinstance(v, Shared) else "constant" if isinstance(v, Constant) else "placeholder"
