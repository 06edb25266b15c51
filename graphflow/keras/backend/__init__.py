"""`K`: the functions that Keras's own code and users' layers are written with, by name.

The values of weights and of optimizers are in the default Store, whatever Session is open.
"""

import builtins

from graphflow.keras.backend.arithmetic import (
    all,
    any,
    argmax,
    argmin,
    clip,
    cumprod,
    cumsum,
    elu,
    hard_sigmoid,
    l2_normalize,
    logsumexp,
    max,
    mean,
    min,
    pow,
    prod,
    relu,
    round,
    softmax,
    sqrt,
    std,
    sum,
    var,
)
from graphflow.keras.backend.arrays import (
    arange,
    batch_dot,
    batch_flatten,
    concatenate,
    dot,
    expand_dims,
    flatten,
    gather,
    in_top_k,
    one_hot,
    permute_dimensions,
    repeat,
    repeat_elements,
    reshape,
    reverse,
    slice,
    squeeze,
    stack,
    tile,
)
from graphflow.keras.backend.control import foldl, foldr, map_fn, switch
from graphflow.keras.backend.ctc import ctc_batch_cost, ctc_decode
from graphflow.keras.backend.functions import (
    Function,
    eval,
    function,
    get_session,
    gradients,
    manual_variable_initialization,
    name_scope,
    print_tensor,
    set_session,
    stop_gradient,
)
from graphflow.keras.backend.images import (
    asymmetric_temporal_padding,
    bias_add,
    conv1d,
    conv2d,
    conv2d_transpose,
    conv3d,
    conv3d_transpose,
    depthwise_conv2d,
    local_conv1d,
    local_conv2d,
    pool2d,
    pool3d,
    resize_images,
    resize_volumes,
    separable_conv1d,
    separable_conv2d,
    spatial_2d_padding,
    spatial_3d_padding,
    temporal_padding,
)
from graphflow.keras.backend.neural import (
    batch_normalization,
    binary_crossentropy,
    categorical_crossentropy,
    dropout,
    normalize_batch_in_training,
    random_bernoulli,
    random_binomial,
    random_normal,
    random_uniform,
    sparse_categorical_crossentropy,
    truncated_normal,
)
from graphflow.keras.backend.recurrence import rnn
from graphflow.keras.backend.settings import _get_available_gpus as _get_available_gpus
from graphflow.keras.backend.settings import (
    backend,
    clear_session,
    epsilon,
    floatx,
    get_uid,
    image_data_format,
    image_dim_ordering,
    normalize_data_format,
    reset_uids,
    set_epsilon,
    set_floatx,
    set_image_data_format,
    set_image_dim_ordering,
)
from graphflow.keras.backend.variables import (
    batch_get_value,
    batch_set_value,
    cast,
    cast_to_floatx,
    constant,
    count_params,
    dtype,
    eye,
    get_value,
    get_variable_shape,
    identity,
    is_keras_tensor,
    is_placeholder,
    is_sparse,
    is_tensor,
    is_variable,
    moving_average_update,
    ndim,
    ones,
    ones_like,
    placeholder,
    random_normal_variable,
    random_uniform_variable,
    set_value,
    shape,
    size,
    to_dense,
    update,
    update_add,
    update_sub,
    variable,
    zeros,
    zeros_like,
)
from graphflow.keras.phase import in_test_phase, in_train_phase, learning_phase, set_learning_phase
from graphflow.keras.structure import int_shape
from graphflow.ops.elementwise import abs_, maximum, minimum, square
from graphflow.ops.logic import equal, greater, greater_equal, less, less_equal, not_equal
from graphflow.ops.nn import softplus, softsign
from graphflow.ops.rounding import sign
from graphflow.ops.shape import transpose
from graphflow.ops.transcendental import cos, exp, log, sigmoid, sin, tanh

# Keras's name for what has an underscore here, and the names of Keras 1
abs = abs_
lesser, lesser_equal = less, less_equal
deconv2d = conv2d_transpose
atrous_conv2d = conv2d
_BACKEND = "tensorflow"  # what Keras 1 and 2 had before, or instead of, backend()
py_all, py_any, py_sum, py_slice = builtins.all, builtins.any, builtins.sum, builtins.slice

__all__ = [
    "Function", "abs", "all", "any", "arange", "argmax", "argmin", "asymmetric_temporal_padding", "atrous_conv2d",
    "backend", "batch_dot", "batch_flatten", "batch_get_value", "batch_normalization", "batch_set_value", "bias_add",
    "binary_crossentropy", "cast", "cast_to_floatx", "categorical_crossentropy", "clear_session", "clip",
    "concatenate", "constant", "conv1d", "conv2d", "conv2d_transpose", "conv3d", "conv3d_transpose", "cos",
    "count_params", "ctc_batch_cost", "ctc_decode", "cumprod", "cumsum", "deconv2d", "depthwise_conv2d", "dot",
    "dropout", "dtype", "elu", "epsilon", "equal", "eval", "exp", "expand_dims", "eye", "flatten", "floatx", "foldl",
    "foldr", "function", "gather", "get_session", "get_uid", "get_value", "get_variable_shape", "gradients",
    "greater", "greater_equal", "hard_sigmoid", "identity", "image_data_format", "image_dim_ordering",
    "in_test_phase", "in_top_k", "in_train_phase", "int_shape", "is_keras_tensor", "is_placeholder", "is_sparse",
    "is_tensor", "is_variable", "l2_normalize", "learning_phase", "less", "less_equal", "lesser", "lesser_equal",
    "local_conv1d", "local_conv2d", "log", "logsumexp", "manual_variable_initialization", "map_fn", "max", "maximum",
    "mean", "min", "minimum", "moving_average_update", "name_scope", "ndim", "normalize_batch_in_training",
    "normalize_data_format", "not_equal", "one_hot", "ones", "ones_like", "permute_dimensions", "placeholder",
    "pool2d", "pool3d", "pow", "print_tensor", "prod", "py_all", "py_any", "py_slice", "py_sum", "random_bernoulli",
    "random_binomial", "random_normal", "random_normal_variable", "random_uniform", "random_uniform_variable",
    "relu", "repeat", "repeat_elements", "reset_uids", "reshape", "resize_images", "resize_volumes", "reverse",
    "rnn", "round", "separable_conv1d", "separable_conv2d", "set_epsilon", "set_floatx", "set_image_data_format",
    "set_image_dim_ordering", "set_learning_phase", "set_session", "set_value", "shape", "sigmoid", "sign", "sin",
    "size", "slice", "softmax", "softplus", "softsign", "sparse_categorical_crossentropy", "spatial_2d_padding",
    "spatial_3d_padding", "sqrt", "square", "squeeze", "stack", "std", "stop_gradient", "sum", "switch", "tanh",
    "temporal_padding", "tile", "to_dense", "transpose", "truncated_normal", "update", "update_add", "update_sub",
    "var", "variable", "zeros", "zeros_like",
]  # fmt: skip
