"""Labels as arrays, progress bars, summaries."""

from graphflow.keras.utils import generic_utils, layer_utils, np_utils
from graphflow.keras.utils.generic_utils import Progbar
from graphflow.keras.utils.layer_utils import print_summary
from graphflow.keras.utils.np_utils import to_categorical

__all__ = ["Progbar", "generic_utils", "layer_utils", "np_utils", "print_summary", "to_categorical"]
