"""Save and load models as ``.npz`` files without pickle.

Here: `save` and `load`. Every array of a file is checked against the model that the header
describes before it is read.

May import: the packages whose classes can be saved.

A new class to save: its module in `HOMES`, and a rule for its arrays in ``_schema.py``.
"""

from csc.io._archive import StoredArray, all_stored, read, stored
from csc.io._save import PARTIAL_SUFFIX, load, save, write_partial_file

__all__ = ["load", "save"]
