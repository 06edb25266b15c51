"""The self-test `main.c`: sample inputs, what graphflow computed for them, and a comparison."""

from __future__ import annotations

import numpy as np

from graphflow.bundle.header import C_TYPES, c_type
from graphflow.bundle.object import BAD_SHAPE, BAD_WORKSPACE, NULL_POINTER
from graphflow.bundle.plan import ALIGNMENT, Plan
from graphflow.bundle.trial import Trial, Trials
from graphflow.graph.op import Array

TOLERANCE = 1e-5
_PER_LINE = 12

_MAIN = """\
/* Self-test of {name}: cc main.c *.o -o selftest && ./selftest
 * Exits 0 when the results agree with those graphflow computed, to {tolerance:g} of each value. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "{name}.h"

static int failures = 0;
{comparisons}
static void expect(const char *what, int32_t came, int32_t wanted)
{{
    if (came == wanted) return;
    printf("%s: code %d instead of %d\\n", what, (int)came, (int)wanted);
    failures++;
}}

static void *aligned(char *p)
{{
    return p + ({alignment} - (uintptr_t)p % {alignment});
}}

{data}
int main(void)
{{
    const int64_t dims[] = {{{dims}}};
    uint64_t bytes;
    uint32_t align;
    int32_t code = {name}_init();
    if (code != 0) {{
        printf("{name}: this CPU lacks features the code uses\\n");
        return code;
    }}
    expect("abi_version", (int32_t){name}_abi_version(), {upper}_ABI);
    expect("workspace_size", {name}_workspace_size(dims, &bytes, &align), 0);
    expect("workspace_size", {name}_workspace_size(dims, NULL, &align), {null_pointer});
    char *memory = malloc(bytes + {alignment});
    if (memory == NULL) return 2;
    void *workspace = aligned(memory);
{calls}
    free(memory);
    if (failures == 0) printf("{name}: agrees\\n");
    return failures != 0;
}}
"""
_COMPARE_FLOAT = """
static void compare_{name}(const char *what, const {type} *came, const {type} *wanted, int64_t n)
{{
    for (int64_t i = 0; i < n; i++) {{
        double a = came[i], b = wanted[i];
        double size = b < 0 ? 1 - b : 1 + b, off = a < b ? b - a : a - b;
        if (a == b || (a != a && b != b) || off <= {tolerance:g} * size) continue;
        printf("%s[%lld] is %.9g and should be %.9g\\n", what, (long long)i, a, b);
        failures++;
    }}
}}
"""
_COMPARE_INTEGER = """
static void compare_{name}(const char *what, const {type} *came, const {type} *wanted, int64_t n)
{{
    for (int64_t i = 0; i < n; i++) {{
        if (came[i] == wanted[i]) continue;
        printf("%s[%lld] is %lld and should be %lld\\n", what, (long long)i, (long long)came[i], (long long)wanted[i]);
        failures++;
    }}
}}
"""


def selftest_text(plan: Plan, made: Trials) -> str:
    """`main.c` for the trials of a plan's functions."""
    data: list[str] = []
    calls: list[str] = []
    for trial in made.trials:
        data += _data(plan, trial)
        calls += _calls(plan, trial)
    compared = [a for t in made.trials for a in (*t.outputs[0], *(t.state if t.routine.writes else []))]
    dtypes = sorted({a.dtype.name for a in compared})
    return _MAIN.format(
        name=plan.name, upper=plan.name.upper(), tolerance=TOLERANCE, alignment=ALIGNMENT, comparisons="".join(map(_comparison, dtypes)),
        data="\n".join(data), dims=", ".join(map(str, made.dims)) or "0", null_pointer=NULL_POINTER,
        calls="\n".join(f"    {line}" for line in calls),
    )  # fmt: skip


def _comparison(dtype: str) -> str:
    template = _COMPARE_FLOAT if dtype.startswith("float") else _COMPARE_INTEGER
    return template.format(name=dtype, type=C_TYPES[dtype], tolerance=TOLERANCE)


def _data(plan: Plan, trial: Trial) -> list[str]:
    prefix = trial.routine.suffix
    lines = [c_array(f"{prefix}_in{i}", a) for i, a in enumerate(trial.inputs)]
    for i, first in enumerate(trial.outputs[0]):
        lines.append(f"static {c_type(first.dtype)} {prefix}_out{i}[{max(1, first.size)}];")
        lines += [c_array(f"{prefix}_expected{i}_{step}", results[i]) for step, results in enumerate(trial.outputs)]
    if trial.routine.writes:
        lines += [c_array(f"{prefix}_state{i}", a) for i, a in enumerate(trial.state)]
        lines.append(f"static char {prefix}_block[{plan.name.upper()}_STATE_BYTES + {ALIGNMENT}];")
    return lines


def _calls(plan: Plan, trial: Trial) -> list[str]:
    """Statements of main: wrong calls first, then the right ones."""
    r, name = trial.routine, f"{plan.name}_{trial.routine.suffix}"
    ins = ", ".join(f"{r.suffix}_in{i}" for i in range(len(trial.inputs)))
    outs = ", ".join(f"{r.suffix}_out{i}" for i in range(len(trial.outputs[0])))
    lines = [f"const void *const {r.suffix}_in[] = {{{ins or 'NULL'}}};", f"void *const {r.suffix}_out[] = {{{outs or 'NULL'}}};"]
    state = "NULL"
    if r.writes:
        state = "state"
        lines += [f"void *state = aligned({r.suffix}_block);", f'expect("state_init", {plan.name}_state_init(state), 0);']
    tail = f"{state}, workspace, bytes, NULL)"
    lines.append(f'expect("{r.suffix}", {name}({r.suffix}_in, {r.suffix}_out, dims, {state}, NULL, bytes, NULL), {NULL_POINTER});')
    if plan.dims:
        lines += [f"const int64_t {r.suffix}_bad[] = {{{', '.join(['-1'] * len(plan.dims))}}};", f'expect("{r.suffix}", {name}({r.suffix}_in, {r.suffix}_out, {r.suffix}_bad, {tail}, {BAD_SHAPE});']
    lines.append(f'expect("{r.suffix}", {name}({r.suffix}_in, {r.suffix}_out, dims, {state}, workspace, 8, NULL), {BAD_WORKSPACE});')
    for step, results in enumerate(trial.outputs):
        lines.append(f'expect("{r.suffix}", {name}({r.suffix}_in, {r.suffix}_out, dims, {tail}, 0);')
        lines += [_compare(f"{r.suffix} out[{i}]", a, f"{r.suffix}_out{i}", f"{r.suffix}_expected{i}_{step}") for i, a in enumerate(results)]
    if r.writes:
        for i, (t, a) in enumerate(zip(plan.state, trial.state, strict=True)):
            came = f"(const {c_type(a.dtype)} *)((const char *)state + {t.offset})"
            lines.append(_compare(f"state {i} after {len(trial.outputs)} steps", a, came, f"{r.suffix}_state{i}"))
    return lines


def _compare(what: str, a: Array, came: str, wanted: str) -> str:
    return f'compare_{a.dtype.name}("{what}", {came}, {wanted}, {a.size});'


# --- numbers as C ---------------------------------------------------------------------------------
def c_array(name: str, a: Array) -> str:
    """`static const float name[6] = {...};`, exact; C has no arrays of size 0, so those get one element."""
    values = [c_number(v) for v in a.reshape(-1)] or ["0"]
    lines = [", ".join(values[i : i + _PER_LINE]) for i in range(0, len(values), _PER_LINE)]
    return f"static const {c_type(a.dtype)} {name}[{len(values)}] = {{\n    " + ",\n    ".join(lines) + ",\n};"


def c_number(value: np.generic) -> str:
    if isinstance(value, np.floating):
        number = float(value)
        if number != number:
            return "(0.0f / 0.0f)"
        if number in (np.inf, -np.inf):
            return "(1.0f / 0.0f)" if number > 0 else "(-1.0f / 0.0f)"
        text = np.format_float_scientific(value, unique=True, trim="0")
        return text + ("f" if value.dtype.itemsize == 4 else "")
    if value.dtype.name == "uint64":
        return f"{int(value)}u"
    if value.dtype.name == "int64" and int(value) == -(2**63):
        return "(-9223372036854775807 - 1)"
    return str(int(value))
