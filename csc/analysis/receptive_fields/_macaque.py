"""How far the shapes of receptive fields are from those of macaque V1, and from chance."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from csc.analysis.receptive_fields._statistics import MACAQUE, earth_mover, shape_histogram

INTERVAL_95 = (0.025, 0.975)  # quantiles
N_RESAMPLES = 100  # of the atoms
N_FLOOR_PAIRS = 400  # of samples of the macaque table


class MacaqueDistance(NamedTuple):
    """Earth mover's distance of the shapes (n_x, n_y) to `MACAQUE`, with its references.

    Attributes
    ----------
    emd : float
        Of the Gabor-like atoms, in bins.
    interval : (float, float)
        95 % bootstrap interval: atoms drawn with replacement. A resample is coarser than the
        atoms, so its distance is larger on average.
    null : float
        Of phase-scrambled atoms, every one of them: few are Gabor-like.
    null_gabor_like : float
        Of the Gabor-like ones among them.
    n_null_gabor_like : int
        How many these are.
    floor : float
        Median distance between two samples of 79 cells of `MACAQUE` itself. A distance below its
        interval cannot be told from zero with 79 cells.
    floor_interval : (float, float)
        Its central 95 %.

    Examples
    --------
    >>> import numpy as np
    >>> from csc.analysis.receptive_fields import analyse
    >>> report = analyse(np.random.default_rng(0).standard_normal((4, 1, 8, 8)), rng=0)
    >>> 0.2 < report.macaque.floor < 0.4
    True
    """

    emd: float
    interval: tuple
    null: float
    null_gabor_like: float
    n_null_gabor_like: int
    floor: float
    floor_interval: tuple

    def __str__(self):
        low, high = self.interval
        null = f"phase-scrambled {self.null:.2f}"
        if self.n_null_gabor_like:
            null += f" ({self.n_null_gabor_like} Gabor-like: {self.null_gabor_like:.2f})"
        floor = "two samples of the macaque table {:.2f} [{:.2f}, {:.2f}]".format(
            self.floor, *self.floor_interval
        )
        return f"EMD to macaque {self.emd:.2f} [{low:.2f}, {high:.2f}] bins; {null}; {floor}"


def macaque_distance(fit, null_phase, rng):
    """`MacaqueDistance` of a `GaborFit` and of that of the phase-scrambled atoms."""
    like, null = fit[fit.gabor_like], null_phase[null_phase.gabor_like]
    rows = rng.integers(max(len(like), 1), size=(N_RESAMPLES, len(like)))
    n_x, n_y = like.n_x, like.n_y  # computed at each access
    floor = _floor_distances()
    return MacaqueDistance(
        emd=_to_macaque(n_x, n_y),
        interval=_interval([_to_macaque(n_x[r], n_y[r]) for r in rows]),
        null=_to_macaque(null_phase.n_x, null_phase.n_y),
        null_gabor_like=_to_macaque(null.n_x, null.n_y),
        n_null_gabor_like=len(null),
        floor=float(np.median(floor)),
        floor_interval=_interval(floor),
    )


def _to_macaque(n_x, n_y):
    return earth_mover(shape_histogram(n_x, n_y)[0], MACAQUE)


def _interval(values):
    low, high = np.quantile(values, INTERVAL_95)
    return float(low), float(high)


@lru_cache(maxsize=1)
def _floor_distances():
    """Distances between pairs of samples of the macaque table, each of as many cells.

    Both samples have the same size, so the best transport is a matching of cells to cells.
    """
    rng, n_cells = np.random.default_rng(0), MACAQUE.sum()
    cells = np.repeat(np.argwhere(MACAQUE), MACAQUE[MACAQUE > 0], axis=0)
    distances = []
    for _ in range(N_FLOOR_PAIRS):
        first, second = cells[rng.integers(n_cells, size=(2, n_cells))]
        costs = cdist(first, second)
        distances.append(costs[linear_sum_assignment(costs)].mean())
    return np.array(distances)
