"""Models on disk: one ``.csc`` archive each, without pickle.

Here: `save` and `load`; an archive is checked array by array against the model that its header
describes before anything is read.

May import: all that can be saved.

A new class to save: an entry in ``_schema.py`` that says what its arrays must be.
"""

from csc.io._archive import StoredArray, all_stored, read, stored
from csc.io._save import PARTIAL_SUFFIX, load, save, write_partial_file

__all__ = ["load", "save"]
