"""How far two populations of fits are apart, and how far chance would bring them."""

from typing import NamedTuple

import numpy as np

from csc.analysis.comparison._measures import TAILS, Estimate, estimate

WIDEST = 4.0  # octaves: bandwidths beyond, and infinite ones, count as this


class Distance(NamedTuple):
    """Energy distance of one quantity between two populations.

    Attributes
    ----------
    estimate : Estimate
        0 where both are alike, 1 where one is a single point and the other another. Unbiased: a
        small sample may give slightly less than 0.
    chance : (float, float)
        Between these 95 % of the values lie if the filters are mixed and split at random.
    """

    estimate: Estimate
    chance: tuple


def distances(a, b, n_bootstrap, rng):
    """`Distance` by the name of its quantity, between two Gabor fits."""
    found = {}
    for name, (quantity, metric) in QUANTITIES.items():
        found[name] = _distance(quantity(a), quantity(b), metric, n_bootstrap, rng)
    return found


def _distance(x, y, metric, n_bootstrap, rng):
    """Energy distance by its sums over pairs of one matrix; resamples are weights of its rows."""
    m, n = len(x), len(y)
    if min(m, n) < 2:
        nan = float("nan")
        return Distance(Estimate(nan, nan, nan), (nan, nan))
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
    low, high = np.quantile(chance, TAILS)
    return Distance(estimate(value, _energy(D, *drawn, draws=2)), (float(low), float(high)))


def _energy(D, v, w, draws):
    """1 - (E|X - X'| + E|Y - Y'|) / (2 E|X - Y|) for rows of weights; 0 if all is one point.

    Means over pairs of n draws are (1 - 1/n) times those of the population, for an element may
    meet itself: undone for each draw.
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


def _of_gabors(*columns):
    """Points (K, n) of the Gabor-like filters."""

    def quantity(fit):
        like = fit[fit.gabor_like]
        return np.stack([column(like) for column in columns], axis=1)

    return quantity


QUANTITIES = {
    "R2": (lambda fit: fit.r2[:, None], _line),
    "orientation": (_of_gabors(lambda fit: fit.orientation), _half_turn),
    "frequency (octaves)": (_of_gabors(lambda fit: np.log2(fit.frequency)), _line),
    "bandwidth (octaves)": (_of_gabors(lambda fit: np.minimum(fit.bandwidth, WIDEST)), _line),
    "phase, even to odd": (_of_gabors(lambda fit: fit.parity), _line),
    "aspect (octaves)": (_of_gabors(lambda fit: np.log2(fit.aspect)), _line),
    "(n_x, n_y) (octaves)": (
        _of_gabors(lambda fit: np.log2(fit.n_x), lambda fit: np.log2(fit.n_y)),
        _plane,
    ),
}
