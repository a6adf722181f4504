"""Measures of a population of filters, each with its bootstrap interval."""

from typing import NamedTuple

import numpy as np

from csc.analysis._matching import luminance, unit
from csc.analysis.receptive_fields._macaque import INTERVAL_95
from csc.analysis.receptive_fields._statistics import FREQUENCY_EDGES, ORIENTATION_BINS, PARITY_BINS

CENTRAL_90 = (0.05, 0.95)  # quantiles


class Estimate(NamedTuple):
    """A value and its 95 % bootstrap interval; NaN where the value is undefined.

    Attributes
    ----------
    value, low, high : float
    """

    value: float
    low: float
    high: float

    def __str__(self):
        return (
            "-"
            if np.isnan(self.value)
            else f"{self.value:z.2f} [{self.low:z.2f}, {self.high:z.2f}]"
        )


class WithNulls(NamedTuple):
    """One measure of filters and of their null models.

    Attributes
    ----------
    atoms, phase, noise : Estimate
        For the filters, for the filters with random phases (`phase_scrambled`), and for noise in
        their frequency band (`band_pass_noise`).
    """

    atoms: Estimate
    phase: Estimate
    noise: Estimate


def estimate(value, resampled, *, centred=False):
    """Bootstrap interval from the quantiles of the finite resampled values.

    ``centred`` shifts it by the mean difference between ``value`` and the resampled values.
    """
    found = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(found):
        return Estimate(float("nan"), float("nan"), float("nan"))
    offset = value - found.mean() if centred else 0.0
    return Estimate(float(value), *map(float, np.quantile(found, INTERVAL_95) + offset))


def measure(fit, chromatic, n_bootstrap, rng):
    """Estimates by name; the bootstrap draws filters with replacement."""
    rows = rng.integers(len(fit), size=(n_bootstrap, len(fit)))
    all_rows = np.arange(len(fit))[None]
    found = {}
    for name, statistic in _statistics(fit, chromatic).items():
        found[name] = estimate(statistic(all_rows, 1)[0], statistic(rows, 2))
    return found


def chromatic_share(atoms):
    """Share of each atom's energy outside its luminance; 0 for one channel."""
    grey = luminance(unit(atoms.astype("float64")))
    return np.maximum(1 - (grey**2).sum(axis=(1, 2, 3)), 0)


def _statistics(fit, chromatic):
    """Statistics by name: functions of indices ``rows`` (B, K) and the number of draws ``n_draws``.

    ``n_draws`` is 1 for the filters themselves and 2 for a resample of them; some statistics use
    it to remove their bias. Other than R2 and colour, statistics are of Gabor-like filters only:
    the parameters of a bad fit have no meaning.
    """
    every, like = np.ones(len(fit), bool), fit.gabor_like
    turns = np.round(fit.orientation / np.pi * ORIENTATION_BINS).astype(int) % ORIENTATION_BINS
    octave = np.digitize(fit.frequency, FREQUENCY_EDGES[1:-1])
    quarter = np.minimum((fit.parity / (np.pi / 2) * PARITY_BINS).astype(int), PARITY_BINS - 1)
    finite = np.isfinite(fit.bandwidth)
    bands = len(FREQUENCY_EDGES) - 1
    return {
        "R2, median": _median(fit.r2, every),
        "R2 >= 0.8": _share(fit.r2 >= 0.8, every),
        "Gabor-like": _share(like, every),
        "chromatic energy, mean": lambda rows, _: chromatic[rows].mean(axis=1),
        "mostly chromatic": _share(chromatic > 0.5, every),
        "cut by the border": _share(fit.cut_off, like),
        "low-pass": _share(~finite, like),
        "orientation coverage": _coverage(turns, like, ORIENTATION_BINS),
        "frequency, median (c/pixel)": _median(fit.frequency, like),
        "frequency, range (octaves)": _range(np.log2(fit.frequency), like),
        "frequency coverage": _coverage(octave, like, bands),
        "bandwidth, median (octaves)": _median(fit.bandwidth, like & finite),
        "phase coverage": _coverage(quarter, like, PARITY_BINS),
        "aspect, median": _median(fit.aspect, like),
        "n_x, median": _median(fit.n_x, like),
        "n_y, median": _median(fit.n_y, like),
        "blobs (n_x, n_y < 0.3)": _share(fit.blob, like),
    }


def _share(which, among):
    def statistic(rows, _):
        n = among[rows].sum(axis=1)
        return _divided((which & among)[rows].sum(axis=1), n, n > 0)

    return statistic


def _median(values, among):
    return lambda rows, _: _quantile(values, among, rows, 0.5)


def _range(values, among):
    """Width of the interval that holds the central 90 % of the values."""
    low, high = CENTRAL_90

    def statistic(rows, _):
        return _quantile(values, among, rows, high) - _quantile(values, among, rows, low)

    return statistic


def _coverage(bins, among, n_bins):
    """Effective share of the bins in use, 1 / (n_bins sum p^2): 1 for equal counts in all bins.

    For n draws, the expected sum of p^2 is (1 - 1/n) times that of the population plus 1/n. This
    bias is removed once for the filters themselves, and twice for a resample of them.
    """
    one_hot = np.eye(n_bins)[bins] * among[:, None]

    def statistic(rows, n_draws):
        counts = one_hot[rows].sum(axis=1)
        n = counts.sum(axis=1)
        purity = _divided((counts**2).sum(axis=1), n**2, n > 1)
        for _ in range(n_draws):
            purity = _divided(purity - 1 / np.maximum(n, 1), 1 - 1 / np.maximum(n, 1), n > 1)
        return 1 / (n_bins * np.maximum(purity, 1 / n_bins))

    return statistic


def _quantile(values, among, rows, q):
    """Quantile of the values ``among`` in each row, linearly interpolated; NaN without values."""
    x = np.sort(np.where(among, values, np.nan)[rows], axis=1)  # NaN last
    n = np.isfinite(x).sum(axis=1)
    position = q * np.maximum(n - 1, 0)
    below = position.astype(int)
    above = np.minimum(below + 1, np.maximum(n - 1, 0))
    lower, upper = (np.take_along_axis(x, i[:, None], axis=1)[:, 0] for i in (below, above))
    return lower + (position - below) * (upper - lower)


def _divided(a, b, where):
    return np.divide(a, b, out=np.full(len(a), np.nan), where=where)
