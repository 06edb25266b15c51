"""The methods of a model that read and write files; the work is done in `graphflow.keras.saving`, which is above the engine."""

from __future__ import annotations

from typing import Any


class Saved:
    """save, save_weights, load_weights, to_json, to_yaml, and pickling as data."""

    def save(self, filepath: Any, overwrite: bool = True, include_optimizer: bool = True, save_format: str | None = None, **options: Any) -> None:
        """Write the configuration, weights and state of training; see `graphflow.keras.models.save_model`."""
        from graphflow.keras import saving

        saving.save_model(self, filepath, overwrite, include_optimizer, save_format, **options)

    def save_weights(self, filepath: Any, overwrite: bool = True, save_format: str | None = None) -> None:
        """Write the weights into an HDF5 file.  Raises OverwriteError for a file that is there, with `overwrite=False` and nobody to ask."""
        from graphflow.keras import saving

        saving.save_weights(self, filepath, overwrite, save_format)

    def load_weights(self, filepath: Any, by_name: bool = False, skip_mismatch: bool = False, reshape: bool = False) -> None:
        """Take the weights of a file, layer by layer in order or by name.

        `skip_mismatch`: layers that do not fit stay as they are, with a warning.  Raises ShapeError for weights that
        do not fit, and then takes none; ModelFileError, with file and field, for a damaged file.
        """
        from graphflow.keras import saving

        saving.load_weights(self, filepath, by_name, skip_mismatch, reshape)

    def to_json(self, **kwargs: Any) -> str:
        """The configuration as JSON; `kwargs` are `json.dumps`'s."""
        from graphflow.keras import saving

        return saving.to_json(self, **kwargs)

    def to_yaml(self, **kwargs: Any) -> str:
        """The configuration as YAML; `kwargs` are `yaml.dump`'s."""
        from graphflow.keras import saving

        return saving.to_yaml(self, **kwargs)

    def __reduce__(self) -> Any:
        """Pickled and copied as data: configuration, weights, and the state of training."""
        from graphflow.keras.saving.pickling import reduced

        return reduced(self)
