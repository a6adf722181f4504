"""Pictures: dictionaries, histories, receptive fields. Each draws on an axes and returns it.

matplotlib is imported when a picture is asked for; colours are safe for colour-blind eyes.

Here: drawings of models (``_models.py``) and of receptive fields (``_fields.py``).

May import: `csc.analysis`, and the modules of `csc` whose names begin with ``_``.

A new drawing: a function ``(what, *, ax=None)`` that returns the axes.
"""

from csc._montage import montage
from csc.plot._axes import PALETTE
from csc.plot._fields import (
    filter_sets,
    fit_quality,
    gabor_fits,
    orientation_frequency,
    receptive_field_shapes,
    shown,
)
from csc.plot._models import codes, convergence, diagnostics, dictionary, history

__all__ = [
    "PALETTE", "codes", "convergence", "dictionary", "filter_sets", "fit_quality", "gabor_fits",
    "diagnostics", "history", "orientation_frequency", "receptive_field_shapes", "shown", "montage",
]  # fmt: skip
