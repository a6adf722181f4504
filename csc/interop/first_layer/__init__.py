"""First layers of trained networks, from modules, state dicts, files and names of networks.

>>> import numpy as np
>>> from csc.interop.first_layer import load_first_layer
>>> load_first_layer({"conv1.weight": np.ones((8, 3, 5, 5))}, channels="BGR")
FirstLayer('conv1.weight', 8 filters 5x5, BGR, stride unknown, no bias)
"""

from csc.interop.first_layer._layer import FirstLayer
from csc.interop.first_layer._load import load_first_layer

__all__ = ["FirstLayer", "load_first_layer"]
