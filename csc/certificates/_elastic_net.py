"""The elastic net at sparse codes: its duality gap, from few correlations.

With ``g(z) = lmbda |z| + ridge / 2 z^2`` for each code, the dual point is the residual r itself,
as the conjugate of g is finite everywhere. With ``c = D^T r``, the gap is a sum over the codes,

    gap = sum g(z) + g*(c) - c z,    g*(c) = (|c| - lmbda)_+^2 / (2 ridge),

in which codes that are zero count only where ``|c| > lmbda``. A bound ``|c| <= lmbda`` at every
other position comes from the largest correlation there, so the sum needs no array of codes.

Where the ridge is so small that rounding of c dominates g*, the lasso's dual point is better, for
which g* is 0: its gap is that of the lasso, plus the ridge's part of the objective.
"""

import numpy as np

from csc.certificates._local_dual import sparse_certificate

CORRELATIONS_PER_BLOCK = 2**20  # held at once
SMALL_RIDGE = 1e-6  # share of the penalty: below, the dual point of the lasso is tried, too


def lasso_certificate(residual, lmbda, options, known=None):
    """Objective and duality gap of each signal ``(N,)``, of a lasso or an elastic net.

    Parameters
    ----------
    residual : SparseResidual
    lmbda : array (K,), or one that broadcasts to the codes
        ``lmbda w``, > 0.
    options : (ridge, positive)
    known : KnownInfeasibility, optional
        Of a residual nearby, in any precision: then fewer correlations are computed.
    """
    (ridge, positive), infeasibility = options, None
    if known is not None and lmbda.ndim == 1:
        infeasibility = _infeasibility_near(residual, 1 / lmbda, positive, known)
    if ridge:
        return elastic_net_certificate(residual, lmbda, options, infeasibility)
    return sparse_certificate(residual, lmbda, positive, infeasibility)


def _infeasibility_near(residual, inverse_lmbda, positive, known):
    layout, r = residual.layout, residual.observed(residual.r)
    known = layout.with_rounding(known, inverse_lmbda)
    return layout.dual_infeasibility_near(r, known, inverse_lmbda, positive)


def elastic_net_certificate(residual, lmbda, options, dual_infeasibility=None):
    """Objective and duality gap of each signal ``(N,)``.

    Parameters
    ----------
    residual : SparseResidual
    lmbda : array (K,)
    options : (ridge, positive)
        Weight of ``z^2 / 2``, > 0, and whether codes must not be negative.
    dual_infeasibility : array (N, *V), optional
        `PaddedSignals.dual_infeasibility` of the residual, if it is already computed.
    """
    (ridge, positive), layout, codes = options, residual.layout, residual.codes
    r, largest = residual.observed(residual.r), dual_infeasibility
    if largest is None:
        largest = layout.dual_infeasibility(r, 1 / lmbda, positive)
    exceeds = np.flatnonzero(largest.ravel() > 1)
    positions = np.union1d(exceeds, codes.index // layout.code_shape[1])
    per_signal = largest[0].size
    penalty = lmbda[codes.index % len(lmbda)] * abs(codes.values) + 0.5 * ridge * codes.values**2
    objective, gap = (
        0.5 * residual.energies(residual.r) + codes.sums(penalty),
        np.zeros(len(largest)),
    )
    for own, c, z in _correlations(residual, r, positions):
        inside = np.clip(c, -np.inf if positive else -lmbda, lmbda)
        terms = (c - inside - ridge * z) ** 2 / (2 * ridge) + lmbda * abs(z) - z * inside
        terms = terms.sum(axis=1, dtype="float64")
        gap += np.bincount(own // per_signal, weights=terms, minlength=len(gap))
    of_ridge = codes.sums(0.5 * ridge * codes.values**2)
    if (of_ridge < SMALL_RIDGE * codes.sums(penalty)).any():
        of_lasso = sparse_certificate(residual, lmbda, positive, largest)[1]
        gap = np.minimum(gap, of_lasso + of_ridge)
    return objective, gap


def largest_with_ridge(residual, lmbda, options, out):
    """Set ``out`` to ``max |D^T r - ridge z| / lmbda`` where there are codes.

    Parameters
    ----------
    residual, lmbda, options
        As `elastic_net_certificate`.
    out : array (N, *V)
        `PaddedSignals.dual_infeasibility` of the residual.
    """
    ridge, positive = options
    positions = np.unique(residual.codes.index // len(lmbda))
    for own, c, z in _correlations(residual, residual.observed(residual.r), positions):
        q = (c - c.dtype.type(ridge) * z) / lmbda
        out.reshape(-1)[own] = (np.maximum(q, 0) if positive else abs(q)).max(axis=1)


def _correlations(residual, r, positions):
    """Blocks of positions, their correlations with all atoms ``(P, K)``, and their codes ``(P, K)``."""
    layout, codes = residual.layout, residual.codes
    n_atoms = layout.code_shape[1]
    size = max(1, CORRELATIONS_PER_BLOCK // n_atoms)
    for own in (positions[i : i + size] for i in range(0, len(positions), size)):
        c = layout.correlations_at(own, r)
        z = np.zeros_like(c)
        low, high = np.searchsorted(codes.index, (own[0] * n_atoms, (own[-1] + 1) * n_atoms))
        place, atom = np.divmod(codes.index[low:high], n_atoms)
        z[np.searchsorted(own, place), atom] = codes.values[low:high]
        yield own, c, z
