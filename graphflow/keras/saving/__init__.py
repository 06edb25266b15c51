"""Model files: HDF5 of Keras 1 and 2, archives of Keras 3, weights, configurations as text.

What is saved here opens in Keras, and the reverse.  Nothing in a file is ever run.
"""

from graphflow.keras.custom_objects import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from graphflow.keras.saving.atomic import OverwriteError
from graphflow.keras.saving.checked import ModelFileError
from graphflow.keras.saving.configs import model_from_config, model_from_json, model_from_yaml, to_json, to_yaml
from graphflow.keras.saving.model_files import load_model, load_weights, save_model, save_weights

__all__ = [
    "CustomObjectScope", "ModelFileError", "OverwriteError", "custom_object_scope", "get_custom_objects", "get_registered_name",
    "get_registered_object", "load_model", "load_weights", "model_from_config", "model_from_json", "model_from_yaml",
    "register_keras_serializable", "save_model", "save_weights", "to_json", "to_yaml",
]  # fmt: skip
