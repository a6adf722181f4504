"""Duality gaps at sparse codes of penalties on groups of codes, and of codes in an l1 ball.

A penalty on groups bounds the correlations of each group, which depend only on the samples under its
atoms, as the groups have one position. So residuals are rescaled sample by sample, as for the lasso.
An l1 ball has no bound: its conjugate is ``radius max |D^T theta|``, and rescaling a residual lowers
that maximum.
"""

import numpy as np

from csc.certificates._local_dual import N_RESCALINGS, best_dual, dual_of
from csc.operators import ConvPlan
from csc.penalties import GroupL21, L1Ball

ROUNDING = 1.2e-7  # relative, of the l1 norm of codes that are rounded to float32
CORRELATIONS_PER_BLOCK = 2**22  # of several signals, held at once


class GroupScores:
    """How far groups of codes violate dual feasibility, of a padded residual.

    A score is at most 1 if the correlations of the group with the residual are dual feasible. For an l1
    ball, a group is one code, and its score is ``|D^T r|`` itself.

    Parameters
    ----------
    layout : PaddedSignals
    penalty : GroupL21, SparseGroupL21 or L1Ball
    """

    def __init__(self, layout, penalty):
        self.layout, self.penalty = layout, penalty
        self.size = getattr(penalty, "group_size", 1)

    def blocks(self, r):
        """Yield the first signal of each block, and scores ``(n, K / size, *V)`` of its groups."""
        layout = self.layout
        samples = layout.samples(r).reshape(layout.shape)
        plan = ConvPlan.of(layout.operator, samples, layout.shape[2:])
        n = max(1, CORRELATIONS_PER_BLOCK // max(1, int(np.prod(layout.code_shape[1:]))))
        for i in range(0, len(r), n):
            yield i, self._of(plan.correlate(np.ascontiguousarray(samples[i : i + n])))

    def dual_infeasibility(self, r, inverse_lmbda=1.0, positive=False):  # noqa: ARG002
        """Largest score at every position ``(N, *V)``, times a number."""
        out = np.empty((len(r), *self.layout.code_shape[2:]), r.dtype)
        for i, scores in self.blocks(r):
            out[i : i + len(scores)] = scores.max(axis=1)
        return out * out.dtype.type(inverse_lmbda)

    def dual_infeasibility_near(self, r, known, inverse_lmbda, positive):  # noqa: ARG002
        """As `dual_infeasibility`; `PaddedSignals` saves time by what is ``known``."""
        return self.dual_infeasibility(r, inverse_lmbda, positive)

    def samples(self, a):
        """As `PaddedSignals.samples`."""
        return self.layout.samples(a)

    def max_over_covering_atoms(self, a):
        """As `PaddedSignals.max_over_covering_atoms`."""
        return self.layout.max_over_covering_atoms(a)

    def _of(self, q):
        """Scores of correlations ``(n, K, *V)``, which are overwritten."""
        penalty = self.penalty
        if type(penalty) is L1Ball:
            return np.abs(q, out=q)
        lmbda = q.dtype.type(penalty.lmbda)
        if type(penalty) is GroupL21:
            norms = _norms(q, self.size)
            norms /= lmbda
            return norms
        over = np.abs(q, out=q) - lmbda
        scores = _norms(np.maximum(over, 0, out=over), self.size)
        above = np.flatnonzero(scores > lmbda * q.dtype.type(penalty.ratio))
        scores[...] = 1  # at most: only larger ones are computed
        n_places = scores[0, 0].size
        line, v = np.divmod(above, n_places)
        groups = q.reshape(-1, self.size, n_places)[line, :, v]
        scores.reshape(-1)[above] = penalty.gauges(groups)
        return scores


def _norms(q, size):
    """Norms ``(n, K / size, *V)`` of groups; q is overwritten."""
    np.multiply(q, q, out=q)
    squares = q[:, ::size].copy()
    for j in range(1, size):
        squares += q[:, j::size]
    return np.sqrt(squares, out=squares)


def group_certificate(residual, scores, infeasibility=None, *, local=True):
    """Objective and duality gap of each signal ``(N,)`` at sparse codes.

    Parameters
    ----------
    residual : SparseResidual
    scores : GroupScores
    infeasibility : array (N, *V), optional
        `GroupScores.dual_infeasibility` at the present residual, if it is already computed.
    local : bool
        Rescale the dual point sample by sample.
    """
    penalty, r = scores.penalty, residual.observed(residual.r)
    half_energy = 0.5 * residual.energies(residual.r)
    if infeasibility is None:
        infeasibility = scores.dual_infeasibility(r)
    if type(penalty) is L1Ball:
        dual = _dual_of_ball(residual, scores, r, infeasibility, local=local)
        outside = residual.codes.sums(abs(residual.codes.values)) > penalty.radius * (1 + ROUNDING)
        return np.where(outside, np.inf, half_energy), np.where(
            outside, np.inf, np.maximum(half_energy - dual, 0)
        )
    objective = half_energy + penalty_of_codes(residual.codes, penalty)
    if local:
        dual = best_dual(scores, residual.x, r, 1.0, False, infeasibility)
    else:
        dual = _inner(residual.x, r, scores, infeasibility, dual_of)
    return objective, np.maximum(objective - dual, 0)


def penalty_of_codes(codes, penalty):
    """Penalty of the sparse codes of each signal ``(N,)``, in float64."""
    values, size = codes.values.astype("float64"), penalty.group_size
    own, number = np.unique(codes.index // size, return_inverse=True)
    norms = np.sqrt(np.bincount(number, weights=values**2, minlength=len(own)))
    per_signal = int(np.prod(codes.shape[1:])) // size
    out = np.bincount(own // per_signal, weights=norms, minlength=codes.shape[0])
    if type(penalty) is GroupL21:
        return float(penalty.lmbda) * out
    return float(penalty.lmbda) * (codes.sums(abs(values)) + penalty.ratio * out)


def _inner(x, theta, scores, infeasibility, dual):
    own, rows = scores.samples(x), scores.samples(theta)
    inner, energy = (np.einsum("ni,ni->n", a, rows, dtype="float64") for a in (own, rows))
    return dual(inner, energy, infeasibility.reshape(len(x), -1).max(axis=1))


def _dual_of_ball(residual, scores, r, infeasibility, *, local):
    """Largest ``<x, s theta> - 1/2 ||s theta||^2 - radius max |D^T s theta|`` of the points tried."""
    radius, theta, top = scores.penalty.radius, r, infeasibility

    def dual(inner, energy, largest):
        inner = np.maximum(inner - radius * largest, 0)
        return 0.5 * inner * (inner / np.where(energy > 0, energy, 1))  # a square might overflow

    best = _inner(residual.x, theta, scores, top, dual)
    bound = multipliers(residual, r)
    bound = bound.reshape(-1, *(1,) * (top.ndim - 1)).astype(r.dtype)
    for _ in range(N_RESCALINGS if local and (bound > 0).all() else 0):
        theta = theta / scores.max_over_covering_atoms(np.maximum(top / bound, 1))
        top = scores.dual_infeasibility(theta)
        best = np.maximum(best, _inner(residual.x, theta, scores, top, dual))
    return best


def multipliers(residual, r):
    """Mean ``|D^T r|`` of each signal's codes, weighted by them, ``(N,)``: the lasso's lambda."""
    codes = residual.codes
    q = residual.columns.adjoint(r)
    sizes = codes.sums(abs(codes.values))
    return np.maximum(codes.sums(q * codes.values), 0) / np.where(sizes > 0, sizes, 1)
