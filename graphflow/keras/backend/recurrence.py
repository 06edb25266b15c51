"""`rnn`: a function called for each time step, in a native loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphflow.graph.errors import ShapeError
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.control import scan
from graphflow.ops.creation import zeros
from graphflow.ops.elementwise import cast, where
from graphflow.ops.shape import expand_dims, moveaxis, squeeze

Step = Callable[[Any, list[Any]], tuple[Any, Sequence[Any]]]


def rnn(
    step_function: Step,
    inputs: Any,
    initial_states: Sequence[Any],
    go_backwards: bool = False,
    mask: Any = None,
    constants: Sequence[Any] | None = None,
    unroll: bool = False,
    input_length: Any = None,
    time_major: bool = False,
    zero_output_for_mask: bool = False,
) -> tuple[Variable, Variable, list[Variable]]:
    """Call `step_function(x_t, states + constants)`, which gives (output, new states), for each step of `inputs`.

    `inputs`: (samples, steps, ...), or (steps, samples, ...) if `time_major`; outputs come alike.  `mask` (samples, steps): where it is
    false, states stay, and the output is the one before (zeros at first, or always if `zero_output_for_mask`).
    `go_backwards`: steps from the last to the first; outputs are in the order of the calls.  `unroll` and `input_length` are
    accepted: the loop runs natively for any length.  Returns (last output, all outputs, last states).
    Raises ShapeError for inputs without an axis of steps.
    """
    x = as_variable(inputs)
    if x.ndim < 3 and not time_major:
        raise ShapeError(f"Input should be at least 3D, and {x.type} came", hint="(samples, steps, features)")
    steps = x if time_major else moveaxis(x, 1, 0)
    further, states = list(constants or ()), [as_variable(s) for s in initial_states]
    if mask is None:
        outputs, *histories = _looped(lambda row, *now: _flat(step_function(row, [*now, *further])), [steps], [None, *states], go_backwards)
    else:
        kept = _mask_of_steps(as_variable(mask), x.ndim, time_major)
        sample, _ = step_function(steps[0], [*states, *further])
        blank = zeros(as_variable(sample).shape, as_variable(sample).dtype)

        def masked(row: Any, allowed: Any, before: Any, *now: Any) -> list[Any]:
            output, *new = _flat(step_function(row, [*now, *further]))
            stays = blank if zero_output_for_mask else before
            return [where(_of_rank(allowed, v.ndim), v, old) for v, old in zip([output, *new], [stays, *now], strict=True)]

        outputs, *histories = _looped(masked, [steps, kept], [blank, *states], go_backwards)
    last = outputs[-1]
    return last, outputs if time_major else moveaxis(outputs, 0, 1), [history[-1] for history in histories]


def _flat(made: tuple[Any, Sequence[Any]]) -> list[Any]:
    output, new = made
    return [as_variable(output), *map(as_variable, new)]


def _looped(step: Callable[..., Any], sequences: Sequence[Variable], first: Sequence[Any], go_backwards: bool) -> list[Variable]:
    made, _ = scan(step, sequences=list(sequences), outputs_info=list(first), go_backwards=go_backwards, return_list=True)
    found: list[Variable] = made
    return found


def _mask_of_steps(mask: Variable, rank: int, time_major: bool) -> Variable:
    """(steps, samples), as booleans."""
    flat = squeeze(mask, -1) if mask.ndim == 3 and rank > 2 else mask
    allowed = flat if flat.dtype.kind == "b" else cast(flat, "bool")
    return allowed if time_major else moveaxis(allowed, 1, 0)


def _of_rank(allowed: Variable, rank: int) -> Variable:
    return expand_dims(allowed, tuple(range(allowed.ndim, rank))) if rank > allowed.ndim else allowed
