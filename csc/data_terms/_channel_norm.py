"""The norm of all channels of a sample: isotropic and vector total variation."""

from dataclasses import dataclass

from csc._backend import namespace
from csc._typing import Array


@dataclass(frozen=True, eq=False)
class ChannelNorm:
    """``sum over samples of ||x - u||``, the Euclidean norm of the channels ``(N, C, ...)``.

    Losses and conjugates of a sample are in its first channel, and 0 in the others. Solvers may divide
    dual points channel by channel, as the unit ball contains with each point all those nearer to 0.
    """

    weights = None
    smooth = False

    def loss(self, x: Array, u: Array) -> Array:
        """``||x - u||``."""
        return _in_first_channel(_norm(x - u), u)

    def slope(self, x: Array, u: Array) -> Array:
        """A subgradient: the direction of ``x - u``, or 0."""
        r = x - u
        norm = _norm(r)
        return r / namespace(r).where(norm > 0, norm, 1)

    def conjugate(self, x: Array, t: Array) -> Array:
        """``-<t, x>`` for ``||t|| <= 1``."""
        xp = namespace(t)
        inside = _norm(t) <= 1 + 4 * xp.finfo(t.dtype).eps
        value = xp.where(inside, -(t * x).sum(axis=1, keepdims=True), xp.inf)
        return _in_first_channel(value, t)

    def prox(self, x: Array, v: Array, step: Array | float) -> Array:
        """``v`` moved towards x, at most by ``step``."""
        xp, r = namespace(x, v), x - v
        norm = _norm(r)
        return v + r * xp.minimum(1, step / xp.where(norm > 0, norm, 1))

    def smoothed(self, width: float, center: Array) -> "SmoothedChannelNorm":
        """A smooth term below this one: see `SmoothedChannelNorm`."""
        return SmoothedChannelNorm(width, center)


@dataclass(frozen=True, eq=False)
class SmoothedChannelNorm:
    """``max over ||s|| <= 1 of  <s, x - u> - width / 2 ||s - center||^2``.

    As `csc.data_terms._robust.SmoothedAbsolute`, for the norm of the channels.
    """

    width: float
    center: Array

    def loss(self, x: Array, u: Array) -> Array:
        """The maximum."""
        s = self.slope(x, u)
        terms = s * (x - u) - 0.5 * self.width * (s - self.center) ** 2
        return _in_first_channel(terms.sum(axis=1, keepdims=True), u)

    def slope(self, x: Array, u: Array) -> Array:
        """The s of the maximum: ``center + (x - u) / width``, divided by its norm if above 1."""
        s = self.center + (x - u) / self.width
        return s / namespace(s).maximum(_norm(s), 1)

    def majoriser_curvature(self, x: Array, u: Array) -> Array:
        """``1 / max(||x - u + width center||, width)``, the same for all channels."""
        r = x - u + self.width * self.center
        xp = namespace(r)
        return xp.broadcast_to(1 / xp.maximum(_norm(r), self.width), r.shape)

    def second_derivative(self, x: Array, u: Array) -> Array:
        """Diagonal of the Hessian: ``1 / width``, or ``(1 - s_c^2) / ||x - u + width center||``."""
        r = x - u + self.width * self.center
        xp = namespace(r)
        far = xp.maximum(_norm(r), self.width)
        return xp.where(far > self.width, 1 - (r / far) ** 2, 1) / far

    def moved(self, x: Array, u: Array) -> "SmoothedChannelNorm":
        """With the slopes at a fit as centers."""
        return SmoothedChannelNorm(self.width, self.slope(x, u))


def _norm(r):
    """Norm of the channels, ``(N, 1, ...)``."""
    return namespace(r).sqrt((r * r).sum(axis=1, keepdims=True))


def _in_first_channel(value, like):
    out = namespace(like).zeros_like(like)
    out[:, :1] = value
    return out
