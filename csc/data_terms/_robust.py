"""Robust data terms: a sample far off pulls no more than one at a given distance."""

from dataclasses import dataclass, replace

from csc._backend import namespace
from csc._typing import Array
from csc._validation import check_number
from csc.data_terms._weights import SampleWeightsMixin, checked_weights

# of the width of a smooth term: below, Huber's function is nearly an absolute value
SMALL_DELTA = 0.2


@dataclass(frozen=True, eq=False, repr=False)
class Huber(SampleWeightsMixin):
    """``sum w h(x - u)``, ``h(r) = r^2 / 2`` for ``|r| <= delta``, else ``delta |r| - delta^2 / 2`` [1]_.

    Least squares for small residuals and absolute values for outliers. It equals
    ``min_o 1/2 (x - u - o)^2 + delta |o|``: least squares with a sparse outlier o for each sample.

    Parameters
    ----------
    delta : float
        Residual from which a sample counts as an outlier, > 0, in units of the signals. For noise of
        standard deviation sigma, ``1.345 sigma`` keeps 95 % of the efficiency of least squares.
    weights : array, optional
        As in `LeastSquares`.

    References
    ----------
    .. [1] P. J. Huber, "Robust estimation of a location parameter", Ann. Math. Stat. 35(1), 1964.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[1.0, 1.0, 9.0]]]), csc.Dictionary(np.ones((1, 1, 3)))
    >>> for data_term in (csc.data_terms.LeastSquares(), csc.data_terms.Huber(0.1)):
    ...     problem = csc.Problem(x, D, csc.L1(0.01), data_term=data_term)
    ...     print(csc.solve(problem, tol=1e-9).codes.ravel().round(3))
    [3.663]
    [1.045]
    """

    delta: float
    weights: Array | None = None

    smooth = True

    def __post_init__(self):
        check_number("delta", self.delta, strict=True)
        object.__setattr__(self, "weights", checked_weights(self.weights))

    def loss(self, x: Array, u: Array) -> Array:
        """``h(x - u)``."""
        r = abs(x - u)
        near = namespace(r).minimum(r, self.delta)
        return near * (r - 0.5 * near)

    def slope(self, x: Array, u: Array) -> Array:
        """``x - u``, at most ``delta`` either way."""
        return namespace(x, u).clip(x - u, -self.delta, self.delta)

    def conjugate(self, x: Array, t: Array) -> Array:
        """``t^2 / 2 - t x`` for ``|t| <= delta``."""
        return _inside(t, self.delta, 0.5 * t * t - t * x)

    def prox(self, x: Array, v: Array, step: float) -> Array:
        """``v`` moved towards x by ``step (x - v) / (1 + step)``, at most by ``step delta``."""
        move = namespace(x, v).clip((x - v) / (1 + step), -self.delta, self.delta)
        return v + step * move

    def curvature(self, x: Array) -> Array:
        """1."""
        return namespace(x).ones((), x.dtype)

    def majoriser_curvature(self, x: Array, u: Array) -> Array:
        """``min(1, delta / |x - u|)``: the parabola around x, as in reweighted least squares."""
        return self.delta / namespace(x, u).maximum(abs(x - u), self.delta)

    def second_derivative(self, x: Array, u: Array) -> Array:
        """1 for ``|x - u| <= delta``, else 0."""
        return (abs(x - u) <= self.delta).astype(u.dtype)

    def smoothed(self, width: float, center: Array) -> "SmoothedAbsolute | None":
        """A wider parabola, up to ``width``, with a center for each sample: see `SmoothedAbsolute`.

        None where ``delta`` is no small fraction of the width: Huber's function is then smooth enough.
        """
        if self.delta >= SMALL_DELTA * width:
            return None
        return SmoothedAbsolute(width / self.delta - 1, center, self.delta, 1.0)


@dataclass(frozen=True, eq=False, repr=False)
class LeastAbsolute(SampleWeightsMixin):
    """``sum w |x - u|``: Laplacian noise, or impulses that replace samples by anything.

    Its solvers are `Reweighted` (L1 penalties on the CPU) and `PrimalDual` (all others).

    Parameters
    ----------
    weights : array, optional
        As in `LeastSquares`.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[1.0, 1.0, 9.0]]]), csc.Dictionary(np.ones((1, 1, 3)))
    >>> problem = csc.Problem(x, D, csc.L1(0.1), data_term=csc.data_terms.LeastAbsolute())
    >>> csc.solve(problem, tol=1e-6).codes.ravel().round(2)  # the median
    array([1.])
    """

    weights: Array | None = None

    smooth = False

    def __post_init__(self):
        object.__setattr__(self, "weights", checked_weights(self.weights))

    def loss(self, x: Array, u: Array) -> Array:
        """``|x - u|``."""
        return abs(x - u)

    def slope(self, x: Array, u: Array) -> Array:
        """A subgradient: the sign of ``x - u``."""
        return namespace(x, u).sign(x - u)

    def conjugate(self, x: Array, t: Array) -> Array:
        """``-t x`` for ``|t| <= 1``."""
        return _inside(t, 1.0, -t * x)

    def prox(self, x: Array, v: Array, step: float) -> Array:
        """``v`` moved towards x, at most by ``step``."""
        return v + namespace(x, v).clip(x - v, -step, step)

    def smoothed(self, width: float, center: Array) -> "SmoothedAbsolute":
        """A smooth term below this one, with a center for each sample: see `SmoothedAbsolute`."""
        return SmoothedAbsolute(width, center)


@dataclass(frozen=True, eq=False)
class SmoothedAbsolute:
    """``max over |s| <= delta of  s (x - u) - c / 2 s^2 - width / 2 (s - center)^2``.

    Absolute values (delta = 1, c = 0) or Huber's function (c = 1), made smooth. Not above these, and equal
    where ``center`` is their slope [1]_. Minimising with one center after another, each the last slopes,
    therefore minimises them at any width.

    References
    ----------
    .. [1] R. T. Rockafellar, "Augmented Lagrangians and applications of the proximal point algorithm
       in convex programming", Math. Oper. Res. 1(2), 1976.
    """

    width: float
    center: Array
    delta: float = 1.0
    c: float = 0.0

    def loss(self, x: Array, u: Array) -> Array:
        """The maximum."""
        s = self.slope(x, u)
        return s * (x - u) - 0.5 * (self.c * s * s + self.width * (s - self.center) ** 2)

    def slope(self, x: Array, u: Array) -> Array:
        """The s of the maximum: ``(x - u + width center) / (c + width)``, at most ``delta`` either way."""
        s = (x - u + self.width * self.center) / (self.c + self.width)
        return namespace(x, u).clip(s, -self.delta, self.delta)

    def majoriser_curvature(self, x: Array, u: Array) -> Array:
        """``delta / max(|x - u + width center|, delta (c + width))``."""
        shifted = abs(x - u + self.width * self.center)
        return self.delta / namespace(x, u).maximum(shifted, self.delta * (self.c + self.width))

    def second_derivative(self, x: Array, u: Array) -> Array:
        """``1 / (c + width)`` where the slope is below ``delta``, else 0."""
        shifted = abs(x - u + self.width * self.center)
        curvature = shifted.dtype.type(1 / (self.c + self.width))
        inside = shifted <= self.delta * (self.c + self.width)
        return namespace(x, u).where(inside, curvature, 0)

    def moved(self, x: Array, u: Array) -> "SmoothedAbsolute":
        """With the slopes at a fit as centers."""
        return replace(self, center=self.slope(x, u))


def _inside(t, largest, value):
    """``value`` where ``|t| <= largest``, up to rounding; infinite elsewhere."""
    xp = namespace(t)
    margin = largest * (1 + 4 * xp.finfo(t.dtype).eps)
    return xp.where(abs(t) <= margin, value, xp.inf)
