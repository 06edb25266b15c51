"""`check_kernels`: each kernel's results beside those of its ops' NumPy references, on the operands it had.

What may differ is estimated by running the references on perturbed numbers too: every operand and every result of a node
changed by the tolerance that the op states.  So cancellation widens the tolerance, where it
happens, and nothing else does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from graphflow.compiler import reference
from graphflow.compiler.print import to_text
from graphflow.configuration import config
from graphflow.graph import source
from graphflow.graph.errors import CheckError
from graphflow.graph.op import Array, Op
from graphflow.graph.traversal import toposort
from graphflow.graph.types import is_float
from graphflow.graph.variable import Variable, origin_of
from graphflow.runtime.array_summary import first_index, summary
from graphflow.runtime.compiled import Compiled
from graphflow.runtime.observe import Kernel, Observed, Run, by_reference
from graphflow.runtime.store import Store

RTOL = 2e-6  # of an op that states none, in float32
DOUBLE = 1e-7  # times that in float64
ROOM = 8.0  # times what a perturbation changes
FLIPS = 1000  # one element in so many may differ at will where rounding decides a comparison
RUNS = 2

_stated: dict[type[Op], float] = {}


def compare_kernels(compiled: Compiled, arrays: Sequence[Array], store: Store) -> list[Array]:
    """A call whose kernels are compared; raises CheckError for the first that differs."""
    observed = compiled.__dict__.setdefault("_observed", Observed(compiled.request, compiled.name))
    found: list[Array] = observed.observe(arrays, store, compare)
    return found


def compare(kernel: Kernel) -> None:
    """Raise CheckError if a result is not what the references make of the operands."""
    run = by_reference(kernel)
    runs = [perturbed(run, kernel, seed) for seed in range(RUNS)]
    for v, got in kernel.results.items():
        want = run.values[v]
        wrong = differing(got, want, [r[v] for r in runs], relative(kernel, v), decides(run))
        if wrong.any():
            raise mismatch(kernel, v, got, want, wrong, run)


def differing(got: Array, want: Array, others: Sequence[Array], rtol: float, flips: bool) -> Array:
    """Which elements differ by more than rounding explains; none if they are few and rounding decides comparisons."""
    if not is_float(want.dtype):
        wrong = got != want
    else:
        with np.errstate(all="ignore"):
            moved = np.max([np.abs(other.astype(np.float64) - want) for other in others], axis=0)
            usual = np.nanmedian(np.where(np.isfinite(moved), moved, np.nan)) if np.isfinite(moved).any() else 0.0
            room = ROOM * (np.nan_to_num(moved, nan=np.inf) + usual) + rtol * np.abs(want)
            wrong = ~((got == want) | (np.abs(got.astype(np.float64) - want) <= room) | (np.isnan(got) & np.isnan(want)))
    return np.zeros_like(wrong) if flips and wrong.sum() <= wrong.size // FLIPS else wrong


def perturbed(run: Run, kernel: Kernel, seed: int) -> dict[Variable, Array]:
    """Results of the references where every number is off by its op's tolerance, up or down at random."""
    rng = np.random.default_rng(seed)
    arrays: dict[Variable, Array] = {}

    def off(value: Array, rtol: float) -> Array:
        if not is_float(value.dtype):
            return value
        with np.errstate(all="ignore"):
            return np.asarray(value * (1 + rtol * rng.choice([-1.0, 1.0], value.shape)), value.dtype)

    for v, stand_in in run.stand_ins.items():
        arrays[stand_in] = off(kernel.operands[v], RTOL / 8 * (1 if v.dtype.itemsize < 8 else DOUBLE))
    for node in toposort(list(run.results.values()), set(arrays)):
        reference.run(node.outputs, arrays)
        for v in node.outputs:
            arrays[v] = off(arrays[v], tolerance(node.op) * (1 if v.dtype.itemsize < 8 else DOUBLE))
    return {v: arrays[made] for v, made in run.results.items()}


def tolerance(op: Op) -> float:
    """The relative tolerance that an op states in its samples, for float32."""
    kind = type(op)
    if kind not in _stated:
        _stated[kind] = max((sample.rtol for sample in kind.samples()), default=RTOL)
    return _stated[kind]


def relative(kernel: Kernel, v: Variable) -> float:
    """The tolerances of the kernel's ops, all together, for the dtype of a result."""
    total = sum(tolerance(node.op) for node in kernel.group.members) or RTOL
    return total if v.dtype.itemsize < 8 else total * DOUBLE


def decides(run: Run) -> bool:
    """Do floats become ints or bools in the kernel, so that a rounding error may change a choice?"""
    return any(is_float(x.dtype) and not is_float(v.dtype) for step in run.steps for x in step.node.inputs for v in step.node.outputs)


def mismatch(kernel: Kernel, v: Variable, got: Array, want: Array, wrong: Array, run: Run) -> CheckError:
    with np.errstate(all="ignore"):
        error = np.where(wrong, np.abs(got.astype(np.float64) - want), -1.0)
    at = [int(i) for i in np.unravel_index(int(np.argmax(np.nan_to_num(error, nan=np.inf))), wrong.shape)] if wrong.ndim else []
    index = tuple(at)
    message = f"kernel {kernel.number}, {run.ops}, is not what the ops' NumPy references are, in {origin_of(v)}"
    lines = [
        f"  {int(wrong.sum())} of {wrong.size} elements differ, the first at {first_index(wrong)}; most at {at}, where the kernel made {got[index]} and the references {want[index]}",
        *(summary(f"operand {x.label}", value) for x, value in kernel.operands.items()),
        summary("result", got),
        summary("reference", want),
        *dict.fromkeys(f"  {str(step.node.op).partition('{')[0]} at {source.short(step.node.source)}" for step in run.steps if step.node.source),
    ]
    written = dump(kernel, v, want)
    hint = f"the kernel and its operands are in {written}" if written else "GRAPHFLOW_DUMP=folder writes the kernel and its operands; this is a fault of the compiler, or of an op's lowering or reference"
    return CheckError(message, location=v.source, context=tuple(lines), hint=hint)


def dump(kernel: Kernel, v: Variable, want: Array) -> str:
    """Write the unscheduled kernel, its operands, results and references to the folder of `gf.config.dump`; the path's stem."""
    if not config.dump:
        return ""
    os.makedirs(config.dump, exist_ok=True)
    stem = os.path.join(config.dump, f"differs-{kernel.number}-{kernel.launch.proc.name}")
    with open(f"{stem}.txt", "w") as f:
        f.write(to_text(kernel.launch.proc))
    arrays = {f"operand_{i}_{x.label}": value for i, (x, value) in enumerate(kernel.operands.items())}
    results = {f"result_{i}_{x.label}": value for i, (x, value) in enumerate(kernel.results.items())}
    np.savez(f"{stem}.npz", **arrays, **results, reference=want)  # type: ignore[arg-type]
    return f"{stem}.{{txt,npz}}"
