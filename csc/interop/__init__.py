"""Bridges to networks: their first layers as filters, and convolutional stacks as dictionaries.

Here: `load_first_layer` (modules, state dicts, files of several formats), `from_torch`,
`to_torch` (extra ``torch``).

May import: `csc.operators`, and the modules of `csc` whose names begin with ``_``.

A new format of weights: a reader in ``first_layer``, which never executes code from the file.
"""

from csc.interop._torch import from_torch, to_torch
from csc.interop.first_layer import FirstLayer, load_first_layer

__all__ = ["FirstLayer", "from_torch", "load_first_layer", "to_torch"]
