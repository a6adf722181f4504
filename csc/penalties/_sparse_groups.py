"""Codes that are sparse, and in few groups; codes of a limited l1 norm."""

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from csc._backend import namespace, to_host
from csc._norms import norms_of, to_unit_range
from csc._soft_threshold import soft_threshold
from csc._typing import Array, Shape
from csc._validation import check_count, check_number, check_real
from csc.penalties._convex import GroupL21
from csc.penalties._lmbda import Lmbda, check_lmbda

# relative: gauges are rounded up, so that a scaled dual point is feasible, and bounds of them more
GAUGE_ROUNDING, BOUND_ROUNDING = 1e-15, 1e-12
NORM_ROUNDING = 1.2e-7  # relative, of the l1 norm of codes that are rounded to float32


@dataclass(frozen=True)
class SparseGroupL21:
    """``lmbda * (sum |z| + ratio * sum_g ||z_g||_2)``: few groups, and few codes in each [1]_.

    A group holds the codes of ``group_size`` consecutive atoms at one position of one signal, as in
    `GroupL21`, whose recipe for colour applies: channels then share most of their support.

    Parameters
    ----------
    lmbda : float or Relative
        Regularization parameter, >= 0.
    group_size : int
        Atoms in a group, a divisor of their number K.
    ratio : float
        Weight of the norms of groups relative to the absolute values, >= 0.

    References
    ----------
    .. [1] J. Friedman, T. Hastie, R. Tibshirani, "A note on the group lasso and a sparse group
       lasso", arXiv:1001.0736, 2010.

    Examples
    --------
    >>> import numpy as np, csc
    >>> z = np.array([[[4.0], [5.0], [1.5], [1.5]]])  # soft-threshold, then shorten the groups
    >>> csc.SparseGroupL21(1.0, group_size=2, ratio=2.5).prox(z, 1.0).ravel()
    array([1.5, 2. , 0. , 0. ])
    """

    lmbda: Lmbda
    group_size: int
    ratio: float = 1.0

    convex = True

    def __post_init__(self):
        check_lmbda(self.lmbda)
        check_count("group_size", self.group_size)
        check_number("ratio", self.ratio)

    @property
    def _groups(self):
        return GroupL21(1.0, self.group_size)

    def check_codes(self, shape: Shape) -> None:
        """Refuse codes of a ``shape`` (N, K, *V) whose atoms do not fill the groups."""
        self._groups.check_codes(shape)

    def value(self, z: Array) -> float:
        """Penalty of codes ``z``, accumulated in float64."""
        return float(self.values(z).sum())

    def values(self, z: Array) -> Array:
        """Penalty of each signal's codes ``(N,)``, in float64."""
        z = check_real("z", z)
        sizes = abs(z).reshape(len(z), -1).sum(axis=1, dtype="float64")
        return float(self.lmbda) * (sizes + self.ratio * self._groups.values(z))

    def prox(self, z: Array, step: float) -> Array:
        """argmin_u  step g(u) + 1/2 ||u - z||^2: soft-threshold, then shorten each group."""
        threshold = step * self.lmbda
        shrunk = soft_threshold(check_real("z", z), threshold, False)
        return self._groups.prox(shrunk, threshold * self.ratio)

    def lmbda_max(self, correlations: Array, energies: Array | None = None) -> float:  # noqa: ARG002
        """Smallest ``lmbda`` whose codes are all zero."""
        return float(replace(self, lmbda=1.0).dual_norm(correlations).max())

    def dual_norm(self, q: Array) -> Array:
        """Smallest t with ``||(|q_g| - t lmbda)_+|| <= t lmbda ratio`` for all groups, ``(N,)``."""
        xp = namespace(q)
        rows = np.moveaxis(to_host(self._groups._grouped(q)), 2, -1).astype("float64")
        rows = abs(rows.reshape(len(q), -1, self.group_size))
        if self.lmbda == 0:
            return xp.asarray(np.where(rows.max(axis=(1, 2)) > 0, inf, 0.0))
        norms = norms_of(rows, 2)[..., 0]
        out = self.gauges(rows[np.arange(len(q)), norms.argmax(axis=1)])
        # ||q_g|| / (lmbda (1 + ratio)) is no less than the gauge: few groups may have a larger one
        bounds = norms / (float(self.lmbda) * (1 + self.ratio)) * (1 + BOUND_ROUNDING)
        signal, group = np.nonzero(bounds > out[:, None])
        np.maximum.at(out, signal, self.gauges(rows[signal, group]))
        return xp.asarray(out)

    def gauges(self, rows: Array) -> Array:
        """Smallest t of each row of correlations with ``||(|q| - t lmbda)_+|| <= t lmbda ratio``.

        With the m largest entries above ``t lmbda``, that is a quadratic equation for t.

        Parameters
        ----------
        rows : array (n, group_size)
            One group each.

        Returns
        -------
        t : array (n,), float64
            Rounded up.
        """
        falling = -np.sort(-abs(rows.astype("float64")), axis=1)
        falling, exponents = to_unit_range(falling, 1)
        m, ratio = np.arange(1, rows.shape[1] + 1), self.ratio
        sums, squares = np.cumsum(falling, axis=1), np.cumsum(falling**2, axis=1)
        # squares - 2 t sums + (m - ratio^2) t^2 = 0: the smaller root, in the form without cancellation
        root = np.sqrt(np.maximum(sums**2 - (m - ratio**2) * squares, 0))
        t = squares / np.where(sums + root > 0, sums + root, 1)
        below = np.concatenate([falling[:, 1:], np.zeros((len(rows), 1))], axis=1)
        fits = (t <= falling * (1 + 1e-12)) & (t >= below * (1 - 1e-12))
        first = np.where(fits.any(axis=1), fits.argmax(axis=1), rows.shape[1] - 1)
        t = t[np.arange(len(rows)), first]
        t = _polished(falling, t, ratio) * (1 + GAUGE_ROUNDING)
        return np.ldexp(t, exponents[:, 0]) / float(self.lmbda)

    def conjugate(self, q: Array, scale: Array) -> Array:  # noqa: ARG002  one signature for all
        """``g*(scale q)`` of each signal ``(N,)``: 0 inside the domain."""
        return namespace(q).zeros(len(q))

    def subdiff_distance(self, z: Array, q: Array) -> Array:
        """Largest distance of a group of ``q`` from the subdifferential at ``z``, ``(N,)``."""
        lmbda = float(self.lmbda)
        xp, norms = namespace(z), self._groups._norms(z)
        gradient = self._groups._grouped(z) / xp.where(norms > 0, norms, 1)
        rest = q - lmbda * self.ratio * gradient.reshape(q.shape)
        apart = xp.where(z == 0, soft_threshold(rest, lmbda, False), rest - lmbda * xp.sign(z))
        distances = self._groups._norms(apart)
        at_zero = xp.maximum(distances - lmbda * self.ratio, 0)
        return xp.where(norms > 0, distances, at_zero).reshape(len(z), -1).max(axis=1)


def _polished(rows, t, ratio):
    """Gauges after a step of Newton's method, which repairs the rounding of a small root."""
    over = np.maximum(rows - t[:, None], 0)
    norms = np.sqrt((over**2).sum(axis=1))
    safe = np.where(norms > 0, norms, 1)
    slopes = np.where(norms > 0, ratio + over.sum(axis=1) / safe, 1)
    return t + np.where(norms > 0, (norms - t * ratio) / slopes, 0)


@dataclass(frozen=True)
class L1Ball:
    """Codes of each signal with ``sum |z| <= radius``: a constraint in place of a penalty [1]_.

    The objective is the data term alone; it is infinite for codes outside of the ball.

    Parameters
    ----------
    radius : float
        > 0.

    References
    ----------
    .. [1] J. Duchi, S. Shalev-Shwartz, Y. Singer, T. Chandra, "Efficient projections onto the l1-ball
       for learning in high dimensions", ICML 2008, fig. 1.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 1.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> csc.solve(csc.Problem(x, D, csc.L1Ball(1.0)), tol=1e-9).codes.ravel()
    array([1., 0.])
    """

    radius: float

    convex = True
    positive = False
    lmbda = 0.0  # none

    def __post_init__(self):
        check_number("radius", self.radius, strict=True)

    def value(self, z: Array) -> float:
        """0, or infinite outside of the ball."""
        return float(self.values(z).sum())

    def values(self, z: Array) -> Array:
        """`value` of each signal's codes ``(N,)``; the rounding of a projection is allowed."""
        z = check_real("z", z)
        norms = abs(z).reshape(len(z), -1).sum(axis=1, dtype="float64")
        largest = self.radius * (1 + NORM_ROUNDING)
        return namespace(z).where(norms <= largest, 0.0, inf)

    def prox(self, z: Array, step: float) -> Array:  # noqa: ARG002  the same for all
        """The nearest codes in the ball: soft-thresholded by one number for each signal."""
        z = check_real("z", z)
        xp, sizes = namespace(z), abs(z).reshape(len(z), -1).astype("float64")
        falling = -xp.sort(-sizes, axis=1)
        top = falling[:, :1]  # differences from it are exact, also where it is far above the radius
        numbers = xp.arange(1, sizes.shape[1] + 1)
        thresholds = (xp.cumsum(falling - top, axis=1) - self.radius) / numbers
        last = (falling - top > thresholds).sum(axis=1) - 1
        threshold = thresholds[xp.arange(len(z)), last][:, None]
        outside = threshold > -top
        shrunk = xp.where(outside, xp.maximum(sizes - top - threshold, 0), sizes).reshape(z.shape)
        return xp.copysign(shrunk, z).astype(z.dtype)

    def lmbda_max(self, correlations: Array, energies: Array | None = None) -> float:  # noqa: ARG002
        """0: there is no ``lmbda``."""
        return 0.0

    def dual_norm(self, q: Array) -> Array:
        """0 for each signal ``(N,)``: ``g*`` is finite everywhere."""
        return namespace(q).zeros(len(q))

    def conjugate(self, q: Array, scale: Array) -> Array:
        """``g*(scale q) = radius max |scale q|``, ``(N,)``."""
        return self.radius * scale * abs(q).reshape(len(q), -1).max(axis=1)

    def subdiff_distance(self, z: Array, q: Array) -> Array:
        """Largest ``| |q| - m |`` over the codes in use, m the largest ``|q|``, ``(N,)``.

        Inside of the ball, where only ``q = 0`` is optimal, m.
        """
        xp, rows, sizes = namespace(z), z.reshape(len(z), -1), abs(q.reshape(len(q), -1))
        top = sizes.max(axis=1)
        signed = xp.sign(rows) * q.reshape(len(q), -1)
        apart = xp.where(rows != 0, top[:, None] - signed, 0).max(axis=1)
        inside = abs(rows).sum(axis=1) < self.radius * (1 - NORM_ROUNDING)
        return xp.where(inside, top, apart)
