"""Receptive fields: Gabor fits of learned atoms, their statistics, and null models.

>>> import numpy as np
>>> from csc.analysis.receptive_fields import analyse
>>> atoms = np.random.default_rng(0).standard_normal((4, 1, 8, 8))  # stand-ins for learned ones
>>> report = analyse(atoms, rng=0)
>>> report.summary.n_atoms, report.summary.n_gabor_like
(4, 0)
"""

from csc.analysis.receptive_fields._gabor import GaborFit, check_images, fit_gabor, unit_planes
from csc.analysis.receptive_fields._macaque import MacaqueDistance
from csc.analysis.receptive_fields._nulls import band_pass_noise, frequency_band, phase_scrambled
from csc.analysis.receptive_fields._pixels import pixel_fields
from csc.analysis.receptive_fields._report import Report, analyse
from csc.analysis.receptive_fields._statistics import (
    MACAQUE,
    MACAQUE_EDGES,
    Summary,
    chi_squared,
    coverage,
    earth_mover,
    shape_histogram,
    summarise,
)

__all__ = [
    "MACAQUE",
    "MACAQUE_EDGES",
    "GaborFit",
    "MacaqueDistance",
    "Report",
    "Summary",
    "analyse",
    "band_pass_noise",
    "chi_squared",
    "coverage",
    "earth_mover",
    "fit_gabor",
    "frequency_band",
    "phase_scrambled",
    "pixel_fields",
    "shape_histogram",
    "summarise",
]
