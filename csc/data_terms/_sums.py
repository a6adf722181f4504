"""Sums of a data term over samples, with weights: what problems and certificates need.

With weights ``w``, the data term is ``f(u) = sum w phi(x, u)``. Its Fenchel dual at ``theta`` is
``-f*(-theta) = -sum w phi*(-theta / w)``, where samples of weight 0 must have ``theta = 0``.
"""

from math import inf

from csc._backend import check_same_device, namespace
from csc.data_terms._smooth import LeastSquares


def is_plain(term):
    """Whether the data term is least squares without weights."""
    return type(term) is LeastSquares and term.weights is None


def observed_weights(term, x, mask):
    """Weights of the samples, times the mask, of the shape and dtype of ``x``; None if all are 1."""
    weights, xp = term.weights, namespace(x)
    if weights is None:
        return None if mask is None else mask.astype(x.dtype)
    check_same_device(x=x, weights=weights)
    try:
        weights = xp.broadcast_to(weights.astype(x.dtype), x.shape)
    except ValueError:
        raise ValueError(
            f"weights of shape {weights.shape} of the data term do not broadcast to x {x.shape}"
        ) from None
    weights = weights if mask is None else weights * mask.astype(x.dtype)
    if not weights.any():
        raise ValueError("weights of the data term are 0 at every observed sample")
    return weights


def values(term, x, fit, weights):
    """``f(u)`` of each signal ``(N,)``, summed in float64."""
    return _sums(term.loss(x, fit), weights)


def dual_point(term, x, fit, weights):
    """``theta = -f'(u)``, of the shape of ``x``: of least squares the residual ``W (x - u)``."""
    slope = term.slope(x, fit)
    return slope if weights is None else weights * slope


def dual_values(term, x, theta, weights):
    """``-f*(-theta)`` of each signal ``(N,)``, summed in float64; -inf outside of the domain."""
    if weights is None:
        return -_sums(term.conjugate(x, theta), None)
    xp = namespace(x)
    seen = weights > 0
    ratio = xp.where(seen, theta, 0) / xp.where(seen, weights, 1)
    return -_sums(term.conjugate(x, ratio), weights)


def largest_curvature(term, x, weights):
    """Smallest Lipschitz constant known of ``f'``: the largest ``w`` times the curvature."""
    if not term.smooth:
        return inf
    curvature = term.curvature(x)
    if weights is not None:
        curvature = curvature * weights
    return float(namespace(x).asarray(curvature).max())


def majoriser(term, x, fit, weights):
    """Least squares above a data term that touch it at a fit: ``c / 2 ||y - u||^2 + constant``.

    Returns
    -------
    y : array like x
    c : float
        One curvature for all samples.
    constant : array (N,), float64
    """
    slope = dual_point(term, x, fit, weights)
    curvature = term.majoriser_curvature(x, fit)
    curvature = curvature if weights is None else curvature * weights
    c = float(curvature.max())
    squares = (slope * slope).reshape(len(x), -1).sum(axis=1, dtype="float64")
    return fit + slope / x.dtype.type(c), c, values(term, x, fit, weights) - squares / (2 * c)


def _sums(terms, weights):
    xp = namespace(terms)
    if weights is not None:  # where, not a product: inf times a weight of 0 is no number
        terms = xp.where(weights > 0, terms, 0) * weights
    return terms.reshape(len(terms), -1).sum(axis=1, dtype="float64")
