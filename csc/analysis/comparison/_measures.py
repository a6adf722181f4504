"""What describes a population of filters, each number with its bootstrap interval."""

from typing import NamedTuple

import numpy as np

from csc.analysis._matching import luminance, unit
from csc.analysis.receptive_fields import MACAQUE_EDGES
from csc.analysis.receptive_fields._statistics import FREQUENCY_EDGES, ORIENTATION_BINS, PARITY_BINS

TAILS = (0.025, 0.975)
CENTRAL = (0.05, 0.95)


class Estimate(NamedTuple):
    """A number and the 95 % bootstrap interval around it; NaN where there is nothing to tell.

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
    """One measure of filters, and the same of their null models.

    Attributes
    ----------
    atoms, phase, noise : Estimate
        Of the filters, of the same with random phases (`phase_scrambled`), and of noise in their
        frequency band (`band_pass_noise`).
    """

    atoms: Estimate
    phase: Estimate
    noise: Estimate


def estimate(value, resampled, *, centred=False):
    """An interval between quantiles of what resamples gave, those without a value left out.

    ``centred`` moves it by the mean difference between resamples and ``value``.
    """
    found = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(found):
        return Estimate(float("nan"), float("nan"), float("nan"))
    moved = value - found.mean() if centred else 0.0
    return Estimate(float(value), *map(float, np.quantile(found, TAILS) + moved))


def measure(fit, chromatic, n_bootstrap, rng):
    """Estimates by their names: filters are drawn again, with replacement."""
    rows = rng.integers(len(fit), size=(n_bootstrap, len(fit)))
    all_rows = np.arange(len(fit))[None]
    found = {}
    for name, statistic in _statistics(fit, chromatic).items():
        found[name] = estimate(statistic(all_rows, 1)[0], statistic(rows, 2))
    return found


def chromatic_share(atoms):
    """Part of each atom's energy that is not alike in all channels; 0 for one channel."""
    grey = luminance(unit(atoms.astype("float64")))
    return np.maximum(1 - (grey**2).sum(axis=(1, 2, 3)), 0)


def _statistics(fit, chromatic):
    """Functions of ``rows`` (B, K) of indices, and of how many draws away from the world they are.

    All but R2 and colour speak of Gabor-like filters only: elsewhere parameters mean nothing.
    """
    every, like = np.ones(len(fit), bool), fit.gabor_like
    turns = np.round(fit.orientation / np.pi * ORIENTATION_BINS).astype(int) % ORIENTATION_BINS
    octave = np.digitize(fit.frequency, FREQUENCY_EDGES[1:-1])
    quarter = np.minimum((fit.parity / (np.pi / 2) * PARITY_BINS).astype(int), PARITY_BINS - 1)
    finite = np.isfinite(fit.bandwidth)
    blob = np.maximum(fit.n_x, fit.n_y) < MACAQUE_EDGES[2]
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
        "blobs (n_x, n_y < 0.3)": _share(blob, like),
    }


def _share(which, among):
    def statistic(rows, _):
        n = among[rows].sum(axis=1)
        return _divided((which & among)[rows].sum(axis=1), n, n > 0)

    return statistic


def _median(values, among):
    return lambda rows, _: _quantile(values, among, rows, 0.5)


def _range(values, among):
    """Between which 90 % of the values lie."""
    low, high = CENTRAL

    def statistic(rows, _):
        return _quantile(values, among, rows, high) - _quantile(values, among, rows, low)

    return statistic


def _coverage(bins, among, n_bins):
    """Effective part of the bins that is used, 1 / (n_bins sum p^2): 1 where all are alike.

    Of n draws, sum p^2 of the counts is (1 - 1/n) times that of the population plus 1/n: undone
    once for the filters at hand, and twice for a resample of them.
    """
    one = np.eye(n_bins)[bins] * among[:, None]

    def statistic(rows, n_draws):
        counts = one[rows].sum(axis=1)
        n = counts.sum(axis=1)
        purity = _divided((counts**2).sum(axis=1), n**2, n > 1)
        for _ in range(n_draws):
            purity = _divided(purity - 1 / np.maximum(n, 1), 1 - 1 / np.maximum(n, 1), n > 1)
        return 1 / (n_bins * np.maximum(purity, 1 / n_bins))

    return statistic


def _quantile(values, among, rows, q):
    """Of the values that count in every row, linear between neighbours; NaN where none does."""
    x = np.sort(np.where(among, values, np.nan)[rows], axis=1)  # NaN last
    n = np.isfinite(x).sum(axis=1)
    place = q * np.maximum(n - 1, 0)
    below = place.astype(int)
    above = np.minimum(below + 1, np.maximum(n - 1, 0))
    lower, upper = (np.take_along_axis(x, i[:, None], axis=1)[:, 0] for i in (below, above))
    return lower + (place - below) * (upper - lower)


def _divided(a, b, where):
    return np.divide(a, b, out=np.full(len(a), np.nan), where=where)
