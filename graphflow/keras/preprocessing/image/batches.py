"""Batches of images that are transformed at random: from arrays here, from files in `files`."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence as Items
from typing import Any

import numpy as np

from graphflow.graph.errors import GraphError, ShapeError
from graphflow.graph.op import Array
from graphflow.keras import backend as K
from graphflow.keras.arguments import users_stacklevel
from graphflow.keras.preprocessing.image.pictures import array_to_img, known_format
from graphflow.keras.sequences import Sequence

SUBSETS = ("training", "validation")


class Iterator(Sequence):
    """Batches by number, as a Sequence; and by `next`, without end.

    A subclass gives `_get_batches_of_transformed_samples(rows)`.  `seed`: batch number n of the run is made after
    `np.random.seed(seed + n)`.
    """

    white_list_formats = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff")

    def __init__(self, n: int, batch_size: int, shuffle: bool, seed: int | None, **workers: Any) -> None:
        super().__init__(**workers)
        self.n = n
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.batch_index = 0
        self.total_batches_seen = 0
        self.index_array: Array | None = None
        self.lock = threading.Lock()

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        return self._get_batches_of_transformed_samples(self._rows(index))

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        with self.lock:
            rows = self._rows(self.batch_index, new_order=self.batch_index == 0)
            self.batch_index = (self.batch_index + 1) % max(1, len(self))
        return self._get_batches_of_transformed_samples(rows)

    next = __next__

    def on_epoch_end(self) -> None:
        self._set_index_array()

    def reset(self) -> None:
        """Begin again with the first batch."""
        self.batch_index = 0

    def _rows(self, index: int, new_order: bool = False) -> Array:
        """The numbers of a batch's samples."""
        if self.seed is not None:
            np.random.seed(self.seed + self.total_batches_seen)
        self.total_batches_seen += 1
        if self.index_array is None or new_order:
            self._set_index_array()
        assert self.index_array is not None
        return self.index_array[self.batch_size * index : self.batch_size * (index + 1)]

    def _set_index_array(self) -> None:
        self.index_array = np.random.permutation(self.n) if self.shuffle else np.arange(self.n)

    def _get_batches_of_transformed_samples(self, index_array: Array) -> Any:
        raise NotImplementedError(f"{type(self).__name__} gives no _get_batches_of_transformed_samples")


def transformed(x: Array, image_data_generator: Any) -> Array:
    """An image as the generator changes it: at random, then standardised."""
    if image_data_generator is None:
        return x
    changed = image_data_generator.apply_transform(x, image_data_generator.get_random_transform(x.shape))
    standard: Array = image_data_generator.standardize(changed)
    return standard


def save_batch(batch: Array, rows: Array, folder: str, prefix: str, suffix: str, data_format: str) -> None:
    """Write the images of a batch, to be looked at."""
    for image, row in zip(batch, rows, strict=True):
        name = f"{prefix}_{row}_{np.random.randint(10_000)}.{suffix}"
        array_to_img(image, data_format, scale=True).save(os.path.join(folder, name))


def check_subset(subset: str | None) -> None:
    if subset is not None and subset not in SUBSETS:
        raise GraphError(f"no subset is called {subset!r}", hint="use 'training' or 'validation'")


class NumpyArrayIterator(Iterator):
    """Batches of the images in an array, with their labels and weights; what `flow` returns.

    `x`: images, or (images, other arrays) of which the rows come along as they are.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        image_data_generator: Any,
        batch_size: int = 32,
        shuffle: bool = False,
        sample_weight: Any = None,
        seed: int | None = None,
        data_format: str | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        ignore_class_split: bool = False,
        dtype: Any = None,
    ) -> None:
        self.data_format = known_format(data_format)
        self.dtype = dtype or K.floatx()
        check_subset(subset)
        images, others = (x[0], x[1] if isinstance(x[1], list) else [x[1]]) if isinstance(x, tuple | list) else (x, [])
        self.x = np.asarray(images, dtype=self.dtype)
        self.x_misc = [np.asarray(other) for other in others]
        self.y = None if y is None else np.asarray(y)
        self.sample_weight = None if sample_weight is None else np.asarray(sample_weight)
        self._check()
        if subset is not None:
            self._keep(subset, int(len(self.x) * image_data_generator._validation_split), ignore_class_split)
        self.image_data_generator = image_data_generator
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        super().__init__(len(self.x), batch_size, shuffle, seed)

    def _check(self) -> None:
        for name, rows in (("y", self.y), ("sample_weight", self.sample_weight), *(("x[1]", other) for other in self.x_misc)):
            if rows is not None and len(rows) != len(self.x):
                raise ShapeError(f"flow: there are {len(self.x)} images and {len(rows)} rows of {name}")
        if self.x.ndim != 4:
            raise ShapeError(f"flow takes images with four axes, and x has the shape {self.x.shape}")
        channels = self.x.shape[3 if self.data_format == "channels_last" else 1]
        if channels not in (1, 3, 4):
            warnings.warn(f"images of the shape {self.x.shape}, {self.data_format}, have {channels} channels", stacklevel=users_stacklevel())

    def _keep(self, subset: str, split: int, ignore_class_split: bool) -> None:
        """Only the first rows, for validation, or only those behind, for training."""
        if self.y is not None and not ignore_class_split and not np.array_equal(np.unique(self.y[:split]), np.unique(self.y[split:])):
            raise GraphError("the two subsets do not have the same classes", hint="shuffle the samples if they are sorted by class")
        rows = slice(split) if subset == "validation" else slice(split, None)
        self.x, self.x_misc = self.x[rows], [other[rows] for other in self.x_misc]
        self.y = None if self.y is None else self.y[rows]
        self.sample_weight = None if self.sample_weight is None else self.sample_weight[rows]

    def _get_batches_of_transformed_samples(self, index_array: Array) -> Any:
        images = [transformed(self.x[row].astype(self.dtype), self.image_data_generator) for row in index_array]
        batch = np.array(images, dtype=self.dtype) if images else np.zeros((0, *self.x.shape[1:]), self.dtype)
        if self.save_to_dir:
            save_batch(batch, index_array, self.save_to_dir, self.save_prefix, self.save_format, self.data_format)
        x: Any = [batch, *(other[index_array] for other in self.x_misc)] if self.x_misc else batch
        rest: Items[Array] = [rows[index_array] for rows in (self.y, self.sample_weight) if rows is not None]
        return x if self.y is None else (x, *rest)
