"""ImageDataGenerator: what to do to images at random, and how to standardise them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.op import Array
from graphflow.keras import backend as K
from graphflow.keras.arguments import no_more, users_stacklevel, with_new_names
from graphflow.keras.preprocessing.image.batches import NumpyArrayIterator
from graphflow.keras.preprocessing.image.files import DataFrameIterator, DirectoryIterator
from graphflow.keras.preprocessing.image.pictures import known_format
from graphflow.keras.preprocessing.image.transforms import (
    apply_affine_transform,
    apply_brightness_shift,
    apply_channel_shift,
    flip_axis,
    two_numbers,
)

_IMPLIES = {  # an option -> the one that it needs
    "featurewise_std_normalization": "featurewise_center",
    "samplewise_std_normalization": "samplewise_center",
    "zca_whitening": "featurewise_center",
}


class ImageDataGenerator:
    """Batches of images, transformed at random and standardised.

    Standardising: `rescale` (a factor), `featurewise_center` and `featurewise_std_normalization` (by the means and
    deviations that `fit` finds), `samplewise_...` (by each image's own), `zca_whitening`, `preprocessing_function`
    (called with each image, first).  At random: `rotation_range` and `shear_range` in degrees; `width_shift_range` and
    `height_shift_range` in parts of the image, in pixels from 1 on, or a list to choose from; `zoom_range` z for
    1 - z .. 1 + z, or (low, high); `channel_shift_range`; `brightness_range` (low, high); flips.  `fill_mode`, `cval` and
    `interpolation_order` say what comes from outside and between pixels.  `validation_split`: the part of samples that
    subset='validation' has.
    """

    def __init__(
        self,
        featurewise_center: bool = False,
        samplewise_center: bool = False,
        featurewise_std_normalization: bool = False,
        samplewise_std_normalization: bool = False,
        zca_whitening: bool = False,
        zca_epsilon: float = 1e-6,
        rotation_range: float = 0,
        width_shift_range: Any = 0.0,
        height_shift_range: Any = 0.0,
        brightness_range: Sequence[float] | None = None,
        shear_range: float = 0.0,
        zoom_range: Any = 0.0,
        channel_shift_range: float = 0.0,
        fill_mode: str = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Callable[[Array], Array] | None = None,
        data_format: str | None = None,
        validation_split: float = 0.0,
        interpolation_order: int = 1,
        dtype: Any = None,
        **renamed: Any,
    ) -> None:
        arguments = with_new_names("ImageDataGenerator", renamed)
        self.data_format = known_format(arguments.pop("data_format", data_format))
        no_more("ImageDataGenerator", arguments)
        if validation_split and not 0 < validation_split < 1:
            raise GraphError(f"validation_split is {validation_split}", hint="it is a part between 0 and 1")
        self.featurewise_center = featurewise_center
        self.samplewise_center = samplewise_center
        self.featurewise_std_normalization = featurewise_std_normalization and not zca_whitening
        self.samplewise_std_normalization = samplewise_std_normalization
        self.zca_whitening = zca_whitening
        self.zca_epsilon = zca_epsilon
        self._enable_what_is_implied()
        self.rotation_range = rotation_range
        self.width_shift_range = width_shift_range
        self.height_shift_range = height_shift_range
        self.brightness_range = None if brightness_range is None else two_numbers(brightness_range, "brightness_range")
        self.shear_range = shear_range
        self.zoom_range = [1 - zoom_range, 1 + zoom_range] if np.ndim(zoom_range) == 0 else list(two_numbers(zoom_range, "zoom_range"))
        self.channel_shift_range = channel_shift_range
        self.fill_mode = fill_mode
        self.cval = cval
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.rescale = rescale
        self.preprocessing_function = preprocessing_function
        self.interpolation_order = interpolation_order
        self.dtype = dtype or K.floatx()
        self._validation_split = validation_split
        self.channel_axis, self.row_axis, self.col_axis = (1, 2, 3) if self.data_format == "channels_first" else (3, 1, 2)
        self.mean: Array | None = None
        self.std: Array | None = None
        self.zca_whitening_matrix: Array | None = None

    def _enable_what_is_implied(self) -> None:
        for option, needed in _IMPLIES.items():
            if getattr(self, option) and not getattr(self, needed):
                setattr(self, needed, True)
                warnings.warn(f"ImageDataGenerator: {option} needs {needed}, which is on now", stacklevel=users_stacklevel())

    # --- batches -----------------------------------------------------------------------------------
    def flow(
        self, x: Any, y: Any = None, batch_size: int = 32, shuffle: bool = True, sample_weight: Any = None, seed: int | None = None,
        save_to_dir: str | None = None, save_prefix: str = "", save_format: str = "png", ignore_class_split: bool = False, subset: str | None = None,
    ) -> NumpyArrayIterator:  # fmt: skip
        """Batches of the images in an array, with their labels and weights, without end.

        `save_to_dir`: a folder to write what comes out to.
        """
        return NumpyArrayIterator(
            x, y, self, batch_size, shuffle, sample_weight, seed, self.data_format, save_to_dir, save_prefix, save_format, subset, ignore_class_split, self.dtype
        )

    def flow_from_directory(
        self, directory: Any, target_size: Sequence[int] = (256, 256), color_mode: str = "rgb", classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical", batch_size: int = 32, shuffle: bool = True, seed: int | None = None, save_to_dir: str | None = None,
        save_prefix: str = "", save_format: str = "png", follow_links: bool = False, subset: str | None = None, interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
    ) -> DirectoryIterator:  # fmt: skip
        """Batches of the images below a folder with a folder for each class (see DirectoryIterator)."""
        return DirectoryIterator(
            directory, self, target_size, color_mode, classes, class_mode, batch_size, shuffle, seed, self.data_format, save_to_dir, save_prefix, save_format,
            follow_links, subset, interpolation, keep_aspect_ratio, self.dtype,
        )  # fmt: skip

    def flow_from_dataframe(
        self, dataframe: Any, directory: Any = None, x_col: str = "filename", y_col: Any = "class", weight_col: str | None = None,
        target_size: Sequence[int] = (256, 256), color_mode: str = "rgb", classes: Sequence[Any] | None = None, class_mode: str | None = "categorical",
        batch_size: int = 32, shuffle: bool = True, seed: int | None = None, save_to_dir: str | None = None, save_prefix: str = "", save_format: str = "png",
        subset: str | None = None, interpolation: str = "nearest", validate_filenames: bool = True, **older: Any,
    ) -> DataFrameIterator:  # fmt: skip
        """Batches of the images that a DataFrame lists (see DataFrameIterator)."""
        for name in ("has_ext", "drop_duplicates", "sort"):  # of Keras 2.2, without effect since
            older.pop(name, None)
        no_more("flow_from_dataframe", older)
        return DataFrameIterator(
            dataframe, directory, self, x_col, y_col, weight_col, target_size, color_mode, classes, class_mode, batch_size, shuffle, seed, self.data_format,
            save_to_dir, save_prefix, save_format, subset, interpolation, False, self.dtype, validate_filenames,
        )  # fmt: skip

    # --- at random ---------------------------------------------------------------------------------
    def get_random_transform(self, img_shape: Sequence[int], seed: int | None = None) -> dict[str, Any]:
        """The amounts drawn for an image of this shape, by name."""
        if seed is not None:
            np.random.seed(seed)
        drawn: dict[str, Any] = {"theta": _within(self.rotation_range)}
        drawn["tx"] = _shift(self.height_shift_range, img_shape[self.row_axis - 1])
        drawn["ty"] = _shift(self.width_shift_range, img_shape[self.col_axis - 1])
        drawn["shear"] = _within(self.shear_range)
        low, high = self.zoom_range
        drawn["zx"], drawn["zy"] = (1, 1) if low == high == 1 else np.random.uniform(low, high, 2)
        drawn["flip_horizontal"] = (np.random.random() < 0.5) * self.horizontal_flip
        drawn["flip_vertical"] = (np.random.random() < 0.5) * self.vertical_flip
        drawn["channel_shift_intensity"] = _within(self.channel_shift_range) if self.channel_shift_range != 0 else None
        drawn["brightness"] = np.random.uniform(*self.brightness_range) if self.brightness_range is not None else None
        return drawn

    def apply_transform(self, x: Array, transform_parameters: dict[str, Any]) -> Array:
        """An image transformed by given amounts, those of `get_random_transform`; missing ones change nothing."""
        given = transform_parameters
        rows, columns, channels = self.row_axis - 1, self.col_axis - 1, self.channel_axis - 1
        x = apply_affine_transform(
            x, given.get("theta", 0), given.get("tx", 0), given.get("ty", 0), given.get("shear", 0), given.get("zx", 1), given.get("zy", 1),
            rows, columns, channels, self.fill_mode, self.cval, self.interpolation_order,
        )  # fmt: skip
        if given.get("channel_shift_intensity") is not None:
            x = apply_channel_shift(x, given["channel_shift_intensity"], channels)
        if given.get("flip_horizontal", False):
            x = flip_axis(x, columns)
        if given.get("flip_vertical", False):
            x = flip_axis(x, rows)
        if given.get("brightness") is not None:
            x = apply_brightness_shift(x, given["brightness"], False)
        return x

    def random_transform(self, x: Array, seed: int | None = None) -> Array:
        """An image transformed by amounts that are drawn."""
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    # --- standardising -----------------------------------------------------------------------------
    def standardize(self, x: Array) -> Array:
        """An image, or a batch, standardised; an array of floats is changed in place."""
        if self.preprocessing_function is not None:
            x = self.preprocessing_function(x)
        if self.rescale:
            x *= self.rescale
        if self.samplewise_center:
            x -= np.mean(x, keepdims=True)
        if self.samplewise_std_normalization:
            x /= np.std(x, keepdims=True) + 1e-6
        if self.featurewise_center and self._found(self.mean, "featurewise_center"):
            x -= self.mean
        if self.featurewise_std_normalization and self._found(self.std, "featurewise_std_normalization"):
            x /= np.add(self.std, 1e-6)  # type: ignore[arg-type]
        if self.zca_whitening and self._found(self.zca_whitening_matrix, "zca_whitening"):
            x = np.reshape(x.reshape(-1, math.prod(x.shape[-3:])) @ self.zca_whitening_matrix, x.shape)
        return x

    @staticmethod
    def _found(statistic: Array | None, option: str) -> bool:
        if statistic is None:
            warnings.warn(f"ImageDataGenerator: {option} waits for statistics: call fit(images) first", stacklevel=users_stacklevel())
        return statistic is not None

    def fit(self, x: Any, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Find the statistics of images.  `augment`: of images transformed at random, `rounds` times each."""
        x = np.array(x, dtype=self.dtype)
        if x.ndim != 4:
            raise ShapeError(f"fit takes images with four axes, and x has the shape {x.shape}")
        if seed is not None:
            np.random.seed(seed)
        if self.rescale:
            x *= self.rescale
        if augment:
            x = np.array([self.random_transform(image) for _ in range(rounds) for image in x], dtype=self.dtype)
        of_channels = [x.shape[self.channel_axis] if axis == self.channel_axis else 1 for axis in (1, 2, 3)]
        others = (0, self.row_axis, self.col_axis)
        if self.featurewise_center:
            self.mean = np.reshape(np.mean(x, axis=others), of_channels)
            x -= self.mean
        if self.featurewise_std_normalization:
            self.std = np.reshape(np.std(x, axis=others), of_channels)
            x /= self.std + 1e-6
        if self.zca_whitening:
            directions, sizes, _ = np.linalg.svd(x.reshape(len(x), -1).T, full_matrices=False)
            self.zca_whitening_matrix = (directions * (np.sqrt(len(x)) / (sizes + self.zca_epsilon))) @ directions.T


def _within(reach: float) -> float:
    """A number from -reach to reach."""
    return np.random.uniform(-reach, reach) if reach else 0


def _shift(reach: Any, size: int) -> float:
    """How far to move along an axis: one of a list, up to whole pixels, or a part of the axis; either way round."""
    if not np.any(reach):
        return 0
    if np.ndim(reach) or isinstance(reach, int):
        moved = np.random.choice(reach) * np.random.choice([-1, 1])
    else:
        moved = np.random.uniform(-reach, reach)
    return float(moved * size if np.max(reach) < 1 else moved)
