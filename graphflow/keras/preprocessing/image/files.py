"""Batches of image files: a folder for each class, or a table of files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator as Iterates
from collections.abc import Sequence as Items
from typing import Any, ClassVar

import numpy as np

from graphflow.graph.errors import GraphError
from graphflow.graph.op import Array
from graphflow.keras import backend as K
from graphflow.keras.arguments import users_stacklevel
from graphflow.keras.preprocessing.image.batches import Iterator, check_subset, save_batch, transformed
from graphflow.keras.preprocessing.image.pictures import img_to_array, known_format, load_img

_CHANNELS = {"rgb": 3, "rgba": 4, "grayscale": 1}
_BY_CLASS = ("categorical", "binary", "sparse")


class FileIterator(Iterator):
    """What both have in common: files read, resized and transformed, and their labels as `class_mode` says.

    A subclass fills `filenames`, `filepaths`, `classes` and `class_indices`, or `_targets`.
    """

    allowed_class_modes: ClassVar[tuple[str | None, ...]] = ()
    filenames: list[str]
    filepaths: list[str]
    classes: Any = None
    class_indices: dict[Any, int]
    _targets: Any = None
    sample_weight: Any = None

    def __init__(
        self, image_data_generator: Any, target_size: Items[int], color_mode: str, class_mode: str | None, data_format: str | None, save_to_dir: str | None,
        save_prefix: str, save_format: str, subset: str | None, interpolation: str, keep_aspect_ratio: bool, dtype: Any,
    ) -> None:  # fmt: skip
        if color_mode not in _CHANNELS:
            raise GraphError(f"no color_mode is called {color_mode!r}", hint=f"use one of {', '.join(_CHANNELS)}")
        if class_mode not in self.allowed_class_modes:
            raise GraphError(f"no class_mode is called {class_mode!r}", hint=f"use one of {', '.join(map(str, self.allowed_class_modes))}")
        check_subset(subset)
        self.image_data_generator = image_data_generator
        self.target_size = tuple(target_size)
        self.color_mode = color_mode
        self.class_mode = class_mode
        self.data_format = known_format(data_format)
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        self.subset = subset
        self.interpolation = interpolation
        self.keep_aspect_ratio = keep_aspect_ratio
        self.dtype = dtype or K.floatx()
        channels = _CHANNELS[color_mode]
        self.image_shape = (*self.target_size, channels) if self.data_format == "channels_last" else (channels, *self.target_size)

    def _begin(self, batch_size: int, shuffle: bool, seed: int | None) -> None:
        """Once the files are known."""
        self.samples = len(self.filenames)
        super().__init__(self.samples, batch_size, shuffle, seed)

    @property
    def num_classes(self) -> int:
        return len(self.class_indices)

    @property
    def labels(self) -> Any:
        return self.classes if self._targets is None else self._targets

    def _kept(self, count: int) -> slice:
        """Which of `count` samples, in order, the subset has: the first for validation, those behind for training."""
        at = int(count * self.image_data_generator._validation_split) if self.subset else 0
        return slice(at) if self.subset == "validation" else slice(at, None)

    def _get_batches_of_transformed_samples(self, index_array: Array) -> Any:
        batch = np.zeros((len(index_array), *self.image_shape), self.dtype)
        for place, row in enumerate(index_array):
            image = load_img(self.filepaths[row], False, self.color_mode, self.target_size, self.interpolation, self.keep_aspect_ratio)
            batch[place] = transformed(img_to_array(image, self.data_format), self.image_data_generator)
            image.close()
        if self.save_to_dir:
            save_batch(batch, index_array, self.save_to_dir, self.save_prefix, self.save_format, self.data_format)
        if self.class_mode is None:
            return batch
        y = self._labels_of(batch, index_array)
        return (batch, y) if self.sample_weight is None else (batch, y, self.sample_weight[index_array])

    def _labels_of(self, batch: Array, rows: Array) -> Any:
        if self.class_mode == "input":
            return batch.copy()
        if self.class_mode == "multi_output":
            return [target[rows] for target in self._targets]
        if self.class_mode in ("raw", "other"):
            return self._targets[rows]
        if self.class_mode in ("binary", "sparse"):
            return np.array([self.classes[row] for row in rows], dtype=self.dtype)
        y = np.zeros((len(rows), self.num_classes), self.dtype)
        for place, row in enumerate(rows):
            y[place, self.classes[row]] = 1  # one class, or a list of them
        return y


class DirectoryIterator(FileIterator):
    """Batches of the images below a folder, in which each class has a folder; what `flow_from_directory` returns.

    `classes`: names of the folders in the order of their numbers, all in alphabetical order by default.
    `class_mode`: 'categorical' (one-hot), 'binary', 'sparse', 'input' (the images themselves) or None for no labels.
    """

    allowed_class_modes = (*_BY_CLASS, "input", None)

    def __init__(
        self,
        directory: Any,
        image_data_generator: Any,
        target_size: Items[int] = (256, 256),
        color_mode: str = "rgb",
        classes: Items[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        data_format: str | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        dtype: Any = None,
    ) -> None:
        FileIterator.__init__(
            self, image_data_generator, target_size, color_mode, class_mode, data_format, save_to_dir, save_prefix, save_format, subset, interpolation,
            keep_aspect_ratio, dtype,
        )  # fmt: skip
        self.directory = os.fspath(directory)
        if not os.path.isdir(self.directory):
            raise GraphError(f"there is no folder {self.directory}")
        named = list(classes or sorted(entry.name for entry in os.scandir(self.directory) if entry.is_dir()))
        self.class_indices = {name: number for number, name in enumerate(named)}
        found: list[tuple[str, int]] = []
        for name, number in self.class_indices.items():
            files = list(self._files(name, follow_links))
            found += [(file, number) for file in files[self._kept(len(files))]]
        self.filenames = [file for file, _ in found]
        self.filepaths = [os.path.join(self.directory, file) for file in self.filenames]
        self.classes = np.array([number for _, number in found], dtype=np.int32)
        print(f"Found {len(found)} images belonging to {self.num_classes} classes.")
        self._begin(batch_size, shuffle, seed)

    def _files(self, name: str, follow_links: bool) -> Iterates[str]:
        """The images of a class, relative to the folder, in a fixed order."""
        top = os.path.join(self.directory, name)
        for root, _, files in sorted(os.walk(top, followlinks=follow_links)):
            for file in sorted(files):
                if file.lower().endswith(self.white_list_formats):
                    yield os.path.join(name, os.path.relpath(os.path.join(root, file), top))


class DataFrameIterator(FileIterator):
    """Batches of the images that a pandas DataFrame lists; what `flow_from_dataframe` returns.

    `x_col`: the column of file names, relative to `directory`.  `y_col`: that of labels, or a list of columns.
    `class_mode`: 'categorical', 'binary', 'sparse', 'input', 'raw' (the columns' values), 'multi_output' (an array for
    each column), or None for no labels.
    """

    allowed_class_modes = (*_BY_CLASS, "input", "multi_output", "raw", "other", None)

    def __init__(
        self,
        dataframe: Any,
        directory: Any = None,
        image_data_generator: Any = None,
        x_col: str = "filename",
        y_col: Any = "class",
        weight_col: str | None = None,
        target_size: Items[int] = (256, 256),
        color_mode: str = "rgb",
        classes: Items[Any] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        data_format: str | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        dtype: Any = None,
        validate_filenames: bool = True,
    ) -> None:
        FileIterator.__init__(
            self, image_data_generator, target_size, color_mode, class_mode, data_format, save_to_dir, save_prefix, save_format, subset, interpolation,
            keep_aspect_ratio, dtype,
        )  # fmt: skip
        self.directory = os.fspath(directory) if directory is not None else ""
        table = self._with_files(dataframe, x_col) if validate_filenames else dataframe
        self.class_indices = {}
        if class_mode in _BY_CLASS:
            table = self._with_classes(table, y_col, classes)
        elif class_mode == "multi_output" and not isinstance(y_col, list):
            raise GraphError("class_mode='multi_output' takes a list of columns", hint=f"y_col=[{y_col!r}]")
        table = table.iloc[self._kept(len(table))]
        self.filenames = table[x_col].tolist()
        self.filepaths = [os.path.join(self.directory, name) for name in self.filenames]
        self.sample_weight = table[weight_col].to_numpy() if weight_col else None
        if class_mode in _BY_CLASS:
            self.classes = [self._numbers(label) for label in table[y_col]]
        elif class_mode in ("raw", "other"):
            self._targets = table[y_col].to_numpy()
        elif class_mode == "multi_output":
            self._targets = [np.array(table[column].tolist()) for column in y_col]
        print(self._announcement("validated" if validate_filenames else "non-validated"))
        self._begin(batch_size, shuffle, seed)

    def _announcement(self, how: str) -> str:
        belonging = f" belonging to {self.num_classes} classes" if self.class_mode in _BY_CLASS else ""
        return f"Found {len(self.filenames)} {how} image filenames{belonging}."

    def _with_files(self, table: Any, x_col: str) -> Any:
        """The rows whose file is an image that is there; warns of the others."""
        paths = (os.path.join(self.directory, name) for name in table[x_col])
        there = np.array([path.lower().endswith(self.white_list_formats) and os.path.isfile(path) for path in paths], dtype=bool)
        if not there.all():
            message = f"{(~there).sum()} of the file names in {x_col!r} name no image that is there, and are left out"
            warnings.warn(message, stacklevel=users_stacklevel())
        return table[there]

    def _with_classes(self, table: Any, y_col: str, classes: Items[Any] | None) -> Any:
        """The rows with a label among the classes, whose numbers are entered."""
        labels = [list(label) if isinstance(label, list | tuple) else [label] for label in table[y_col]]
        wrong = next((v for several in labels for v in several if not isinstance(v, str)), None)
        if wrong is not None:
            raise GraphError(f"class_mode={self.class_mode!r}: the label {wrong!r} is no string", hint="use astype(str), or class_mode='raw' for numbers")
        known = list(dict.fromkeys(classes)) if classes else sorted({label for several in labels for label in several})
        if self.class_mode == "binary" and len(known) != 2:
            raise GraphError(f"class_mode='binary' has two classes, and there are {len(known)}")
        self.class_indices = {name: number for number, name in enumerate(known)}
        return table[np.array([any(label in self.class_indices for label in several) for several in labels], dtype=bool)]

    def _numbers(self, label: Any) -> Any:
        if isinstance(label, list | tuple):
            return [self.class_indices[name] for name in label if name in self.class_indices]
        return self.class_indices[label]
