"""Smooth data terms: least squares, counts, and bits.

The loss ``phi(x, u)`` of a sample is convex in the fit u. Every term has

- ``loss``: ``phi(x, u)``; infinite outside of the domain,
- ``slope``: minus its derivative with respect to u,
- ``conjugate``: ``max_u  -t u - phi(x, u)``, the convex conjugate at ``-t``; infinite outside,
- ``prox``: ``argmin_u  step phi(x, u) + 1/2 (u - v)^2``,
- ``curvature``: an upper bound of the second derivative, if ``smooth``,
- ``second_derivative``: with respect to u, if ``smooth``,
- ``majoriser_curvature``: c such that the parabola ``phi + phi' (v - u) + c / 2 (v - u)^2`` lies above
  ``phi(x, v)`` for all v.

All work on each sample alone, and return arrays of the shape and dtype of the signals.
"""

from dataclasses import dataclass
from math import log
from typing import Any

from csc._backend import namespace
from csc._typing import Array
from csc._validation import check_number
from csc.data_terms._weights import SampleWeightsMixin, checked_weights

MIN_CURVATURE = 0.01  # of Poisson's majoriser, times 1 / rate: 0 has no parabola, and no step
NEWTON_STEPS = 60  # of the prox of Logistic, safeguarded by bisection
SMALL_FIT = 1e-4  # relative to the background, or of a logit: below, the limit of a formula at 0


@dataclass(frozen=True, eq=False, repr=False)
class LeastSquares(SampleWeightsMixin):
    """``1/2 sum w (x - u)^2``: Gaussian noise, of variance ``1 / w``.

    Parameters
    ----------
    weights : array, optional
        ``w >= 0``, which NumPy broadcasts to the signals ``(N, C, *S)``; 0 leaves a sample out, as a mask
        does. None means ones.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 1.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> noise = csc.data_terms.LeastSquares(weights=np.array([4.0, 1.0]))
    >>> csc.solve(csc.Problem(x, D, csc.L1(1.0), data_term=noise), tol=1e-9).codes.ravel()
    array([2.75, 0.  ])
    """

    weights: Array | None = None

    smooth = True

    def __post_init__(self):
        object.__setattr__(self, "weights", checked_weights(self.weights))

    def loss(self, x: Array, u: Array) -> Array:
        """``1/2 (x - u)^2``."""
        return 0.5 * (x - u) ** 2

    def slope(self, x: Array, u: Array) -> Array:
        """``x - u``."""
        return x - u

    def conjugate(self, x: Array, t: Array) -> Array:
        """``t^2 / 2 - t x``."""
        return 0.5 * t * t - t * x

    def prox(self, x: Array, v: Array, step: float) -> Array:
        """``(v + step x) / (1 + step)``."""
        return (v + step * x) / (1 + step)

    def curvature(self, x: Array) -> Array:
        """1."""
        return namespace(x).ones((), x.dtype)

    def majoriser_curvature(self, x: Array, u: Array) -> Array:  # noqa: ARG002
        """1."""
        return namespace(u).ones_like(u)

    def second_derivative(self, x: Array, u: Array) -> Array:  # noqa: ARG002
        """1."""
        return namespace(u).ones_like(u)


LEAST_SQUARES = LeastSquares()  # the default everywhere


@dataclass(frozen=True, eq=False, repr=False)
class Poisson(SampleWeightsMixin):
    """``sum w (u + b - x log(u + b))``: counts x of mean ``u + b``, for fits ``u >= 0``.

    The constant ``x log x - x`` is added, so that the value is the Kullback-Leibler divergence of
    x from its mean, >= 0. The background b > 0 makes the term smooth: its curvature is at most
    ``x / b^2`` [1]_. Fits must be >= 0: atoms >= 0, and a penalty with ``positive=True``.

    Parameters
    ----------
    background : float
        b, > 0: counts without any signal, such as dark current.
    weights : array, optional
        As in `LeastSquares`.

    References
    ----------
    .. [1] Z. T. Harmany, R. F. Marcia, R. M. Willett, "This is SPIRAL-TAP: sparse Poisson intensity
       reconstruction algorithms", IEEE TIP 21(3), 2012.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[9.0, 1.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> counts = csc.Problem(
    ...     x, D, csc.L1(0.5, positive=True), data_term=csc.data_terms.Poisson(background=1.0))
    >>> csc.solve(counts, tol=1e-8).codes.ravel().round(3)
    array([5., 0.])
    """

    background: float
    weights: Array | None = None

    smooth = True

    def __post_init__(self):
        check_number("background", self.background, strict=True)
        object.__setattr__(self, "weights", checked_weights(self.weights))

    def check(self, x: Array, dictionary: Any, penalty: Any) -> None:
        """Refuse negative counts, and problems whose fits may be negative."""
        if x.min() < 0:
            raise ValueError(f"x must be >= 0 for a Poisson data term, got {float(x.min()):.3g}")
        if dictionary.atoms.min() < 0:
            raise ValueError(
                "the atoms must be >= 0 for a Poisson data term, whose fits are counts, got "
                f"{float(dictionary.atoms.min()):.3g}; learn them with csc.constraints.NonNegative()"
            )
        if not getattr(penalty, "positive", False):
            raise ValueError(
                "the penalty must have positive=True, or be csc.Simplex(), for a Poisson data term, "
                f"whose fits are counts, got {penalty!r}"
            )

    def loss(self, x: Array, u: Array) -> Array:
        """``u + b - x log(u + b) + x log x - x``; infinite for ``u < 0``."""
        xp, rate = namespace(x, u), u + self.background
        safe = xp.where(rate > 0, rate, 1)
        value = rate - x + x * xp.log(xp.where(x > 0, x, 1) / safe)
        return xp.where(u >= 0, xp.maximum(value, 0), xp.inf)

    def slope(self, x: Array, u: Array) -> Array:
        """``x / (u + b) - 1``; extended by a line to ``u < 0``, where steps may extrapolate."""
        b, xp = self.background, namespace(x, u)
        inside = xp.maximum(u, 0)
        return x / (inside + b) - 1 - (u - inside) * x / b**2

    def conjugate(self, x: Array, t: Array) -> Array:
        """``t b - x log(1 + t)`` if the maximum lies at ``u = x / (1 + t) - b >= 0``, else at 0."""
        b, xp = self.background, namespace(x, t)
        inner = (x >= b * (1 + t)) & (t > -1)
        interior = t * b - x * xp.log1p(xp.where(inner, t, 0))
        logs = xp.log(xp.where(x > 0, x, 1)) - log(b)
        value = xp.where(inner, interior, x - b - x * logs)
        return xp.where(t < -1, xp.inf, value)

    def prox(self, x: Array, v: Array, step: float) -> Array:
        """The positive root of ``m^2 + (step - b - v) m - step x``, less b; at least 0."""
        xp, linear = namespace(x, v), v + self.background - step
        root = 0.5 * (linear + xp.sqrt(linear * linear + 4 * step * x))
        return xp.maximum(root - self.background, 0)

    def curvature(self, x: Array) -> Array:
        """``x / b^2``; for counts of 0, whose loss is a line, a small number that gives steps a length."""
        b = self.background
        return namespace(x).maximum(x / b**2, MIN_CURVATURE / b)

    def majoriser_curvature(self, x: Array, u: Array) -> Array:
        """Of the parabola that touches at u and meets the loss at 0: above it, as its slope is concave."""
        b, xp = self.background, namespace(x, u)
        inside = xp.maximum(u, 0)
        near = inside < SMALL_FIT * b
        safe = xp.where(near, 1, inside)
        rise = x * (xp.log1p(safe / b) - safe / (safe + b))
        meets = xp.where(near, x / b**2, 2 * rise / safe**2)
        return xp.maximum(meets, MIN_CURVATURE / (inside + b))

    def second_derivative(self, x: Array, u: Array) -> Array:
        """``x / (u + b)^2``."""
        return x / (namespace(x, u).maximum(u, 0) + self.background) ** 2


@dataclass(frozen=True, eq=False, repr=False)
class Logistic(SampleWeightsMixin):
    """``sum w (log(1 + e^u) - x u)``: bits x, each 1 with the probability ``1 / (1 + e^-u)``.

    Signals may be any numbers from 0 to 1, such as shares of ones. Its curvature is at most 1/4.

    Parameters
    ----------
    weights : array, optional
        As in `LeastSquares`.

    References
    ----------
    .. [1] T. Jaakkola, M. Jordan, "Bayesian parameter estimation via variational methods", Stat.
       Comput. 10, 2000 (the parabola above the loss).

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[1.0, 0.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> bits = csc.Problem(x, D, csc.L1(0.25), data_term=csc.data_terms.Logistic())
    >>> csc.solve(bits, tol=1e-8).codes.ravel().round(3)  # logit of 3/4
    array([ 1.099, -1.099])
    """

    weights: Array | None = None

    smooth = True

    def __post_init__(self):
        object.__setattr__(self, "weights", checked_weights(self.weights))

    def check(self, x: Array, dictionary: Any, penalty: Any) -> None:  # noqa: ARG002
        """Refuse signals outside of [0, 1]."""
        low, high = float(x.min()), float(x.max())
        if low < 0 or high > 1:
            raise ValueError(
                f"x must lie in [0, 1] for a Logistic data term, got {low:.3g} to {high:.3g}"
            )

    def loss(self, x: Array, u: Array) -> Array:
        """``log(1 + e^u) - x u``."""
        xp = namespace(x, u)
        return xp.maximum(u, 0) + xp.log1p(xp.exp(-abs(u))) - x * u

    def slope(self, x: Array, u: Array) -> Array:
        """``x - 1 / (1 + e^-u)``."""
        return x - _sigmoid(u)

    def conjugate(self, x: Array, t: Array) -> Array:
        """``p log p + (1 - p) log(1 - p)`` with ``p = x - t`` in [0, 1]."""
        xp, p = namespace(x, t), x - t
        value = 0 * p
        for share in (p, 1 - p):
            value = value + share * xp.log(xp.where(share > 0, share, 1))
        return xp.where((p < 0) | (p > 1), xp.inf, value)

    def prox(self, x: Array, v: Array, step: float) -> Array:
        """By Newton's method between ``v + step (x - 1)`` and ``v + step x``, halved if it leaves."""
        xp = namespace(x, v)
        low, high = v + step * (x - 1), v + step * x
        u = 0.5 * (low + high)
        for _ in range(NEWTON_STEPS):
            p = _sigmoid(u)
            excess = step * (p - x) + u - v
            low, high = xp.where(excess < 0, u, low), xp.where(excess < 0, high, u)
            new = u - excess / (1 + step * p * (1 - p))
            u = xp.where((new > low) & (new < high), new, 0.5 * (low + high))
        return u

    def curvature(self, x: Array) -> Array:
        """1/4."""
        return namespace(x).full((), 0.25, x.dtype)

    def separates(self, x: Array, u: Array) -> Array:
        """Where the fit has the sign of the bit: the loss of ``c u`` falls to 0 as c grows."""
        return ((x == 1) & (u > 0)) | ((x == 0) & (u < 0))

    def majoriser_curvature(self, x: Array, u: Array) -> Array:  # noqa: ARG002
        """``tanh(u / 2) / (2 u)`` [1]_."""
        xp = namespace(u)
        near = abs(u) < SMALL_FIT
        safe = xp.where(near, 1, u)
        return xp.where(near, 0.25, xp.tanh(0.5 * safe) / (2 * safe))

    def second_derivative(self, x: Array, u: Array) -> Array:  # noqa: ARG002
        """``p (1 - p)`` with ``p = 1 / (1 + e^-u)``."""
        p = _sigmoid(u)
        return p * (1 - p)


def _sigmoid(u):
    xp = namespace(u)
    decay = xp.exp(-abs(u))
    return xp.where(u >= 0, 1, decay) / (1 + decay)
