"""Proximal-gradient steps, with one kernel for both where the prox is a soft threshold."""

from csc._backend import namespace
from csc.data_terms import dual_point, is_plain
from csc.operators import SoftThreshold


def descend(problem, x, fits, point, step, threshold):
    """`shrink` of the residuals of signals x at D y, y the extrapolated point.

    Parameters
    ----------
    problem : Problem
    x : array (N, C, *S)
    fits : (D z, D z_old), arrays (N, C, *S)
    point, step, threshold
        As `shrink`.
    """
    (Dz, Dz_old), momentum, number = fits, point[2], namespace(x).asarray
    D, structure = problem.dictionary, problem.structure
    is_whole = problem.mask is None and structure.has_soft_threshold and structure.is_least_squares
    if is_whole and D.has_proximal_step(Dz):
        return D.proximal_step(x, step, point, _soft_threshold(problem, threshold, x.dtype), fits)
    r = residual_of_fit(problem, x, Dz + number(momentum, dtype=Dz.dtype) * (Dz - Dz_old))
    return shrink(problem, r, point, step, threshold)


def shrink(problem, r, point, step, threshold):
    """``prox(y + step D^T r)`` of ``threshold`` times the penalty, y the extrapolated point.

    Parameters
    ----------
    problem : Problem
    r : array (N, C, *S)
        Residuals.
    point : (z, z_old, momentum)
        ``y = z + momentum (z - z_old)``.
    step, threshold : floats

    Returns
    -------
    z_new, restart_score
        As `Problem.proximal_step`.
    """
    (z, z_old, momentum), number = point, namespace(r).asarray
    if problem.structure.has_soft_threshold and problem.dictionary.has_proximal_step(r):
        prox = _soft_threshold(problem, threshold, z.dtype)
        return problem.dictionary.proximal_step(r, step, point, prox)
    y = z if z is z_old else z + number(momentum, dtype=z.dtype) * (z - z_old)
    move = number(step, dtype=z.dtype) * problem.dictionary.adjoint(r)
    z_new = problem.penalty.prox(y + move, threshold)
    return z_new, ((y - z_new) * (z_new - z)).sum()


def _soft_threshold(problem, threshold, dtype):
    """Thresholds of the atoms, factor, and sign of the prox, as the kernels take it."""
    thresholds = threshold * problem.structure.atom_lmbda.astype("float64")
    factor = 1 / (1 + threshold * problem.penalty.lmbda * problem.penalty.ridge)
    return SoftThreshold(thresholds.astype(dtype), factor, problem.penalty.positive)


def residual_of_fit(problem, x, fit):
    """Minus the slope of the data term at a fit of signals x; of least squares ``M (x - fit)``."""
    if is_plain(problem.data_term):
        return masked(x - fit, problem.mask)
    return dual_point(problem.data_term, x, fit, problem.structure.sample_weights)


def masked(a, mask):
    """``M a``: zero where nothing was observed."""
    return a if mask is None else a * mask.astype(a.dtype)
