"""Gabor fits of atoms and of their null models in one report."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from csc._repr_html import card
from csc._typing import Array, Rng
from csc.analysis.receptive_fields._gabor import GaborFit, fit_gabor
from csc.analysis.receptive_fields._nulls import band_pass_noise, frequency_band, phase_scrambled
from csc.analysis.receptive_fields._statistics import R2_LEVELS, Summary, summarise


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """Gabor fits of K atoms and of K samples of each of two null models.

    Parameters
    ----------
    fit : GaborFit
        Fits of the atoms.
    null_phase : GaborFit
        Fits of the same atoms with random phases, see `phase_scrambled`.
    null_noise : GaborFit
        Fits of noise in the frequency band of the atoms, see `band_pass_noise`.
    summary : Summary
        Statistics of ``fit``.

    Examples
    --------
    >>> import numpy as np, csc
    >>> atoms = np.random.default_rng(0).standard_normal((3, 1, 7, 7))
    >>> report = csc.analysis.receptive_fields.analyse(atoms, rng=0)
    >>> report.fit.r2.shape, report.null_noise.r2.shape
    ((3,), (3,))
    """

    fit: GaborFit
    null_phase: GaborFit
    null_noise: GaborFit
    summary: Summary

    def to_dict(self) -> dict[str, Any]:
        """Return the summaries of the three fits as JSON types."""
        return {
            "atoms": self.summary.to_dict(),
            "null_phase": summarise(self.null_phase).to_dict(),
            "null_noise": summarise(self.null_noise).to_dict(),
        }

    def __str__(self):
        fits = {"atoms": self.fit, "null_phase": self.null_phase, "null_noise": self.null_noise}
        lines = ["            median r2   >= 0.7   >= 0.8   >= 0.9   Gabor-like"]
        for name, fit in fits.items():
            shares = [np.mean(fit.r2 >= level) for level in R2_LEVELS]
            cells = "".join(f"{share:9.3f}" for share in shares)
            lines.append(f"{name:12}{np.median(fit.r2):9.3f}{cells}{np.mean(fit.gabor_like):13.3f}")
        return "\n".join([*lines, self.fit.caution]).rstrip()

    __repr__ = __str__

    def _repr_html_(self):
        return card(repr(self), self.fit.render()[:, None])


def analyse(atoms: Array, rng: Rng = None, *, verbose: bool = False) -> Report:
    """Fit Gabor functions to atoms and to two null models.

    The null models show how many Gabor-like atoms to expect by chance.

    Parameters
    ----------
    atoms : (K, C, h, w) float32 or float64 array
        Learned atoms, at least 3 x 3 pixels; not all zero.
    rng : numpy.random.Generator or seed, optional
        For the null models.
    verbose : bool
        Show a progress bar for each of the three fits.

    Returns
    -------
    report : Report
        ``print(report)`` shows a table of the three fits.

    Raises
    ------
    TypeError
        If ``atoms`` is not a float array.
    ValueError
        If ``atoms`` is not four-dimensional, is smaller than 3 x 3, contains NaN, or is all zero.

    Examples
    --------
    >>> import numpy as np
    >>> row, column = np.indices((12, 12)) - 5.5
    >>> atom = np.exp(-(row**2 + column**2) / 8) * np.cos(2 * np.pi * column / 4)
    >>> report = analyse(np.stack([atom, atom.T, atom + atom.T])[:, None], rng=0)
    >>> report.fit.gabor_like
    array([ True,  True, False])
    >>> report.null_phase.gabor_like, report.null_noise.gabor_like
    (array([False, False, False]), array([False, False, False]))
    """
    low, high = frequency_band(atoms)
    fit, rng = fit_gabor(atoms, verbose=verbose), np.random.default_rng(rng)
    noise = band_pass_noise(len(atoms), atoms.shape[1:], rng, low=low, high=high)
    return Report(
        fit=fit,
        null_phase=fit_gabor(phase_scrambled(atoms, rng), verbose=verbose),
        null_noise=fit_gabor(noise, verbose=verbose),
        summary=summarise(fit),
    )
