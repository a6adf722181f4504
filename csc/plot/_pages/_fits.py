"""What pages hold of Gabor fits, and atoms as pictures."""

import numpy as np

from csc._montage import COLOURS
from csc.analysis.receptive_fields import unit_planes
from csc.plot._pages._document import numbers

COLUMNS = (  # of a fit, as `GaborFit` names them
    "x", "y", "orientation", "frequency", "sigma_x", "sigma_y", "phase", "r2", "energy_inside",
    "n_x", "n_y", "peak_frequency", "bandwidth", "aspect",
)  # fmt: skip


def shown_atoms(atoms):
    """Atoms of one or three channels; of other numbers their first singular component."""
    if atoms.shape[1] in COLOURS:
        return atoms
    return unit_planes(atoms)[0][:, None]


def columns_of(fit, planes, norms):
    """Columns of a fit, and its amplitude in units of the largest modulus of what was fitted."""
    columns = {name: numbers(getattr(fit, name)) for name in COLUMNS}
    top = norms * np.abs(planes).max(axis=(1, 2))
    amplitude = fit.amplitude / np.where(top > 0, top, 1)
    return columns | {"amplitude": numbers(amplitude), "like": numbers(fit.gabor_like.astype(int))}


def shapes_of(fit):
    """What the plots show of a null model."""
    names = ("r2", "n_x", "n_y", "orientation", "peak_frequency")
    return {name: numbers(getattr(fit, name)) for name in names} | {
        "like": numbers(fit.gabor_like.astype(int))
    }
