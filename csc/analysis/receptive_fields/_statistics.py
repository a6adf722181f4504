"""Statistics of a population of Gabor fits, and its distance to macaque V1."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from csc._typing import Array, ArrayLike
from csc.analysis.receptive_fields._gabor import GaborFit
from csc.analysis.receptive_fields._json import plain

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
R2_LEVELS = (0.7, 0.8, 0.9)
ORIENTATION_BINS = 8  # of 22.5 degrees
FREQUENCY_EDGES = np.array([0, 1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1])  # cycles / pixel
PARITY_BINS = 4  # of 22.5 degrees

MACAQUE_EDGES = 10.0 ** np.linspace(-1, 0.2, 6)
MACAQUE = np.array(
    [
        [2, 0, 1, 0, 0],
        [8, 9, 4, 1, 0],
        [1, 2, 19, 17, 3],
        [0, 0, 1, 7, 4],
        [0, 0, 0, 0, 0],
    ]
)
"""Counts of simple cells in macaque V1 by receptive-field shape: rows n_x, columns n_y.

79 cells in bins with edges `MACAQUE_EDGES` (0.1, 0.174, 0.302, 0.525, 0.912, 1.585), after
D. L. Ringach, "Spatial structure and symmetry of simple-cell receptive fields in macaque primary
visual cortex", J. Neurophysiol. 88, 2002. Taken from a secondary source, the table in the code of
VOneNet (Dapello et al., NeurIPS 2020), not from the paper.
"""
for _array in (MACAQUE, MACAQUE_EDGES, FREQUENCY_EDGES):
    _array.setflags(write=False)


@dataclass(frozen=True, eq=False)
class Summary:
    """Statistics of a population of Gabor fits; see `summarise`.

    All but the first four are of the Gabor-like atoms only: the parameters of a bad fit have no
    meaning. Without any such atom, quantiles, shares and distances are NaN.

    Parameters
    ----------
    n_atoms, n_gabor_like : int
        Number of atoms, and of Gabor-like atoms (`GaborFit.gabor_like`).
    r2_quantiles : (5,) array
        Quantiles of r2 over all atoms: 0.05, 0.25, 0.5, 0.75, 0.95.
    r2_at_least : (3,) array
        Share of all atoms with r2 of at least 0.7, 0.8, 0.9.
    cut_off : float
        Share of atoms that the border of the patch cuts (`GaborFit.cut_off`).
    low_pass : float
        Share with infinite bandwidth: the response to a uniform field is above half the peak.
    orientation_counts : (8,) array
        Counts in bins of 22.5 degrees, anticlockwise, the first centred on horizontal bars.
    orientation_coverage, frequency_coverage : float
        Effective share of these bins in use: `coverage` of the counts.
    frequency_counts : (7,) array
        Counts of `GaborFit.peak_frequency` in octaves with edges 0, 1/64, 1/32, 1/16, 1/8, 1/4,
        1/2 and 1 cycle per pixel; fields without flanks lie in the first.
    parity_counts : (4,) array
        Counts in bins of 22.5 degrees of `GaborFit.parity`, from even to odd.
    bandwidth_quantiles : (5,) array
        Quantiles of the finite spatial-frequency bandwidths, in octaves.
    aspect_quantiles : (5,) array
        Quantiles of sigma_y / sigma_x.
    shape_counts : (5, 5) array
        Histogram of (n_x, n_y) in the bins of `MACAQUE`: rows n_x, columns n_y.
    shape_clipped : int
        Number of atoms outside `MACAQUE_EDGES`; they are counted in the nearest bin.
    blob_corner : float
        Share with n_x and n_y both below 0.302, blobs without flanks; 0.24 in macaque.
    macaque_chi_squared, macaque_earth_mover : float
        Distances from ``shape_counts`` to `MACAQUE`: `chi_squared` and `earth_mover`.
    caution : str
        A warning if the atoms have too few pixels (`GaborFit.caution`); else empty.

    Examples
    --------
    >>> import numpy as np, csc
    >>> atoms = np.random.default_rng(0).standard_normal((3, 1, 7, 7))
    >>> fit = csc.analysis.receptive_fields.fit_gabor(atoms, n_starts=1)
    >>> summary = csc.analysis.receptive_fields.summarise(fit)
    >>> len(summary.orientation_counts)
    8
    """

    n_atoms: int
    n_gabor_like: int
    r2_quantiles: np.ndarray
    r2_at_least: np.ndarray
    cut_off: float
    low_pass: float
    orientation_counts: np.ndarray
    frequency_counts: np.ndarray
    orientation_coverage: float
    frequency_coverage: float
    parity_counts: np.ndarray
    bandwidth_quantiles: np.ndarray
    aspect_quantiles: np.ndarray
    shape_counts: np.ndarray
    shape_clipped: int
    blob_corner: float
    macaque_chi_squared: float
    macaque_earth_mover: float
    caution: str

    def __repr__(self):
        median = self.r2_quantiles[len(self.r2_quantiles) // 2]
        fit = f"{self.n_atoms} atoms, median r2 {median:.3f}, {self.n_gabor_like} Gabor-like"
        shapes = f"{fit}, {self.macaque_earth_mover:.2f} bins from macaque shapes"
        return f"Summary({'; '.join(filter(None, [shapes, self.caution]))})"

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as JSON types; None stands for NaN."""
        return plain(self)


def summarise(fit: GaborFit) -> Summary:
    """Compute statistics of a population of receptive fields.

    Parameters
    ----------
    fit : GaborFit
        Result of `fit_gabor`. Use a selection, such as ``summarise(fit[~fit.cut_off])``, to see
        whether a result depends on atoms that the border cuts.

    Returns
    -------
    summary : Summary

    Examples
    --------
    >>> import numpy as np
    >>> from csc.analysis.receptive_fields import fit_gabor
    >>> row, column = np.indices((12, 12)) - 5.5
    >>> even = np.exp(-(row**2 + column**2) / 8) * np.cos(2 * np.pi * column / 4)
    >>> summary = summarise(fit_gabor(np.stack([even, even.T])[:, None]))
    >>> summary.orientation_counts
    array([1, 0, 0, 0, 1, 0, 0, 0])
    >>> summary.bandwidth_quantiles.round(2)
    array([1.14, 1.14, 1.14, 1.14, 1.14])
    """
    like = fit[fit.gabor_like]
    counts, clipped = shape_histogram(like.n_x, like.n_y)
    finite = np.isfinite(like.bandwidth)
    orientations = _cyclic_counts(like.orientation / np.pi)
    frequencies = np.histogram(like.peak_frequency, FREQUENCY_EDGES)[0]
    return Summary(
        n_atoms=len(fit),
        n_gabor_like=len(like),
        r2_quantiles=_quantiles(fit.r2),
        r2_at_least=np.array([_share(fit.r2 >= level) for level in R2_LEVELS]),
        cut_off=_share(like.cut_off),
        low_pass=_share(~finite),
        orientation_counts=orientations,
        frequency_counts=frequencies,
        orientation_coverage=coverage(orientations),
        frequency_coverage=coverage(frequencies),
        parity_counts=np.histogram(like.parity, PARITY_BINS, (0, np.pi / 2))[0],
        bandwidth_quantiles=_quantiles(like.bandwidth[finite]),
        aspect_quantiles=_quantiles(like.aspect),
        shape_counts=counts,
        shape_clipped=clipped,
        blob_corner=_share(like.blob),
        macaque_chi_squared=chi_squared(counts, MACAQUE),
        macaque_earth_mover=earth_mover(counts, MACAQUE),
        caution=fit.caution,
    )


def shape_histogram(n_x: ArrayLike, n_y: ArrayLike) -> tuple[Array, int]:
    """Histogram of receptive-field shapes in the bins of `MACAQUE`.

    Parameters
    ----------
    n_x, n_y : (K,) array
        Standard deviations of the envelope across and along the bars, in cycles of the wave.

    Returns
    -------
    counts : (5, 5) int array
        Rows n_x, columns n_y. Shapes outside `MACAQUE_EDGES` are counted in the nearest bin.
    clipped : int
        Number of shapes outside.

    Examples
    --------
    >>> counts, clipped = shape_histogram(np.array([0.2, 0.2, 0.01]), np.array([0.4, 0.5, 0.2]))
    >>> counts[1, 2], counts[0, 1], clipped
    (np.int64(2), np.int64(1), 1)
    """
    low, high = MACAQUE_EDGES[0], MACAQUE_EDGES[-1]
    outside = (np.minimum(n_x, n_y) < low) | (np.maximum(n_x, n_y) > high)
    clipped = [np.clip(n, low, high) for n in (n_x, n_y)]
    counts, _, _ = np.histogram2d(*clipped, bins=[MACAQUE_EDGES, MACAQUE_EDGES])
    return counts.astype(int), int(outside.sum())


def chi_squared(p: ArrayLike, q: ArrayLike) -> float:
    """Chi-squared distance of two histograms: half of sum (p - q)^2 / (p + q).

    Parameters
    ----------
    p, q : arrays of the same shape
        Counts; each is scaled to sum 1. Bins that are empty in both contribute nothing.

    Returns
    -------
    distance : float
        From 0 (equal) to 1 (no bin in common); NaN if a histogram is empty.

    Examples
    --------
    >>> chi_squared([2, 2], [1, 0])
    0.3333333333333333
    """
    p, q = _check_counts(p=p, q=q)
    if not p.sum() or not q.sum():
        return np.nan
    p, q = p / p.sum(), q / q.sum()
    used = p + q > 0
    return float(0.5 * ((p - q)[used] ** 2 / (p + q)[used]).sum())


def earth_mover(p: ArrayLike, q: ArrayLike) -> float:
    """Earth mover's distance of two histograms, in bins.

    It is the smallest mean distance over which mass must move to turn one histogram into the other.
    Distances are Euclidean with one bin as the unit: a factor of 1.74 in n_x or n_y for `MACAQUE`.

    Parameters
    ----------
    p, q : arrays of the same shape
        Counts; each is scaled to sum 1.

    Returns
    -------
    distance : float
        In bins; NaN if a histogram is empty.

    Examples
    --------
    >>> import numpy as np
    >>> round(earth_mover(np.array([[4, 0], [0, 0]]), np.array([[0, 0], [3, 1]])), 6)
    1.103553
    """
    from scipy.stats import wasserstein_distance_nd

    p, q = _check_counts(p=p, q=q)
    if not p.sum() or not q.sum():
        return np.nan
    places = np.argwhere(p), np.argwhere(q)
    return float(wasserstein_distance_nd(*places, p[p > 0], q[q > 0]))


def coverage(counts: ArrayLike) -> float:
    """Effective share of bins in use, 1 / (n_bins sum p^2): 1 for equal counts in all bins.

    Sum p^2, the probability that two atoms share a bin, is estimated from pairs of different
    atoms, without bias.

    Parameters
    ----------
    counts : array
        Atoms in each bin.

    Returns
    -------
    coverage : float
        From 1 / n_bins to 1; NaN for less than two atoms.

    Examples
    --------
    >>> coverage([9, 0, 0, 0]), coverage([100, 100, 0, 0]).__round__(2)
    (0.25, 0.5)
    """
    (counts,) = _check_counts(counts=counts)
    n = counts.sum()
    if n < 2:
        return np.nan
    shared = (counts * (counts - 1)).sum() / (n * (n - 1))
    return float(1 / max(counts.size * shared, 1))


def _check_counts(**histograms):
    """The histograms as float64 arrays of one shape, without negative or infinite counts."""
    arrays = [np.asarray(counts, dtype=float) for counts in histograms.values()]
    for name, counts in zip(histograms, arrays, strict=True):
        if not (np.isfinite(counts) & (counts >= 0)).all():
            raise ValueError(f"{name} must hold finite counts >= 0, got {counts}")
        if counts.shape != arrays[0].shape:
            raise ValueError(
                f"{' and '.join(histograms)} must have the same bins, got shapes "
                f"{arrays[0].shape} and {counts.shape}"
            )
    return arrays


def _quantiles(values):
    return np.quantile(values, QUANTILES) if len(values) else np.full(len(QUANTILES), np.nan)


def _share(which):
    return float(np.mean(which)) if len(which) else np.nan


def _cyclic_counts(turns):
    """Counts of ``turns`` in [0, 1) in cyclic bins, the first centred on 0."""
    bins = np.round(turns * ORIENTATION_BINS).astype(int) % ORIENTATION_BINS
    return np.bincount(bins, minlength=ORIENTATION_BINS)
