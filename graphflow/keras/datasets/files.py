"""The files of data sets: where they come from, and their hashes."""

from __future__ import annotations

import os

from graphflow.keras.cache import get_file, keras_home

_STORE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_CIFAR = "https://www.cs.toronto.edu/~kriz/"

# name -> (the URL, SHA-256 or MD5; None where none is published)
FILES: dict[str, tuple[str, str | None]] = {
    "mnist.npz": (f"{_STORE}mnist.npz", "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"),
    "imdb.npz": (f"{_STORE}imdb.npz", "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"),
    "imdb_word_index.json": (f"{_STORE}imdb_word_index.json", "bfafd718b763782e994055a2d397834f"),
    "reuters.npz": (f"{_STORE}reuters.npz", "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"),
    "reuters_word_index.json": (f"{_STORE}reuters_word_index.json", "4d44cc38712099c9e383dc6e5f11a921"),
    "boston_housing.npz": (f"{_STORE}boston_housing.npz", "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"),
    "california_housing.npz": (f"{_STORE}california_housing.npz", "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"),
    "cifar-10-batches-py": (f"{_CIFAR}cifar-10-python.tar.gz", "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"),
    "cifar-100-python": (f"{_CIFAR}cifar-100-python.tar.gz", "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"),
    **{
        name: (f"{_STORE}{name}", None)
        for name in ("train-labels-idx1-ubyte.gz", "train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz")
    },
}


def fetched(name: str, path: str | None = None, folder: str = "datasets") -> str:
    """The path of a file in the cache, under `name` or another name; a whole path to a file of the user's is taken as it is."""
    url, digest = FILES[name]
    path = name if path is None else path
    if os.path.isabs(path) and os.path.exists(path):
        return path
    return get_file(path, url, file_hash=digest, cache_subdir=folder)


def fetched_folder(name: str) -> str:
    """The path of a folder in the cache, unpacked from an archive; one that is there is taken as it is."""
    folder = keras_home() / "datasets" / name
    if folder.is_dir():
        return str(folder)
    url, digest = FILES[name]
    return get_file(name, url, untar=True, file_hash=digest)
