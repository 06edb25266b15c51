"""Files in the cache, and batches made ahead, under the path that Keras 1 and 2 had them."""

from graphflow.keras.cache import get_file, validate_file
from graphflow.keras.enqueuers import GeneratorEnqueuer, OrderedEnqueuer, SequenceEnqueuer
from graphflow.keras.sequences import Sequence

__all__ = ["GeneratorEnqueuer", "OrderedEnqueuer", "Sequence", "SequenceEnqueuer", "get_file", "validate_file"]
