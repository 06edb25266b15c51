"""Arguments that had another name in an older Keras: where -> {old name: new name}."""

from __future__ import annotations

_KERNEL = {
    "init": "kernel_initializer",
    "W_regularizer": "kernel_regularizer",
    "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint",
    "b_constraint": "bias_constraint",
    "bias": "use_bias",
}

RENAMES: dict[str, dict[str, str]] = {
    "Dense": {"output_dim": "units", **_KERNEL},
    "Dropout": {"p": "rate"},
    "Model": {"input": "inputs", "output": "outputs"},
    "fit": {"nb_epoch": "epochs"},
    "to_categorical": {"nb_classes": "num_classes"},
}
