"""Images as arrays: files, random transformations, and batches of both."""

from graphflow.keras.preprocessing.image.batches import Iterator, NumpyArrayIterator
from graphflow.keras.preprocessing.image.files import DataFrameIterator, DirectoryIterator
from graphflow.keras.preprocessing.image.generator import ImageDataGenerator
from graphflow.keras.preprocessing.image.pictures import (
    array_to_img,
    img_to_array,
    list_pictures,
    load_img,
    save_img,
    smart_resize,
)
from graphflow.keras.preprocessing.image.transforms import (
    apply_affine_transform,
    apply_brightness_shift,
    apply_channel_shift,
    apply_transform,
    flip_axis,
    random_brightness,
    random_channel_shift,
    random_rotation,
    random_shear,
    random_shift,
    random_zoom,
    transform_matrix_offset_center,
)

__all__ = [
    "DataFrameIterator", "DirectoryIterator", "ImageDataGenerator", "Iterator", "NumpyArrayIterator", "apply_affine_transform",
    "apply_brightness_shift", "apply_channel_shift", "apply_transform", "array_to_img", "flip_axis", "img_to_array", "list_pictures",
    "load_img", "random_brightness", "random_channel_shift", "random_rotation", "random_shear", "random_shift", "random_zoom",
    "save_img", "smart_resize", "transform_matrix_offset_center",
]  # fmt: skip
