"""Module paths of Keras 1 and 2, by import, by attribute, and under the name `keras`."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from graphflow import keras
from graphflow.frontends import front_ends
from graphflow.keras import historical

PATHS = {  # what programs of 2016 to 2020 import
    "models": "Sequential Model model_from_json load_model", "layers": "Dense Conv2D", "layers.core": "Dense Activation Dropout Flatten",
    "layers.convolutional": "Conv2D", "layers.pooling": "MaxPooling2D", "layers.local": "LocallyConnected1D", "layers.recurrent": "LSTM SimpleRNN GRU",
    "layers.convolutional_recurrent": "ConvLSTM2D", "layers.cudnn_recurrent": "CuDNNLSTM CuDNNGRU", "layers.embeddings": "Embedding", "layers.merge": "concatenate Add",
    "layers.advanced_activations": "LeakyReLU PReLU", "layers.normalization": "BatchNormalization", "layers.noise": "GaussianNoise",
    "layers.wrappers": "TimeDistributed", "engine": "Layer InputSpec Model", "engine.topology": "Layer Input InputSpec get_source_inputs",
    "engine.training": "Model", "engine.base_layer": "Layer", "engine.input_layer": "Input InputLayer", "engine.network": "Network",
    "engine.sequential": "Sequential", "engine.saving": "load_model", "legacy.layers": "Dense", "legacy.interfaces": "legacy_get_updates_support",
    "optimizers": "SGD", "losses": "mse", "objectives": "mean_squared_error", "metrics": "binary_accuracy", "activations": "relu",
    "initializers": "glorot_uniform", "initializations": "glorot_uniform", "regularizers": "l2", "constraints": "maxnorm", "callbacks": "EarlyStopping",
    "backend": "epsilon", "backend.tensorflow_backend": "epsilon", "datasets.mnist": "load_data", "applications.resnet50": "ResNet50 preprocess_input",
    "applications.mobilenetv2": "MobileNetV2", "applications.imagenet_utils": "decode_predictions", "preprocessing.image": "ImageDataGenerator",
    "preprocessing.sequence": "pad_sequences", "preprocessing.text": "Tokenizer", "wrappers.scikit_learn": "KerasClassifier",
    "utils.np_utils": "to_categorical", "utils.generic_utils": "get_custom_objects Progbar", "utils.data_utils": "get_file Sequence",
    "utils.io_utils": "HDF5Matrix", "utils.layer_utils": "print_summary convert_all_kernels_in_model", "utils.vis_utils": "plot_model model_to_dot",
    "utils.visualize_util": "plot model_to_dot", "utils.conv_utils": "convert_kernel", "utils.multi_gpu_utils": "multi_gpu_model",
    "utils.test_utils": "get_test_data",
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_path_has_its_names(path: str) -> None:
    if "recurrent" in path and not hasattr(keras.layers, "ConvLSTM2D"):
        pytest.skip("recurrent layers are not there yet")
    module = importlib.import_module(f"graphflow.keras.{path}")
    missing = [name for name in PATHS[path].split() if not hasattr(module, name)]
    assert not missing
    with pytest.raises(AttributeError):
        module.no_such_name  # noqa: B018


@pytest.mark.smoke
def test_what_is_found_is_the_thing_itself() -> None:
    from graphflow.keras.layers import Dense
    from graphflow.keras.losses import mean_squared_error
    from graphflow.keras.utils import plot_model

    assert importlib.import_module("graphflow.keras.objectives").mean_squared_error is mean_squared_error
    assert importlib.import_module("graphflow.keras.utils.visualize_util").plot is plot_model
    scope: dict[str, object] = {}
    exec("from graphflow.keras.legacy.layers import *\nfrom graphflow.keras.utils.visualize_util import *", scope)
    assert scope["Dense"] is Dense and scope["plot"] is plot_model and "Dense" in dir(importlib.import_module("graphflow.keras.legacy.layers"))


def test_submodules_are_attributes() -> None:
    assert keras.objectives.mse is keras.losses.mse and keras.engine.topology.Layer is keras.layers.Layer
    assert keras.datasets.mnist.load_data and keras.preprocessing.text.Tokenizer and keras.wrappers.scikit_learn.KerasRegressor
    assert keras.applications.resnet50.ResNet50 and keras.legacy.interfaces.legacy_dense_support(len) is len
    for package in (keras, keras.engine, keras.utils):
        with pytest.raises(AttributeError):
            package.nothing  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("graphflow.keras.engine.nothing")


def test_sources_are_modules_that_are_there() -> None:
    for path, sources in historical.PATHS.items():
        for source in sources:
            assert importlib.util.find_spec(f"{historical.KERAS}.{source}"), (path, source)


def test_under_the_name_keras() -> None:
    with front_ends():
        topology, own = importlib.import_module("keras.engine.topology"), importlib.import_module("graphflow.keras.engine.topology")
        assert topology is own
        scope: dict[str, object] = {}
        exec(
            "import keras\nfrom keras.layers.core import Dense\nfrom keras.objectives import mse\nfrom keras.backend.tensorflow_backend import epsilon\n"
            "from keras.utils.visualize_util import plot\nfrom keras.applications.resnet50 import ResNet50\nkeras.initializations.glorot_uniform",
            scope,
        )
        assert scope["Dense"] is keras.layers.Dense
    assert "keras" not in sys.modules or sys.modules["keras"] is not keras


def test_a_script_runs(tmp_path: Path) -> None:
    script = tmp_path / "old.py"
    script.write_text("from keras.legacy.layers import Layer\nfrom keras.datasets import mnist\nimport keras\nprint(Layer is keras.engine.topology.Layer)\n")
    run = subprocess.run([sys.executable, "-m", "graphflow", "run", str(script)], capture_output=True, text=True, cwd=Path(keras.__file__).parents[2])
    assert run.stdout.strip() == "True", run.stderr
