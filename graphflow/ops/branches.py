"""Branch: one of two bodies runs, and the other does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from graphflow.graph.errors import DTypeError, GraphError, ShapeError
from graphflow.graph.op import In, RegionOp, Sample, SizeConstraints, register
from graphflow.graph.region import Region
from graphflow.graph.traversal import depends_on
from graphflow.graph.types import TensorType, is_float
from graphflow.graph.variable import Placeholder, Variable, constant, hook
from graphflow.ops.loops import same_type
from graphflow.ops.shape import broadcast_to

Grads = Sequence[Variable | None]


@register
class Branch(RegionOp):
    """Inputs: a bool scalar, then what both bodies take.  Outputs: the results of `yes` where it is true, else of `no`."""

    name = "cond"
    yes: Region
    no: Region

    @property
    def regions(self) -> tuple[Region, ...]:
        return self.yes, self.no

    def __str__(self) -> str:
        return self.name

    def with_regions(self, regions: Sequence[Region]) -> Branch:
        return Branch(*regions)

    def infer(self, *inputs: TensorType) -> tuple[TensorType, ...]:
        choice, *given = inputs
        if choice.known_shape != ():
            raise ShapeError(f"the condition is {choice}, and must be a scalar", hint="reduce it with gf.all or gf.any; gf.where chooses element by element")
        if choice.dtype.kind != "b":
            raise DTypeError(f"the condition is {choice}, and must be bool", hint="compare it with something")
        for region in self.regions:
            for i, (a, p) in enumerate(zip(given, region.inputs, strict=True)):
                same_type(a, p.type, f"operand {i}")
            SizeConstraints.pending.extend(region.constraints())
        if len(self.yes.outputs) != len(self.no.outputs):
            raise GraphError(f"one branch gives {len(self.yes.outputs)} results, the other {len(self.no.outputs)}")
        for i, (a, b) in enumerate(zip(self.yes.types, self.no.types, strict=True)):
            same_type(a, b, f"result {i} of the first branch", "both branches must give the same types")
        return self.yes.types

    def reference(self, *arrays: Any) -> Any:
        choice, *given = arrays
        return tuple(hook("interpreter")(self.yes if choice else self.no)(given))

    def vjp(self, inputs: Sequence[Variable], outputs: Sequence[Variable], grads: Grads) -> Grads:
        """The cotangents through the branch that ran; zeros for what only the other one uses."""
        choice, *given = inputs
        used = [v for region in self.regions for v in depends_on(self._with_grads(region, grads), region.inputs)]
        active = [i for i, v in enumerate(given) if is_float(v.dtype) and (self.yes.inputs[i] in used or self.no.inputs[i] in used)]
        flowing = [g for g in grads if g is not None]
        pulled = Branch(*(self._pulled(region, grads, active) for region in self.regions))
        made = pulled(choice, *given, *flowing)
        results = dict(zip(active, made if isinstance(made, tuple) else (made,), strict=True)) if active else {}
        return [None, *(results.get(i) for i in range(len(given)))]

    @staticmethod
    def _with_grads(region: Region, grads: Grads) -> list[Variable]:
        return [v for v, g in zip(region.outputs, grads, strict=True) if g is not None and is_float(v.dtype)]

    def _pulled(self, region: Region, grads: Grads, active: Sequence[int]) -> Region:
        inputs = [Placeholder(p.type, p.name) for p in region.inputs]
        seeds = {i: Placeholder(g.type, "g") for i, g in enumerate(grads) if g is not None}
        made = region.of(inputs)
        flowing = [i for i in seeds if is_float(made[i].dtype)]
        found = hook("pullback")([made[i] for i in flowing], [seeds[i] for i in flowing], [inputs[i] for i in active])
        outputs = [broadcast_to(constant(0, inputs[i].dtype), inputs[i].shape) if g is None else g for i, g in zip(active, found, strict=True)]
        return Region([*inputs, *seeds.values()], outputs)

    @classmethod
    def samples(cls) -> Iterator[Sample]:
        from graphflow.ops.control import cond
        from graphflow.ops.elementwise import multiply
        from graphflow.ops.reduction import sum_
        from graphflow.ops.transcendental import exp, sin

        def chosen(x: Variable, y: Variable) -> Variable:
            found: Variable = cond(sum_(x) > 0.1, lambda: multiply(sin(x), y), lambda: exp(multiply(x, 0.5)))
            return found

        yield Sample(lambda x, y: chosen(x + 3.0, y), (In(("m",)), In(("m",))), empty=False, name="yes")
        yield Sample(lambda x, y: chosen(x - 3.0, y), (In(("m",)), In(("m",))), empty=False, name="no")
