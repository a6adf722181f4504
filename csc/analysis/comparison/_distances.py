"""Energy distances between two populations of Gabor fits, and those expected by chance."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from csc.analysis.comparison._measures import INTERVAL_95, Estimate, estimate

MAX_BANDWIDTH_OCTAVES = 4.0  # larger and infinite bandwidths are clipped to this
MIN_CYCLES = 0.05  # smaller n_x and n_y, those of even blobs, are clipped to this


class Interval(NamedTuple):
    """Lower and upper end."""

    low: float
    high: float


class Quantity(NamedTuple):
    """A quantity of Gabor fits: ``values(fit)`` are points (K, n), ``metric`` their distance."""

    values: Callable
    metric: Callable


class Distance(NamedTuple):
    """Energy distance of one quantity between two populations.

    Attributes
    ----------
    estimate : Estimate
        0 if both populations are equal, 1 if each is a single point and the two points differ.
        Unbiased: small samples may give slightly negative values.
    chance : (low, high)
        Central 95 % interval of the distance when the filters are pooled and split at random.
    """

    estimate: Estimate
    chance: Interval


def distances(a, b, n_bootstrap, rng):
    """`Distance` between two Gabor fits for every quantity, by name."""
    return {
        name: _distance(q.values(a), q.values(b), q.metric, n_bootstrap, rng)
        for name, q in QUANTITIES.items()
    }


def _distance(x, y, metric, n_bootstrap, rng):
    """Energy distance from the matrix of all pairwise distances; resamples are row weights."""
    m, n = len(x), len(y)
    if min(m, n) < 2:
        nan = float("nan")
        return Distance(Estimate(nan, nan, nan), Interval(nan, nan))
    both = np.concatenate([x, y])
    D = metric(both[:, None], both[None])
    own = np.zeros((2, 1, m + n))
    own[0, :, :m] = own[1, :, m:] = 1
    drawn = np.zeros((2, n_bootstrap, m + n))
    drawn[0, :, :m] = rng.multinomial(m, np.full(m, 1 / m), n_bootstrap)
    drawn[1, :, m:] = rng.multinomial(n, np.full(n, 1 / n), n_bootstrap)
    mixed = rng.permuted(np.tile(own[0], (n_bootstrap, 1)), axis=1)
    value = _energy(D, *own, draws=1)[0]
    chance = _energy(D, mixed, 1 - mixed, draws=1)
    low, high = np.quantile(chance, INTERVAL_95)
    chance = Interval(float(low), float(high))
    return Distance(estimate(value, _energy(D, *drawn, draws=2)), chance)


def _energy(D, v, w, draws):
    """1 - (E|X - X'| + E|Y - Y'|) / (2 E|X - Y|) for rows of weights; 0 if all points are equal.

    Means over pairs of n draws include pairs of an element with itself, so they are (1 - 1/n)
    times those of the population. This bias is removed once for each level of drawing.
    """
    m, n = v.sum(axis=1), w.sum(axis=1)
    Dv, Dw = v @ D, w @ D
    within = (Dv * v).sum(axis=1) / (m**2 * (1 - 1 / m) ** draws)
    within += (Dw * w).sum(axis=1) / (n**2 * (1 - 1 / n) ** draws)
    between = 2 * (Dv * w).sum(axis=1) / (m * n)
    return np.divide(between - within, between, out=np.zeros_like(between), where=between > 0)


def _line(x, y):
    return np.abs(x - y)[..., 0]


def _half_turn(x, y):
    angle = np.abs(x - y)[..., 0]
    return np.minimum(angle, np.pi - angle)


def _plane(x, y):
    return np.sqrt(((x - y) ** 2).sum(axis=-1))


def _of_gabor_like(*columns):
    """A function of a fit: columns of its Gabor-like filters as points (K, n)."""

    def quantity(fit):
        like = fit[fit.gabor_like]
        return np.stack([column(like) for column in columns], axis=1)

    return quantity


QUANTITIES = {
    "R2": Quantity(lambda fit: fit.r2[:, None], _line),
    "orientation": Quantity(_of_gabor_like(lambda fit: fit.orientation), _half_turn),
    "frequency (octaves)": Quantity(_of_gabor_like(lambda fit: np.log2(fit.frequency)), _line),
    "bandwidth (octaves)": Quantity(
        _of_gabor_like(lambda fit: np.minimum(fit.bandwidth, MAX_BANDWIDTH_OCTAVES)), _line
    ),
    "phase, even to odd": Quantity(_of_gabor_like(lambda fit: fit.parity), _line),
    "aspect (octaves)": Quantity(_of_gabor_like(lambda fit: np.log2(fit.aspect)), _line),
    "(n_x, n_y) (octaves)": Quantity(
        _of_gabor_like(
            lambda fit: np.log2(np.maximum(fit.n_x, MIN_CYCLES)),
            lambda fit: np.log2(np.maximum(fit.n_y, MIN_CYCLES)),
        ),
        _plane,
    ),
}
