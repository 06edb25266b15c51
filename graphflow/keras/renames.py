"""Arguments that had another name in an older Keras: where -> {old name: new name}, None for what is no more."""

from __future__ import annotations

from collections.abc import Mapping

Names = Mapping[str, str | None]

_WEIGHTS = {"W_regularizer": "kernel_regularizer", "b_regularizer": "bias_regularizer", "W_constraint": "kernel_constraint", "b_constraint": "bias_constraint"}
_KERNEL = {"init": "kernel_initializer", **_WEIGHTS, "bias": "use_bias"}
_FORMAT = {"dim_ordering": "data_format"}
_CONV1D = {"nb_filter": "filters", "filter_length": "kernel_size", "subsample_length": "strides", "border_mode": "padding", **_KERNEL}
_CONV = {"nb_filter": "filters", "subsample": "strides", "border_mode": "padding", **_FORMAT, **_KERNEL}
_POOL1D = {"pool_length": "pool_size", "stride": "strides", "border_mode": "padding"}
_POOL = {"border_mode": "padding", **_FORMAT}
_DILATION = {"atrous_rate": "dilation_rate"}
_SEPARABLE = {
    "nb_filter": "filters", "subsample": "strides", "border_mode": "padding", **_FORMAT, "bias": "use_bias",
    "b_regularizer": "bias_regularizer", "b_constraint": "bias_constraint",
}  # fmt: skip

_RECURRENT = {
    "output_dim": "units", **_KERNEL, "inner_init": "recurrent_initializer", "U_regularizer": "recurrent_regularizer",
    "U_constraint": "recurrent_constraint", "dropout_W": "dropout", "dropout_U": "recurrent_dropout",
}  # fmt: skip
_GATED = {**_RECURRENT, "inner_activation": "recurrent_activation", "consume_less": "implementation"}

_CONV_LSTM = {
    **{name: new for name, new in _GATED.items() if name != "output_dim"}, "nb_filter": "filters", "subsample": "strides", "border_mode": "padding", **_FORMAT,
    "consume_less": None,
}  # fmt: skip

_GENERATOR = {"max_q_size": "max_queue_size", "nb_worker": "workers", "pickle_safe": "use_multiprocessing"}

RENAMES: dict[str, Names] = {
    "Dense": {"output_dim": "units", **_KERNEL},
    **{layer: {"p": "rate"} for layer in ["Dropout", "SpatialDropout1D", "GaussianDropout", "AlphaDropout"]},
    **{layer: {"p": "rate", **_FORMAT} for layer in ["SpatialDropout2D", "SpatialDropout3D"]},
    "GaussianNoise": {"sigma": "stddev"},
    "Conv1D": {**_CONV1D, **_DILATION},
    **{layer: {**_CONV, **_DILATION} for layer in ["Conv2D", "Conv3D"]},
    "LocallyConnected1D": _CONV1D,
    "LocallyConnected2D": _CONV,
    **{layer: {**_CONV, "output_shape": None} for layer in ["Conv2DTranspose", "Conv3DTranspose"]},
    "SeparableConv2D": _SEPARABLE,
    **dict.fromkeys(["MaxPooling1D", "AveragePooling1D"], _POOL1D),
    **dict.fromkeys(["MaxPooling2D", "AveragePooling2D", "MaxPooling3D", "AveragePooling3D"], _POOL),
    **dict.fromkeys(["GlobalMaxPooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling3D", "GlobalAveragePooling3D"], _FORMAT),
    **dict.fromkeys(["ZeroPadding2D", "ZeroPadding3D", "Cropping2D", "Cropping3D", "UpSampling2D", "UpSampling3D"], _FORMAT),
    "UpSampling1D": {"length": "size"},
    "Embedding": {
        "init": "embeddings_initializer", "W_regularizer": "embeddings_regularizer", "W_constraint": "embeddings_constraint", "dropout": None,
    },
    "BatchNormalization": {"beta_init": "beta_initializer", "gamma_init": "gamma_initializer", "mode": None},
    "PReLU": {"init": "alpha_initializer"},
    "SimpleRNN": {**_RECURRENT, "consume_less": None, "implementation": None},
    **dict.fromkeys(["LSTM", "GRU"], _GATED),
    "ConvLSTM2D": _CONV_LSTM,
    "MaxNorm": {"m": "max_value"},
    "MinMaxNorm": {"low": "min_value", "high": "max_value"},
    "Orthogonal": {"scale": "gain"},
    "Model": {"input": "inputs", "output": "outputs"},
    "fit": {"nb_epoch": "epochs"},
    "fit_generator": {"nb_epoch": "epochs", "nb_val_samples": "validation_steps", **_GENERATOR},
    "evaluate_generator": {"val_samples": "steps", **_GENERATOR},
    "predict_generator": {"val_samples": "steps", **_GENERATOR},
    "ReduceLROnPlateau": {"epsilon": "min_delta"},
    "ImageDataGenerator": {"dim_ordering": "data_format"},
    "load_data": {"nb_words": "num_words"},
    "Tokenizer": {"nb_words": "num_words"},
    "to_categorical": {"nb_classes": "num_classes"},
}  # fmt: skip

# values that went by another name together with their argument
VALUES: dict[str, Mapping[str, object]] = {
    "dim_ordering": {"tf": "channels_last", "th": "channels_first", "default": None},
    "consume_less": {"cpu": 0, "mem": 1, "gpu": 2},
}

# names that a newer Keras gave; they are taken without a word
NEWER_NAMES: dict[str, Names] = {"LeakyReLU": {"negative_slope": "alpha"}}

# arguments that only newer versions read: they are not written while they have these values
LATER: dict[str, dict[str, object]] = {
    **{f"Conv{rank}D": {"groups": 1} for rank in (1, 2, 3)},
    **{f"Global{kind}Pooling{rank}D": {"keepdims": False} for kind in ("Max", "Average") for rank in (1, 2, 3)},
    **{f"LocallyConnected{rank}D": {"implementation": 1} for rank in (1, 2)},
    "RNN": {"activity_regularizer": None},
    **{layer: {"seed": None} for layer in ("GaussianNoise", "GaussianDropout", "MultiHeadAttention")},
}

# the order of arguments in Keras 1, where it is another than today's
ORDERS_OF_KERAS_1: dict[str, tuple[str, ...]] = {
    "Dense": ("output_dim", "init", "activation", "weights"),
    "Conv1D": ("nb_filter", "filter_length", "init", "activation", "weights", "border_mode", "subsample_length"),
    "Conv2D": ("nb_filter", "nb_row", "nb_col", "init", "activation", "weights", "border_mode", "subsample", "dim_ordering"),
    "Conv3D": ("nb_filter", "kernel_dim1", "kernel_dim2", "kernel_dim3", "init", "activation", "weights", "border_mode", "subsample", "dim_ordering"),
    "Conv2DTranspose": ("nb_filter", "nb_row", "nb_col", "output_shape", "init", "activation", "weights", "border_mode", "subsample", "dim_ordering"),
    "SeparableConv2D": ("nb_filter", "nb_row", "nb_col", "init", "activation", "weights", "border_mode", "subsample", "depth_multiplier", "dim_ordering"),
    "LocallyConnected1D": ("nb_filter", "filter_length", "init", "activation", "weights", "border_mode", "subsample_length"),
    "LocallyConnected2D": ("nb_filter", "nb_row", "nb_col", "init", "activation", "weights", "border_mode", "subsample", "dim_ordering"),
    "Embedding": ("input_dim", "output_dim", "init", "input_length"),
    "BatchNormalization": ("epsilon", "mode", "axis", "momentum", "weights", "beta_init", "gamma_init"),
    "PReLU": ("init", "weights", "shared_axes"),
    "SimpleRNN": ("output_dim", "init", "inner_init", "activation"),
    "LSTM": ("output_dim", "init", "inner_init", "forget_bias_init", "activation", "inner_activation"),
    "GRU": ("output_dim", "init", "inner_init", "activation", "inner_activation"),
}
