"""Atoms that are Gabor functions of known parameters, and an analysis of them without any fit."""

import numpy as np

from csc.analysis import FilterSet
from csc.analysis.comparison import Estimate, WithNulls
from csc.analysis.receptive_fields import GaborFit, MacaqueDistance, Report, summarise


def gabor_atoms(n, side, rng, noise=0.05):
    """Atoms (n, 1, side, side) and the `Report` that a perfect fit of them would give."""
    parameters = draw(n, side, rng)
    fit = fit_of(parameters, side, rng.uniform(0.5, 1, n))
    atoms = fit.render()[:, None] + noise * rng.standard_normal((n, 1, side, side))
    null = fit_of(draw(n, side, rng), side, rng.uniform(0, 0.85, n))
    report = Report(
        fit=fit,
        null_phase=null,
        null_noise=null,
        summary=summarise(fit),
        macaque=MacaqueDistance(0.5, (0.4, 0.6), 0.9, 0.8, 3, 0.27, (0.14, 0.51)),
        fields=atoms,
        learned=fit,
    )
    return atoms, report


def draw(n, side, rng):
    return {
        "x": rng.uniform(-side / 5, side / 5, n),
        "y": rng.uniform(-side / 5, side / 5, n),
        "orientation": rng.uniform(0, np.pi, n),
        "frequency": rng.uniform(0.08, 0.35, n),
        "sigma_x": rng.uniform(1, side / 5, n),
        "sigma_y": rng.uniform(1, side / 4, n),
        "phase": rng.uniform(-np.pi, np.pi, n),
    }


def fit_of(parameters, side, r2):
    n = len(r2)
    return GaborFit(
        shape=(side, side), amplitude=np.ones(n), r2=r2, energy_inside=np.ones(n),
        component_share=np.ones(n), **parameters,
    )  # fmt: skip


def filter_set(name, atoms, report):
    """A `FilterSet` of atoms and their `Report`, with one measure."""
    value = Estimate(0.5, 0.4, 0.6)
    return FilterSet(
        name=name, atoms=atoms, n_dead=0, order="unknown", fit=report.fit, null_phase=atoms[::-1],
        null_noise=atoms, fit_phase=report.null_phase, fit_noise=report.null_noise,
        chromatic=np.zeros(len(atoms)), measures={"Gabor-like": WithNulls(value, value, value)},
    )  # fmt: skip
