"""Pictures: dictionaries, histories, receptive fields. Each draws on an axes and returns it.

matplotlib is imported when a picture is asked for; colours are safe for colour-blind eyes.
"""

from csc.plot._axes import PALETTE
from csc.plot._fields import (
    filter_sets,
    fit_quality,
    gabor_fits,
    orientation_frequency,
    receptive_field_shapes,
    shown,
)
from csc.plot._models import codes, convergence, dictionary, health, history
from csc.sheet import tile

__all__ = [
    "PALETTE", "codes", "convergence", "dictionary", "filter_sets", "fit_quality", "gabor_fits",
    "health", "history", "orientation_frequency", "receptive_field_shapes", "shown", "tile",
]  # fmt: skip
