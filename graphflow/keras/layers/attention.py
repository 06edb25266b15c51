"""Attention: values weighted by how well their keys fit queries."""

from __future__ import annotations

import functools
import math
import string
from collections.abc import Sequence
from typing import Any

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.variable import Variable, as_variable
from graphflow.keras import activations
from graphflow.keras.arguments import recorded
from graphflow.keras.engine.base_layer import Layer
from graphflow.keras.engine.masks import mask_of
from graphflow.keras.layers.core import Dropout
from graphflow.keras.layers.parameters import describe, parameter
from graphflow.keras.structure import as_list, int_shape
from graphflow.ops.contraction import einsum
from graphflow.ops.creation import iota
from graphflow.ops.elementwise import add, cast, multiply
from graphflow.ops.logic import greater_equal, logical_and
from graphflow.ops.reduction import sum_
from graphflow.ops.shape import expand_dims
from graphflow.ops.transcendental import tanh

__all__ = ["AdditiveAttention", "Attention", "EinsumDense", "MultiHeadAttention"]

SHAPES = ("query_shape", "key_shape", "value_shape")  # in configurations: tf.keras makes the weights from them
MASKED = 1e9  # taken off a score that does not count


def causal_mask(scores: Variable) -> Variable:
    """True where the key (last axis) is not later than the query (the axis before)."""
    return greater_equal(iota(scores.shape[-2:], 0), iota(scores.shape[-2:], 1))


def weights_of(scores: Variable, masks: Sequence[Variable | None], axis: int | Sequence[int] = -1) -> Variable:
    """softmax of the scores that all masks (of a shape that broadcasts) leave."""
    counting = [mask for mask in masks if mask is not None]
    if counting:
        mask = functools.reduce(logical_and, counting)
        scores = add(scores, multiply(add(cast(mask, scores.dtype), -1), MASKED))
    return activations.softmax(scores, axis)


def as_mask(mask: Any) -> Variable | None:
    return None if mask is None else as_variable(mask)


class _Attention(Layer):
    """softmax(scores of queries and keys) @ values, for the inputs [query, value] or [query, value, key]."""

    supports_masking = True

    def __init__(self, dropout: float = 0.0, seed: int | None = None, **kwargs: Any) -> None:
        self.causal = kwargs.pop("causal", False)
        super().__init__(**kwargs)
        self.dropout, self.seed = dropout, seed
        self._drop = Dropout(dropout, seed=seed)

    def call(
        self, inputs: Any, mask: Any = None, training: Any = None, return_attention_scores: bool = False, use_causal_mask: bool = False
    ) -> Any:
        if not isinstance(inputs, list | tuple) or len(inputs) not in (2, 3):
            raise ShapeError(f"{self.name} layer must be called on a list of inputs, namely [query, value] or [query, value, key]")
        query, value, key = inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else inputs[1]
        scores = self._scores(query, key)
        query_mask, value_mask = [*as_list(mask), None, None][:2]
        counts = [None if value_mask is None else expand_dims(value_mask, -2), causal_mask(scores) if use_causal_mask or self.causal else None]
        weights = self._drop.call(weights_of(scores, counts), training)
        result = einsum("nqk,nkd->nqd", weights, value)
        if query_mask is not None:
            result = multiply(result, cast(expand_dims(query_mask, -1), result.dtype))
        return [result, weights] if return_attention_scores else result

    def _scores(self, query: Variable, key: Variable) -> Variable:
        raise NotImplementedError

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return as_list(mask)[0] if mask is not None else None


@recorded
class Attention(_Attention):
    """Luong's attention: scores are products of queries and keys ('dot'), or sums of tanh(query + key) ('concat')."""

    def __init__(self, use_scale: bool = False, score_mode: str = "dot", dropout: float = 0.0, seed: int | None = None, **kwargs: Any) -> None:
        _Attention.__init__(self, dropout, seed, **kwargs)
        if score_mode not in ("dot", "concat"):
            raise GraphError(f"Attention: score_mode is {score_mode!r}", hint="use 'dot' or 'concat'")
        self.use_scale, self.score_mode = use_scale, score_mode

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight("scale", (), initializer="ones") if self.use_scale else None
        concat = self.score_mode == "concat"
        self.concat_score_weight = self.add_weight("concat_score_weight", (), initializer="ones") if concat else None
        self.built = True

    def _scores(self, query: Variable, key: Variable) -> Variable:
        if self.score_mode == "dot":
            scores = einsum("nqd,nkd->nqk", query, key)
            return scores if self.scale is None else multiply(scores, self.scale)
        pairs = add(expand_dims(query, 2), expand_dims(key, 1))
        return multiply(sum_(tanh(pairs if self.scale is None else multiply(pairs, self.scale)), axis=-1), self.concat_score_weight)


@recorded
class AdditiveAttention(_Attention):
    """Bahdanau's attention: scores are sums of scale * tanh(query + key)."""

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        _Attention.__init__(self, dropout, None, **kwargs)
        self.use_scale = use_scale

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight("scale", (input_shape[1][-1],), initializer="glorot_uniform") if self.use_scale else None
        self.built = True

    def _scores(self, query: Variable, key: Variable) -> Variable:
        pairs = tanh(add(expand_dims(query, 2), expand_dims(key, 1)))
        return sum_(pairs if self.scale is None else multiply(pairs, self.scale), axis=-1)


@recorded
class EinsumDense(Layer):
    """activation(einsum(equation, x, kernel) + bias).

    `output_shape`: sizes of the result without the batch, None for those that x has.  `bias_axes`: the labels of the
    result that the bias has.  `...` in the equation stands for axes before the rest.
    """

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.equation, self.bias_axes = equation.replace(" ", ""), bias_axes
        self.partial_output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.activation = activations.get(activation)
        describe(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        describe(self, "bias", bias_initializer, bias_regularizer, bias_constraint)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_shape": list(self.partial_output_shape)}

    def build(self, input_shape: Any) -> None:
        operands, result = self.equation.split("->")
        x, kernel = operands.split(",")
        sizes = dict(zip(reversed(x.replace("...", "")), reversed(input_shape), strict=False))
        given = dict(zip(reversed(result.replace("...", "")), reversed(self.partial_output_shape), strict=False))
        sizes.update({label: n for label, n in given.items() if n is not None})
        missing = [label for label in kernel if sizes.get(label) is None]
        if missing:
            raise ShapeError(f"{self.name}: the size of {missing[0]!r} in {self.equation!r} is not known", hint="output_shape or the input says it")
        self.kernel = parameter(self, "kernel", [sizes[label] for label in kernel])
        labels = self.bias_axes or ""
        after = result[min((result.index(label) for label in labels), default=len(result)) :]
        shape = [sizes[label] if label in labels else 1 for label in after]
        self.bias = parameter(self, "bias", shape, used=bool(labels))
        self.built = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None: the axes of the result need not be those of x."""
        return None

    def call(self, inputs: Any) -> Any:
        y = einsum(self.equation, inputs, self.kernel)
        return self.activation(y if self.bias is None else add(y, self.bias))


@recorded
class MultiHeadAttention(Layer):
    """Attention of `num_heads` heads, each on its own projections of queries, keys and values (Vaswani et al. 2017).

    `layer(query, value, key=value)`.  `attention_mask`: (n, queries, keys), true where a key counts.
    `attention_axes`: the axes of positions, by default all between batch and features.
    """

    supports_masking = True

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: int | Sequence[int] | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.num_heads, self.key_dim, self.value_dim = num_heads, key_dim, value_dim or key_dim
        self.use_bias, self.dropout, self.seed = use_bias, dropout, seed
        self._output_shape: list[int | None] | None = [output_shape] if isinstance(output_shape, int) else None if output_shape is None else list(output_shape)
        self.attention_axes = [attention_axes] if isinstance(attention_axes, int) else attention_axes
        describe(self, "kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        describe(self, "bias", bias_initializer, bias_regularizer, bias_constraint)
        self._drop = Dropout(dropout, seed=seed)
        self._shapes: dict[str, Any] = dict.fromkeys(SHAPES)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_shape": self._output_shape, **self._shapes}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(**{name: value for name, value in config.items() if name not in SHAPES})

    def _projection(self, name: str, rank: int, equation: str, sizes: Sequence[int | None], bias_axes: str) -> EinsumDense:
        given = {f"{part}_{what}": getattr(self, f"{part}_{what}") for part in ("kernel", "bias") for what in ("initializer", "regularizer", "constraint")}
        return EinsumDense(equation, sizes, bias_axes=bias_axes if self.use_bias else None, name=name, **given)

    def _make(self, query: Variable, value: Variable, key: Variable) -> None:
        """The four projections, of the ranks of what comes."""
        self._shapes = dict(zip(SHAPES, map(int_shape, (query, key, value)), strict=True))
        places = string.ascii_lowercase[: query.ndim - 2]
        heads = (*(None,) * len(places), self.num_heads)
        into = f"N{places}X,XHD->N{places}HD"
        self.query_dense = self._projection("query", query.ndim, into, (*heads, self.key_dim), "HD")
        self.key_dense = self._projection("key", key.ndim, into, (*heads, self.key_dim), "HD")
        self.value_dense = self._projection("value", value.ndim, into, (*heads, self.value_dim), "HD")
        features = self._output_shape or list(int_shape(query)[-1:])
        out = string.ascii_uppercase[14 : 14 + len(features)]
        sizes = (*(None,) * len(places), *features)
        self.output_dense = self._projection("attention_output", query.ndim, f"N{places}HD,HD{out}->N{places}{out}", sizes, out)

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: Any = None,
        use_causal_mask: bool = False,
    ) -> Any:
        key = value if key is None else key
        if "query_dense" not in self.__dict__:
            self._make(query, value, key)
        q, k, v = self.query_dense(query), self.key_dense(key), self.value_dense(value)
        queries, keys, scored, summed = self._labels(query.ndim)
        scores = einsum(f"{queries},{keys}->{scored}", multiply(q, 1 / math.sqrt(self.key_dim)), k)
        places = len(self.attention_axes or range(1, query.ndim - 1))
        masks = self._masks(query, value, key, (query_mask, value_mask, key_mask), as_mask(attention_mask))
        masks += [causal_mask(scores)] if use_causal_mask else []
        axes = tuple(range(scores.ndim - places, scores.ndim))
        weights = weights_of(scores, masks, axes if places > 1 else -1)
        result = self.output_dense(einsum(f"{scored},{keys}->{summed}", self._drop.call(weights, training), v))
        return [result, weights] if return_attention_scores else result

    def _labels(self, rank: int) -> tuple[str, str, str, str]:
        """Labels of projected queries, of keys and values, of scores and of the result."""
        axes = {a % rank for a in self.attention_axes or range(1, rank - 1)}
        shared = {a: string.ascii_lowercase[a] for a in range(1, rank - 1) if a not in axes}
        q = "".join(shared.get(a, string.ascii_lowercase[a]) for a in range(1, rank - 1))
        k = "".join(shared.get(a, string.ascii_lowercase[a + 10]) for a in range(1, rank - 1))
        over = [a - 1 for a in sorted(axes)]
        scored = "N" + "".join(shared.values()) + "H" + "".join(q[i] for i in over) + "".join(k[i] for i in over)
        return f"N{q}HD", f"N{k}HD", scored, f"N{q}HD"

    def _masks(self, query: Variable, value: Variable, key: Variable, given: Sequence[Any], attention_mask: Any) -> list[Any]:
        """What may count, each of a shape that broadcasts to (n, heads, queries, keys)."""
        q, v, k = (mask_of(x) if mask is None else mask for x, mask in zip((query, value, key), given, strict=True))
        masks = [] if q is None else [expand_dims(q, (1, 3))]
        masks += [expand_dims(m, (1, 2)) for m in (v, k if k is not v else None) if m is not None]
        if query.ndim != 3:  # such masks tell of one axis of positions
            masks = []
        if attention_mask is not None:
            whole = attention_mask.ndim == 2 * query.ndim - 2
            masks.append(attention_mask if whole else expand_dims(attention_mask, 1))
        return masks

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return mask
