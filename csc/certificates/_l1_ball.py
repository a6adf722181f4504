"""Duality gaps at sparse codes in an l1 ball.

For every theta, no codes in the ball have a smaller data term than

    <x, theta> - 1/2 ||theta||^2 - radius max |D^T theta|

The last term is the largest ``<D z, theta>`` of codes in the ball. Residuals are tried, with the best factor each:
that of the codes, and residuals divided sample by sample so that the largest correlations fall, as for the lasso.
"""

import numpy as np

from csc.certificates._local_dual import N_RESCALINGS
from csc.operators import KnownInfeasibility
from csc.penalties import NORM_ROUNDING


def ball_certificate(residual, radius, known=None):
    """Objective and duality gap of each signal ``(N,)``; infinite outside of the ball.

    Parameters
    ----------
    residual : SparseResidual
    radius : float
    known : KnownInfeasibility, optional
        Of a residual nearby, in any precision, with ``|D^T r|`` itself: then fewer correlations are computed.
    """
    layout, unit, r = residual.layout, multipliers(residual), residual.observed(residual.r)
    ones = np.ones(layout.code_shape[1], layout.dtype)
    if known is None:
        relative = per_signal(1 / unit, layout.dual_infeasibility(r, ones, False))
    else:
        known = in_units(layout.with_rounding(known, ones), unit)
        relative = layout.dual_infeasibility_near(per_signal(1 / unit, r), known, ones, False)
    objective = 0.5 * residual.energies(r)
    gap = np.maximum(objective - ball_dual(residual, radius, unit, relative), 0)
    outside = residual.codes.sums(abs(residual.codes.values)) > radius * (1 + NORM_ROUNDING)
    return np.where(outside, np.inf, objective), np.where(outside, np.inf, gap)


def ball_dual(residual, radius, unit, infeasibility, *, local=True):
    """Best dual value found of each signal, ``(N,)``.

    Parameters
    ----------
    residual : SparseResidual
    radius : float
    unit : array (N,)
        > 0, about the largest ``|D^T r|`` of each signal at the minimum.
    infeasibility : array (N, *V)
        Largest ``|D^T r| / unit`` at each position where it exceeds 1; elsewhere a bound, at most 1.
    local : bool
        Divide residuals sample by sample, too.
    """
    layout, best = residual.layout, np.zeros(len(unit))
    theta, own = per_signal(1 / unit, residual.observed(residual.r)), layout.samples(residual.x)
    ones = np.ones(layout.code_shape[1], layout.dtype)
    for round_ in range(N_RESCALINGS + 1 if local else 1):
        if round_ > 0:
            known = KnownInfeasibility(theta, infeasibility)
            theta = theta / layout.max_over_covering_atoms(np.maximum(infeasibility, 1))
            infeasibility = layout.dual_infeasibility_near(theta, known, ones, False)
        rows = layout.samples(theta)
        inner, energy = (np.einsum("ni,ni->n", a, rows, dtype="float64") for a in (own, rows))
        rest = inner - radius * infeasibility.reshape(len(own), -1).max(axis=1)
        rest = np.maximum(rest, 0)
        best = np.maximum(best, 0.5 * rest * (rest / np.where(energy > 0, energy, 1)))
    return best


def is_inside(codes, radius):
    """Whether the sparse codes of all signals lie inside of the ball, by more than rounding."""
    return bool((codes.sums(abs(codes.values)) < radius * (1 - NORM_ROUNDING)).all())


def multipliers(residual):
    """Mean ``|D^T r|`` of each signal's codes, weighted by them, ``(N,)``: the lambda of their lasso; 1 if it is 0."""
    codes = residual.codes
    q = residual.columns.adjoint(residual.observed(residual.r))
    sums = np.maximum(codes.sums(q * codes.values), 0)
    sizes = codes.sums(abs(codes.values))
    return np.where(sums > 0, sums / np.where(sizes > 0, sizes, 1), 1)


def in_units(known, unit):
    """What is known of a residual, both in units ``(N,)`` of each signal."""
    return KnownInfeasibility(*(per_signal(1 / unit, a) for a in known))


def per_signal(factors, a):
    """``factors (N,)`` times the signals, codes or positions ``(N, ...)`` of an array."""
    return factors.astype(a.dtype).reshape(-1, *(1,) * (a.ndim - 1)) * a
