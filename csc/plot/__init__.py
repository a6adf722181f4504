"""Plots of dictionaries, histories and receptive fields, on matplotlib axes.

matplotlib is imported on first use. The colours are safe for colour-blind readers.

Here: plots of models (``_models.py``), of series with several channels (``_series.py``) and of
receptive fields (``_fields.py``), and reports, pages that a browser opens (``_pages``, with the styles and
scripts in ``assets``).

May import: `csc.analysis`, and the modules of `csc` whose names begin with ``_``.

A new plot: a function ``(data, ax=None)`` that draws on the axes and returns them.
"""

from csc._montage import montage
from csc.plot._axes import PALETTE
from csc.plot._fields import (
    filter_sets,
    fit_quality,
    gabor_fits,
    orientation_frequency,
    receptive_field_shapes,
)
from csc.plot._models import codes, convergence, diagnostics, dictionary, history
from csc.plot._pages import Restoration, report
from csc.plot._series import events, topographies, waveforms

__all__ = [
    "PALETTE", "codes", "convergence", "dictionary", "filter_sets", "fit_quality", "gabor_fits",
    "diagnostics", "history", "orientation_frequency", "receptive_field_shapes", "montage",
    "Restoration", "report", "events", "topographies", "waveforms",
]  # fmt: skip
