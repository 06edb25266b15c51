"""VGG19.  [K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014]"""

from __future__ import annotations

from graphflow.keras.applications.assembly import Application, files
from graphflow.keras.applications.imagenet_utils import decode_predictions, preprocess_input
from graphflow.keras.applications.vgg16 import blocks, top

__all__ = ["VGG19", "decode_predictions", "preprocess_input"]

VGG19 = Application(
    "vgg19", blocks((2, 2, 4, 4, 4)), top, files("vgg19", "vgg19", "cbe5617147190e668d6c5d5026f83318", "253f8cb515780f3b799900260a226db6"), fixed_size=True
)  # 143,667,240 parameters
