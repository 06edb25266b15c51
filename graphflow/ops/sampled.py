"""Losses that weigh or sample: weighted cross entropy, Poisson losses, noise-contrastive estimation, sampled softmax."""

from __future__ import annotations

import math
from typing import Any

from graphflow.graph.errors import ShapeError
from graphflow.graph.variable import Variable, as_variable
from graphflow.ops.contraction import matmul
from graphflow.ops.creation import dim_value, zeros_like
from graphflow.ops.elementwise import add, cast, divide, minimum, multiply, negative, subtract, where
from graphflow.ops.gathering import as_index, gather
from graphflow.ops.identity import stop_gradient
from graphflow.ops.joining import concatenate
from graphflow.ops.logic import equal, greater, less, logical_or
from graphflow.ops.losses import sigmoid_cross_entropy, softmax_cross_entropy
from graphflow.ops.promotion import coerce, inexact
from graphflow.ops.public import public
from graphflow.ops.random import uniform
from graphflow.ops.reduction import any_, sum_
from graphflow.ops.rounding import floor
from graphflow.ops.shape import expand_dims, transpose
from graphflow.ops.transcendental import exp, expm1, log, log1p, softplus

Sampled = tuple[Any, Any, Any]


@public
def log_uniform_candidates(true_classes: Any, num_sampled: Any, range_max: Any, seed: int | None = None) -> tuple[Variable, Variable, Variable]:
    """Classes below `range_max` (an int or a Dim), drawn with replacement from log((k + 2) / (k + 1)) / log(range_max + 1).

    Returns the `num_sampled` classes, and the expected counts of the true classes and of the sampled ones among them.
    The distribution is Zipf's: classes are numbered by falling frequency, as for tf.nn.log_uniform_candidate_sampler.
    """
    top = cast(dim_value(range_max) if not isinstance(range_max, int) else as_variable(range_max), "float64")
    u = uniform((num_sampled,), dtype="float64", seed=seed)
    drawn = minimum(floor(expm1(multiply(u, log1p(top)))), subtract(top, 1))
    count = float(num_sampled) if isinstance(num_sampled, int) else cast(dim_value(num_sampled), "float64")

    def expected(classes: Variable) -> Variable:
        k = cast(classes, "float64")
        return cast(multiply(count, divide(log1p(divide(1, add(k, 1))), log1p(top))), "float32")

    sampled = cast(drawn, "int64")
    return sampled, expected(as_index(true_classes)), expected(sampled)


def _sampled_logits(
    weights: Any, biases: Any, labels: Any, inputs: Any, num_sampled: Any, num_classes: Any,
    num_true: int, sampled_values: Sampled | None, remove_accidental_hits: bool, seed: int | None,
) -> tuple[Variable, Variable]:  # fmt: skip
    """Logits of the true classes (n, num_true) and of the sampled ones (n, num_sampled)."""
    w, x = coerce(weights, inputs, to=inexact)
    (b,) = coerce(biases, to=w.dtype)
    true = as_index(labels)
    true = expand_dims(true, 1) if true.ndim == 1 else true
    if x.ndim != 2 or w.ndim != 2 or true.ndim != 2 or true.shape[1] != num_true:
        raise ShapeError(f"sampled losses: weights {w!r}, inputs {x!r} and labels {true!r} do not fit num_true={num_true}", hint="weights (classes, d), inputs (n, d), labels (n, num_true)")
    classes, true_count, sampled_count = sampled_values or log_uniform_candidates(true, num_sampled, num_classes, seed)
    classes = stop_gradient(as_index(classes))
    true_logits = add(sum_(multiply(expand_dims(x, 1), gather(w, true)), axis=-1), gather(b, true))
    sampled_logits = add(matmul(x, transpose(gather(w, classes))), gather(b, classes))
    if remove_accidental_hits:
        hits = any_(equal(expand_dims(true, 2), expand_dims(classes, (0, 1))), axis=1)
        sampled_logits = where(hits, -1e30, sampled_logits)
    true_noise, sampled_noise = (log(cast(as_variable(c), w.dtype)) for c in (true_count, sampled_count))
    return subtract(true_logits, true_noise), subtract(sampled_logits, sampled_noise)


@public
def nce_loss(
    weights: Any, biases: Any, labels: Any, inputs: Any, num_sampled: Any, num_classes: Any,
    num_true: int = 1, sampled_values: Sampled | None = None, remove_accidental_hits: bool = False, seed: int | None = None,
) -> Variable:  # fmt: skip
    """Noise-contrastive estimation of each row: is each class the row's or noise?  M. Gutmann, A. Hyvarinen (2010), as tf.nn.nce_loss.

    weights (classes, d), biases (classes), labels (n, num_true) or (n), inputs (n, d); the result has shape (n).
    `sampled_values`: classes, expected counts of the labels and of the classes, instead of `log_uniform_candidates`.
    """
    true, sampled = _sampled_logits(weights, biases, labels, inputs, num_sampled, num_classes, num_true, sampled_values, remove_accidental_hits, seed)
    positive = sigmoid_cross_entropy(true, add(zeros_like(true), 1 / num_true))
    return add(sum_(positive, axis=1), sum_(sigmoid_cross_entropy(sampled, zeros_like(sampled)), axis=1))


@public
def sampled_softmax_loss(
    weights: Any, biases: Any, labels: Any, inputs: Any, num_sampled: Any, num_classes: Any,
    num_true: int = 1, sampled_values: Sampled | None = None, remove_accidental_hits: bool = True, seed: int | None = None,
) -> Variable:  # fmt: skip
    """The cross entropy of a softmax over each row's classes and the sampled ones, as tf.nn.sampled_softmax_loss; see `nce_loss`.

    S. Jean et al., "On using very large target vocabulary for neural machine translation" (2014).
    """
    true, sampled = _sampled_logits(weights, biases, labels, inputs, num_sampled, num_classes, num_true, sampled_values, remove_accidental_hits, seed)
    targets = concatenate([add(zeros_like(true), 1 / num_true), zeros_like(sampled)], axis=1)
    return softmax_cross_entropy(concatenate([true, sampled], axis=1), targets)


# --- weighted and counting losses ----------------------------------------------------------------
@public
def weighted_cross_entropy(logits: Any, targets: Any, pos_weight: Any) -> Variable:
    """The sigmoid cross entropy of each element, with errors on positives weighing `pos_weight`; stable for any logit."""
    x, z, w = coerce(logits, targets, pos_weight, to=inexact)
    return add(multiply(subtract(1, z), x), multiply(add(1, multiply(subtract(w, 1), z)), softplus(negative(x))))


@public
def log_poisson_loss(log_input: Any, targets: Any, compute_full_loss: bool = False) -> Variable:
    """e**log_input - targets * log_input, the negative log likelihood of counts up to a constant.

    With `compute_full_loss` Stirling's approximation of log(targets!) is added where targets are above 1.
    """
    x, z = coerce(log_input, targets, to=inexact)
    loss = subtract(exp(x), multiply(z, x))
    if not compute_full_loss:
        return loss
    many = logical_or(less(z, 0), greater(z, 1))
    safe = where(many, z, 1)
    stirling = add(subtract(multiply(safe, log(safe)), safe), multiply(0.5, log(multiply(2 * math.pi, safe))))
    return add(loss, where(many, stirling, 0))
