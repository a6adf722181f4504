"""Gabor fits of atoms and of their null models in one report."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from csc._repr_html import card
from csc._typing import Array, Rng
from csc.analysis.receptive_fields._gabor import GaborFit, fit_gabor
from csc.analysis.receptive_fields._json import plain
from csc.analysis.receptive_fields._macaque import MacaqueDistance, macaque_distance
from csc.analysis.receptive_fields._nulls import band_pass_noise, frequency_band, phase_scrambled
from csc.analysis.receptive_fields._pixels import pixel_fields
from csc.analysis.receptive_fields._statistics import R2_LEVELS, Summary, summarise

N_STARTS_OF_ATOMS = 8  # of the fits that only show which atoms are cut: half the time of 32
MAX_NULL_ATOMS = 192  # so many show what to expect by chance; noise is the slowest to fit


@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """Gabor fits of K atoms and of samples of two null models.

    Parameters
    ----------
    fit : GaborFit
        Fits of the atoms, with a ``whitening`` of their fields in the pixels of the stimulus.
    null_phase : GaborFit
        Fits of the same atoms with random phases, see `phase_scrambled`.
    null_noise : GaborFit
        Fits of noise in the frequency band of the atoms, see `band_pass_noise`.
    summary : Summary
        Statistics of ``fit``.
    macaque : MacaqueDistance
        Distance of the shapes to macaque V1, with its confidence, null and floor.
    fields : (K, C, H, W) array
        What ``fit`` fits: the atoms or their fields.
    learned : GaborFit
        Fits of the atoms as they are, from eight starts; without a ``whitening`` the same as ``fit``.

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
    macaque: MacaqueDistance
    fields: np.ndarray
    learned: GaborFit

    @property
    def cut_share(self) -> float:
        """Share of the Gabor-like atoms that the border of the patch cuts (`GaborFit.cut_off`).

        It is of fits to the atoms even with a ``whitening``, as a field fades beyond the patch, which
        hides the cut.
        """
        return summarise(self.learned).cut_off

    def to_dict(self) -> dict[str, Any]:
        """Return the summaries of the three fits, and the distance to macaque, as JSON types."""
        return {
            "atoms": self.summary.to_dict(),
            "null_phase": summarise(self.null_phase).to_dict(),
            "null_noise": summarise(self.null_noise).to_dict(),
            "macaque": plain(self.macaque._asdict()),
            "cut_share": plain(self.cut_share),
        }

    def __str__(self):
        fits = {"atoms": self.fit, "null_phase": self.null_phase, "null_noise": self.null_noise}
        lines = ["            median r2   >= 0.7   >= 0.8   >= 0.9   Gabor-like"]
        for name, fit in fits.items():
            shares = [np.mean(fit.r2 >= level) for level in R2_LEVELS]
            cells = "".join(f"{share:9.3f}" for share in shares)
            lines.append(f"{name:12}{np.median(fit.r2):9.3f}{cells}{np.mean(fit.gabor_like):13.3f}")
        lines += [str(self.macaque), self._populations(), self.fit.caution]
        return "\n".join(lines).rstrip()

    __repr__ = __str__

    def _populations(self):
        """One line on the Gabor-like atoms."""
        summary = self.summary
        return (
            f"of the Gabor-like: cut by the border {self.cut_share:.0%}, "
            f"blobs {summary.blob_corner:.0%} (macaque 24%), coverage of orientations "
            f"{summary.orientation_coverage:.2f} and frequencies {summary.frequency_coverage:.2f}"
        )

    def _repr_html_(self):
        return card(repr(self), self.fit.render()[:, None])


def analyse(
    atoms: Array,
    rng: Rng = None,
    *,
    whitening: Callable[[Array], Array] | Any | None = None,
    aperture: Array | None = None,
    verbose: bool = False,
) -> Report:
    """Fit Gabor functions to atoms and to two null models.

    The null models show how many Gabor-like atoms to expect by chance, and how far from the
    macaque's their shapes are. Each has as many samples as there are atoms, up to 192.

    Parameters
    ----------
    atoms : (K, C, h, w) float32 or float64 array
        Learned atoms, at least 3 x 3 pixels; not all zero.
    rng : numpy.random.Generator or seed, optional
        For the null models and the bootstrap.
    whitening : callable or csc.images.ZCA, optional
        How the images were whitened, for example ``csc.images.whiten``: atoms and null models are
        fitted as receptive fields in the pixels of the stimulus (`pixel_fields`), as a
        physiologist measures them. By default the atoms are fitted as they are.
    aperture : (h, w) array, optional
        Weights by which the patches were multiplied; fields are the atoms times these weights.
    verbose : bool
        Show a progress bar for each of the fits.

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
    rng = np.random.default_rng(rng)
    sample = atoms
    if len(atoms) > MAX_NULL_ATOMS:
        sample = atoms[rng.choice(len(atoms), MAX_NULL_ATOMS, replace=False)]
    scrambled = phase_scrambled(sample, rng)
    noise = band_pass_noise(len(sample), atoms.shape[1:], rng, low=low, high=high)
    windows = [
        images if aperture is None else images * aperture for images in (atoms, scrambled, noise)
    ]
    fields = windows if whitening is None else [pixel_fields(w, whitening) for w in windows]
    fit, null_phase, null_noise = (fit_gabor(images, verbose=verbose) for images in fields)
    learned = fit
    if whitening is not None:
        learned = fit_gabor(windows[0], n_starts=N_STARTS_OF_ATOMS, verbose=verbose)
    return Report(
        fit=fit,
        null_phase=null_phase,
        null_noise=null_noise,
        summary=summarise(fit),
        macaque=macaque_distance(fit, null_phase, rng),
        fields=fields[0],
        learned=learned,
    )
