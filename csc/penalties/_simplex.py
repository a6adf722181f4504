"""Codes that are weights of a mean: non-negative, with a sum of one."""

from dataclasses import dataclass
from math import inf

from csc._backend import namespace
from csc._typing import Array
from csc._validation import check_real
from csc.penalties._sparse_groups import NORM_ROUNDING


@dataclass(frozen=True)
class Simplex:
    """Codes of each signal with ``z >= 0`` and ``sum z = 1``: a constraint in place of a penalty [1]_.

    A reconstruction is then a weighted mean of atoms, as in archetypal analysis [2]_ and in the unmixing
    of spectra. The objective is the data term alone; it is infinite for other codes, such as zeros.

    References
    ----------
    .. [1] J. Duchi, S. Shalev-Shwartz, Y. Singer, T. Chandra, "Efficient projections onto the l1-ball
       for learning in high dimensions", ICML 2008, fig. 1.
    .. [2] A. Cutler, L. Breiman, "Archetypal analysis", Technometrics 36(4), 1994.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[1.0, 0.4]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> csc.solve(csc.Problem(x, D, csc.Simplex()), tol=1e-9).codes.ravel().round(3)
    array([0.8, 0.2])
    """

    convex = True
    lmbda = 0.0  # none
    positive = True  # codes are not negative

    def value(self, z: Array) -> float:
        """0, or infinite outside of the simplex."""
        return float(self.values(z).sum())

    def values(self, z: Array) -> Array:
        """`value` of each signal's codes ``(N,)``; the rounding of a projection is allowed."""
        z = check_real("z", z)
        rows = z.reshape(len(z), -1)
        apart = abs(rows.sum(axis=1, dtype="float64") - 1)
        inside = (apart <= NORM_ROUNDING) & (rows >= 0).all(axis=1)
        return namespace(z).where(inside, 0.0, inf)

    def prox(self, z: Array, step: float) -> Array:  # noqa: ARG002  the same for all
        """The nearest codes in the simplex: less one number for each signal, and at least 0."""
        z = check_real("z", z)
        xp, rows = namespace(z), z.reshape(len(z), -1).astype("float64")
        rows = rows - rows.max(axis=1, keepdims=True)  # the answer is the same, with less rounding
        falling = -xp.sort(-rows, axis=1)
        numbers = xp.arange(1, rows.shape[1] + 1)
        thresholds = (xp.cumsum(falling, axis=1) - 1) / numbers
        last = (falling > thresholds).sum(axis=1) - 1
        nearest = xp.maximum(rows - thresholds[xp.arange(len(z)), last][:, None], 0)
        return nearest.astype(z.dtype).reshape(z.shape)

    def lmbda_max(self, correlations: Array, energies: Array | None = None) -> float:  # noqa: ARG002
        """0: there is no ``lmbda``."""
        return 0.0

    def dual_norm(self, q: Array) -> Array:
        """0 for each signal ``(N,)``: ``g*`` is finite everywhere."""
        return namespace(q).zeros(len(q))

    def conjugate(self, q: Array, scale: Array) -> Array:
        """``g*(scale q) = scale max q``, ``(N,)``."""
        return scale * q.reshape(len(q), -1).max(axis=1)

    def subdiff_distance(self, z: Array, q: Array) -> Array:
        """Largest ``m - q`` over the codes in use, m the largest q, ``(N,)``; infinite outside."""
        xp, rows, own = namespace(z), z.reshape(len(z), -1), q.reshape(len(q), -1)
        apart = xp.where(rows != 0, own.max(axis=1)[:, None] - own, 0).max(axis=1)
        return xp.where(xp.isinf(self.values(z)), inf, apart)
