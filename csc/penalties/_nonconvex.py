"""Penalties that are not convex: they have a prox, but no duality gap."""

from dataclasses import dataclass
from math import inf

import numpy as np

from csc._backend import namespace
from csc._repr_html import PenaltyReprMixin
from csc._typing import Array
from csc._validation import check_flag, check_number, check_real
from csc.penalties._lmbda import Relative, check_lmbda


@dataclass(frozen=True)
class L0(PenaltyReprMixin):
    """``lmbda * ||z||_0``, the number of non-zero codes; not convex.

    Parameters
    ----------
    lmbda : float or Relative
        Regularization parameter, >= 0: the penalty of one non-zero code.
    positive : bool
        Ask for ``z >= 0`` (the value is infinite elsewhere).

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.L0(2.0).prox(np.array([-3.0, 0.5, 1.9]), 1.0)
    array([-3.,  0.,  0.])
    """

    lmbda: float | Relative
    positive: bool = False

    convex = False

    def __post_init__(self):
        check_lmbda(self.lmbda)
        check_flag("positive", self.positive)

    def value(self, z: Array) -> float:
        """Penalty of codes ``z``."""
        z = check_real("z", z)
        if self.positive and bool((z < 0).any()):
            return inf
        return float(self.lmbda) * int((z != 0).sum())

    def prox(self, z: Array, step: float) -> Array:
        """argmin_u  step lmbda ||u||_0 + 1/2 ||u - z||^2: hard-threshold at sqrt(2 step lmbda)."""
        z = check_real("z", z)
        xp = namespace(z)
        threshold = xp.sqrt(xp.asarray(2 * step * self.lmbda, dtype="float64"))
        kept = abs(z) > threshold.astype(z.dtype)
        return z * (kept & (z > 0) if self.positive else kept)

    def lmbda_max(self, correlations: Array, energies: Array) -> float:
        """Smallest ``lmbda`` at which no single atom lowers the objective: ``max (d^T x)^2 / (2 ||d||^2)``.

        ``energies`` are the squared norms of the atoms, shaped to broadcast over the codes.
        """
        used = namespace(energies).where(energies > 0, energies, 1)  # zero atoms correlate to 0
        q = correlations.clip(0) if self.positive else correlations
        return float((q**2 / (2 * used)).max())


@dataclass(frozen=True)
class LogPenalty(PenaltyReprMixin):
    """``lmbda * sum(log(1 + (z / scale)^2))``, Olshausen and Field's choice [1]_; not convex.

    Parameters
    ----------
    lmbda : float
        Regularization parameter, >= 0; never `Relative`, as no finite lambda makes all codes zero.
    scale : float
        ``sigma`` of the paper, > 0: codes well below it cost as their square, well above
        it as their logarithm.

    References
    ----------
    .. [1] B. Olshausen, D. Field, "Emergence of simple-cell receptive field properties by
       learning a sparse code for natural images", Nature 381, 1996.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.LogPenalty(1.0).prox(np.array([0.0, 3.0]), 0.5).round(3)
    array([0.   , 2.672])
    """

    lmbda: float
    scale: float = 1.0

    convex = False

    def __post_init__(self):
        if isinstance(self.lmbda, Relative):
            raise TypeError("LogPenalty has no finite lmbda_max: lmbda cannot be Relative")
        check_lmbda(self.lmbda)
        check_number("scale", self.scale, strict=True)

    def value(self, z: Array) -> float:
        """Penalty of codes ``z``, accumulated in float64."""
        z = check_real("z", z)
        scaled = z / z.dtype.type(self.scale)
        return float(self.lmbda) * float(_log1p_of_square(scaled).sum(dtype="float64"))

    def prox(self, z: Array, step: float) -> Array:
        """argmin_u  step lmbda log(1 + (u/scale)^2) + 1/2 (u - z)^2, entry by entry.

        Stationary points solve ``u^3 - a u^2 + (s^2 + 2 step lmbda) u - a s^2 = 0`` with
        a = |z|, s = scale; of its real roots, all in [0, a], the one of least cost is taken. It is
        solved in units of the largest of a, s and sqrt(step lmbda), against over- and underflow.
        """
        z = check_real("z", z)
        xp = namespace(z)
        a, s = abs(z).astype("float64"), float(self.scale)
        root = xp.sqrt(xp.asarray(step * self.lmbda, dtype="float64"))
        unit = xp.maximum(a, xp.maximum(root, s))
        a, s2, weight = a / unit, (s / unit) ** 2, (root / unit) ** 2
        roots = _cubic_roots(xp, -a, s2 + 2 * weight, -a * s2).clip(0, a)
        cost = weight * _log1p_of_square(roots * (unit / s)) + 0.5 * (roots - a) ** 2
        best = xp.take_along_axis(roots, cost.argmin(axis=0)[None], axis=0)[0]
        return (xp.sign(z) * best * unit).astype(z.dtype)


def _log1p_of_square(v):
    """``log(1 + v^2)``, where the square may overflow."""
    xp, size = namespace(v), abs(v)
    small, large = xp.minimum(size, 1), xp.maximum(size, 1)
    return 2 * xp.log(large) + xp.log1p((small / large) ** 2)


def _cubic_roots(xp, b, c, d):
    """Real roots of u^3 + b u^2 + c u + d, stacked on a new axis; a single one three times.

    Viete's and Cardano's formulas give the roots, two Newton steps correct their cancellation.
    """
    p, q = c - b * b / 3, 2 * b**3 / 27 - b * c / 3 + d
    disc = (q / 2) ** 2 + (p / 3) ** 3
    root = xp.sqrt(xp.maximum(disc, 0))
    single = xp.cbrt(-q / 2 + root) + xp.cbrt(-q / 2 - root)
    radius = 2 * xp.sqrt(xp.maximum(-p / 3, 0))
    ratio = (3 * q / (p * radius + (p * radius == 0))).clip(-1, 1)
    angle = xp.arccos(ratio) / 3
    triple = xp.stack([radius * xp.cos(angle - 2 * np.pi * k / 3) for k in range(3)])
    u = xp.where(disc > 0, single, triple) - b / 3
    for _ in range(2):
        derivative = (3 * u + 2 * b) * u + c
        flat = derivative == 0
        u = u - xp.where(flat, 0, ((u + b) * u + c) * u + d) / xp.where(flat, 1, derivative)
    return u
