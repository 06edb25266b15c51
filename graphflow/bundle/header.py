"""The C header of a bundle."""

from __future__ import annotations

import re
from collections.abc import Iterable

from graphflow.bundle.object import ABI_VERSION
from graphflow.bundle.plan import ALIGNMENT, Plan, Routine, Tensor, unique
from graphflow.graph.errors import ExportError
from graphflow.graph.types import DType

C_TYPES = {
    "bool": "uint8_t", "int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "int64": "int64_t", "uint8": "uint8_t",
    "uint16": "uint16_t", "uint32": "uint32_t", "uint64": "uint64_t", "float32": "float", "float64": "double",
}  # fmt: skip


def c_type(dtype: DType) -> str:
    """The type of C for the elements; raises ExportError for the half dtypes, of which standard C has none."""
    found = C_TYPES.get(dtype.name)
    if found is None:
        raise ExportError(f"C has no type for {dtype.name}", hint="cast inputs and outputs to float32; what is inside may stay")
    return found


_HEADER = """\
/* {name}: computed by one call, without libraries.  Made by graphflow for {target}.
 *
 * Re-entrant: nothing is kept between calls, each call has a workspace of its own.  Arrays are contiguous,
 * row by row; outputs must not overlap inputs.
 *
 * Results: 0 ok, 1 null pointer, 2 sizes that do not fit, 3 workspace too small or not aligned,
 * 4 state missing or not aligned, 5 CPU features missing, 6 a run-time check failed (the first int64 of the
 * workspace is its number, from 1, in "checks" of the metadata; the second is the value refused).
 */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#ifndef GF_PARALLEL
#define GF_PARALLEL
/* How to run fn(args, first, last) for parts of 0 <= first < last <= n on several threads; returns when all are done. */
typedef struct gf_parallel {{
    void (*run)(void *ctx, void (*fn)(void *args, int64_t first, int64_t last), void *args, int64_t n);
    void *ctx;
}} gf_parallel;
#endif

#define {upper}_ABI {abi}
#define {upper}_ALIGNMENT {alignment} /* of workspace and state, in bytes */
{tables}
/* The version of this interface: {upper}_ABI. */
uint32_t {name}_abi_version(void);

/* Call once before the others: 0, or 5 if this CPU lacks features the code uses. */
int32_t {name}_init(void);

/* JSON: inputs, outputs, state, sizes, CPU features, hash. */
const char *{name}_metadata(void);

/* Bytes of workspace that sizes need, and its alignment. */
int32_t {name}_workspace_size(const int64_t *dims, uint64_t *bytes, uint32_t *align);
{functions}
#ifdef __cplusplus
}}
#endif

#endif
"""
_FUNCTION = """
/* {comment} */
int32_t {name}_{suffix}(const void *const *in, void *const *out, const int64_t *dims, void *state,
{space}void *workspace, uint64_t workspace_bytes, const gf_parallel *par);
"""
_STATE_INIT = """
/* Copies the embedded values to a state block of {upper}_STATE_BYTES bytes. */
int32_t {name}_state_init(void *state);
"""


def header_text(plan: Plan) -> str:
    """`NAME.h`."""
    upper = plan.name.upper()
    parts = [_table(f"{upper}_DIM", [(n, i, "") for i, n in enumerate(plan.dim_names)], "dims[]: sizes, each from 0 to 2147483647")]
    for r in plan.routines:
        prefix = upper if r.suffix == "run" else f"{upper}_{r.suffix.upper()}"
        parts.append(_table(f"{prefix}_IN", _numbered(plan, r.inputs), f"in[] of {plan.name}_{r.suffix}"))
        parts.append(_table(f"{prefix}_OUT", _numbered(plan, r.outputs), f"out[] of {plan.name}_{r.suffix}"))
    if plan.state:
        parts.append(f"\n#define {upper}_STATE_BYTES {plan.state_bytes}\n")
        parts.append(_table(f"{upper}_STATE", [(t.name, t.offset, type_text(plan, t)) for t in plan.state], "offsets in the state block, in bytes"))
    functions = "".join(_function(plan, r) for r in plan.routines)
    if plan.state:
        functions += _STATE_INIT.format(name=plan.name, upper=upper)
    return _HEADER.format(
        name=plan.name, upper=upper, target=plan.target.name, abi=ABI_VERSION, alignment=ALIGNMENT, tables="".join(parts), functions=functions
    )


def type_text(plan: Plan, t: Tensor) -> str:
    """`float [batch][10]`"""
    return f"{c_type(t.type.dtype)} {''.join(f'[{plan.size_text(s)}]' for s in t.shape)}".strip()


def _numbered(plan: Plan, tensors: list[Tensor]) -> list[tuple[str, int, str]]:
    return [(t.name, i, type_text(plan, t)) for i, t in enumerate(tensors)]


def _table(prefix: str, rows: Iterable[tuple[str, int, str]], title: str) -> str:
    rows = list(rows)
    names = unique(f"{prefix}_{re.sub(r'[^A-Z0-9_]', '_', name.upper())}" for name, _, _ in rows)
    lines = [f"#define {name} {number}" + (f" /* {text} */" if text else "") for name, (_, number, text) in zip(names, rows, strict=True)]
    return "\n".join([f"\n/* {title} */", *lines, ""]) if rows else ""


def _function(plan: Plan, r: Routine) -> str:
    if r.writes:
        comment = "Computes the outputs, then writes the updates into `state`.  `par`: NULL for one thread."
    elif plan.state:
        comment = "Computes the outputs.  `state`: NULL for the embedded values.  `par`: NULL for one thread."
    else:
        comment = "Computes the outputs.  `state` is not used.  `par`: NULL for one thread."
    return _FUNCTION.format(comment=comment, name=plan.name, suffix=r.suffix, space=" " * len(f"int32_t {plan.name}_{r.suffix}("))
