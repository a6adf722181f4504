"""Penalties on the codes: each states its value and its proximal operator."""

from dataclasses import dataclass
from math import inf

import numpy as np

from csc._device import namespace
from csc._validate import check_floats, check_number


@dataclass(frozen=True)
class Relative:
    """A penalty strength given as a fraction of the smallest one that silences all codes.

    ``Relative(0.1)`` stands for ``0.1 * lmbda_max``, where ``lmbda_max`` belongs to the
    signals at hand (a whole batch shares one).

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 4.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> csc.Problem(x, D, csc.L1(csc.Relative(0.5))).penalty
    L1(lmbda=2.0, weights=None, positive=False)
    """

    fraction: float

    def __post_init__(self):
        check_number("fraction", self.fraction)


def _check_lmbda(lmbda):
    if not isinstance(lmbda, Relative):
        check_number("lmbda", lmbda)


@dataclass(frozen=True)
class L1:
    """``lmbda * sum(w |z|)``, optionally for non-negative codes only.

    Parameters
    ----------
    lmbda : float or Relative
        Strength, >= 0.
    weights : array, optional
        ``w >= 0``, broadcastable to the codes ``(N, K, *V)``; None means ones.
    positive : bool
        Ask for ``z >= 0`` (the value is infinite elsewhere).

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.L1(1.0).prox(np.array([-3.0, 0.5, 2.0]), 1.0)
    array([-2.,  0.,  1.])
    """

    lmbda: float | Relative
    weights: np.ndarray | None = None
    positive: bool = False

    name = "l1"
    convex = True

    def __post_init__(self):
        _check_lmbda(self.lmbda)
        if self.weights is not None and (check_floats("weights", self.weights) < 0).any():
            raise ValueError(f"weights must be >= 0, got {self.weights.min()}")

    def value(self, z):
        """Penalty of codes ``z``, accumulated in float64."""
        return float(self.values(z).sum())

    def values(self, z):
        """Penalty of each signal's codes ``(N,)``, in float64."""
        sizes = abs(z) if self.weights is None else abs(z) * self._weights(z)
        rows = sizes.reshape(len(z), -1)
        values = float(self.lmbda) * rows.sum(axis=1, dtype="float64")
        if self.positive:
            values[(z < 0).reshape(len(z), -1).any(axis=1)] = inf
        return values

    def prox(self, z, step):
        """argmin_u  step * lmbda * sum(w |u|) + 1/2 ||u - z||^2: soft-threshold at step lmbda w."""
        xp = namespace(z)
        threshold = xp.asarray(step * self.lmbda * self._weights(z), dtype=z.dtype)
        if self.positive:
            return xp.maximum(z - threshold, 0)
        return xp.sign(z) * xp.maximum(abs(z) - threshold, 0)

    def lmbda_max(self, correlations, energies=None):  # noqa: ARG002  one signature for all
        """Smallest ``lmbda`` whose codes are all zero: ``max |D^T x| / w``."""
        q = correlations if self.positive else abs(correlations)
        if self.weights is None:
            return max(float(q.max()), 0.0)
        penalised = self.weights > 0
        ratio = namespace(q).where(penalised, q, 0) / (self.weights + ~penalised)
        return max(float(ratio.max()), 0.0)

    def _weights(self, z):
        return 1 if self.weights is None else self.weights.astype(z.dtype, copy=False)


@dataclass(frozen=True)
class L0:
    """``lmbda * ||z||_0``, the number of non-zero codes; not convex.

    Parameters
    ----------
    lmbda : float or Relative
        Price of one non-zero code, >= 0.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.L0(2.0).prox(np.array([-3.0, 0.5, 1.9]), 1.0)
    array([-3.,  0.,  0.])
    """

    lmbda: float | Relative

    name = "l0"
    convex = False

    def __post_init__(self):
        _check_lmbda(self.lmbda)

    def value(self, z):
        """Penalty of codes ``z``."""
        return float(self.lmbda) * int((z != 0).sum())

    def prox(self, z, step):
        """argmin_u  step lmbda ||u||_0 + 1/2 ||u - z||^2: hard-threshold at sqrt(2 step lmbda)."""
        return z * (z * z > 2 * step * self.lmbda)

    def lmbda_max(self, correlations, energies):
        """Smallest ``lmbda`` at which no single atom pays: ``max (d^T x)^2 / (2 ||d||^2)``.

        ``energies`` are the squared norms of the atoms, shaped to broadcast over the codes.
        """
        used = namespace(energies).where(energies > 0, energies, 1)  # zero atoms correlate to 0
        return float((correlations**2 / (2 * used)).max())


@dataclass(frozen=True)
class LogPenalty:
    """``lmbda * sum(log(1 + (z / scale)^2))``, Olshausen and Field's choice [1]_; not convex.

    Parameters
    ----------
    lmbda : float
        Strength, >= 0; never `Relative`, for no finite one silences all codes.
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

    name = "log"
    convex = False

    def __post_init__(self):
        if isinstance(self.lmbda, Relative):
            raise TypeError("LogPenalty has no finite lmbda_max: lmbda cannot be Relative")
        check_number("lmbda", self.lmbda)
        check_number("scale", self.scale, strict=True)

    def value(self, z):
        """Penalty of codes ``z``, accumulated in float64."""
        scaled = z / z.dtype.type(self.scale)
        return float(self.lmbda) * float(namespace(z).log1p(scaled * scaled).sum(dtype="float64"))

    def prox(self, z, step):
        """argmin_u  step lmbda log(1 + (u/scale)^2) + 1/2 (u - z)^2, entry by entry.

        Stationary points solve ``u^3 - a u^2 + (s^2 + 2 step lmbda) u - a s^2 = 0`` with
        a = |z|, s = scale; of its real roots, all in [0, a], the one of least cost is taken.
        """
        xp = namespace(z)
        a = abs(z).astype("float64")
        weight, s2 = step * self.lmbda, self.scale**2
        roots = _cubic_roots(xp, -a, s2 + 2 * weight, -a * s2).clip(0, a)
        cost = weight * xp.log1p(roots * roots / s2) + 0.5 * (roots - a) ** 2
        best = xp.take_along_axis(roots, cost.argmin(axis=0)[None], axis=0)[0]
        return (xp.sign(z) * best).astype(z.dtype)


def _cubic_roots(xp, b, c, d):
    """Real roots of u^3 + b u^2 + c u + d, stacked on a new axis; a single one thrice.

    Viete's and Cardano's formulas give the roots, two Newton steps mend their cancellation.
    """
    p, q = c - b * b / 3, 2 * b**3 / 27 - b * c / 3 + d
    disc = (q / 2) ** 2 + (p / 3) ** 3
    root = xp.sqrt(xp.maximum(disc, 0))
    single = xp.cbrt(-q / 2 + root) + xp.cbrt(-q / 2 - root)
    radius = 2 * xp.sqrt(xp.maximum(-p / 3, 0))
    ratio = (3 * q / (p * radius + (p * radius == 0))).clip(-1, 1)
    angle = xp.arccos(ratio) / 3
    thrice = xp.stack([radius * xp.cos(angle - 2 * np.pi * k / 3) for k in range(3)])
    u = xp.where(disc > 0, single, thrice) - b / 3
    for _ in range(2):
        slope = (3 * u + 2 * b) * u + c
        flat = slope == 0
        u = u - xp.where(flat, 0, ((u + b) * u + c) * u + d) / xp.where(flat, 1, slope)
    return u
