"""Labels as arrays, files in the cache, batches made ahead, pictures of models, the user's own objects."""

from graphflow.keras.cache import get_file
from graphflow.keras.custom_objects import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from graphflow.keras.enqueuers import GeneratorEnqueuer, OrderedEnqueuer, SequenceEnqueuer
from graphflow.keras.plotting import model_to_dot, plot_model
from graphflow.keras.preprocessing.image.pictures import array_to_img, img_to_array, load_img, save_img
from graphflow.keras.preprocessing.sequence import pad_sequences
from graphflow.keras.progress import Progbar
from graphflow.keras.randomness import set_random_seed
from graphflow.keras.sequences import Sequence
from graphflow.keras.utils import (
    conv_utils,
    data_utils,
    generic_utils,
    io_utils,
    layer_utils,
    multi_gpu_utils,
    np_utils,
    test_utils,
    vis_utils,
)
from graphflow.keras.utils.conv_utils import convert_kernel
from graphflow.keras.utils.generic_utils import deserialize_keras_object, has_arg, serialize_keras_object
from graphflow.keras.utils.io_utils import HDF5Matrix
from graphflow.keras.utils.layer_utils import convert_all_kernels_in_model, get_source_inputs, print_summary
from graphflow.keras.utils.multi_gpu_utils import multi_gpu_model
from graphflow.keras.utils.np_utils import normalize, pack_x_y_sample_weight, to_categorical, unpack_x_y_sample_weight

PyDataset = Sequence  # what Keras 3 calls it

__all__ = [
    "CustomObjectScope", "GeneratorEnqueuer", "HDF5Matrix", "OrderedEnqueuer", "Progbar", "PyDataset", "Sequence", "SequenceEnqueuer", "array_to_img",
    "conv_utils", "convert_all_kernels_in_model", "convert_kernel", "custom_object_scope", "data_utils", "deserialize_keras_object", "generic_utils",
    "get_custom_objects", "get_file", "get_registered_name", "get_registered_object", "get_source_inputs", "has_arg", "img_to_array", "io_utils",
    "layer_utils", "load_img", "model_to_dot", "multi_gpu_model", "multi_gpu_utils", "normalize", "np_utils", "pack_x_y_sample_weight", "pad_sequences",
    "plot_model", "print_summary", "register_keras_serializable", "save_img", "serialize_keras_object", "set_random_seed", "test_utils",
    "to_categorical", "unpack_x_y_sample_weight", "vis_utils",
]  # fmt: skip
