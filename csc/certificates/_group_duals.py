"""Duality gaps at sparse codes of penalties on groups of codes, and of codes in an l1 ball.

A penalty on groups bounds the correlations of each group, which depend only on the samples under its
atoms, as the groups have one position. So residuals are rescaled sample by sample, as for the lasso.
An l1 ball has no bound: its conjugate is ``radius max |D^T theta|``, and rescaling a residual lowers
that maximum.
"""

from functools import cached_property
from math import prod

import numpy as np

from csc.certificates._local_dual import N_RESCALINGS, best_dual, dual_of
from csc.operators import ConvPlan
from csc.penalties import GroupL21, L1Ball

ROUNDING = 1.2e-7  # relative, of the l1 norm of codes that are rounded to float32
CORRELATIONS_PER_BLOCK = 2**22  # of several signals, held at once
MAX_UNCERTAIN_FRACTION = 0.2  # of the positions; if more are, all scores take less time


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

    def dual_infeasibility_near(self, r, known, inverse_lmbda, positive):
        """As `dual_infeasibility` where it exceeds 1; elsewhere it may be a bound, at most 1."""
        near = None if type(self.penalty) is L1Ball else self.near(r, known)
        return self.dual_infeasibility(r, inverse_lmbda, positive) if near is None else near[0]

    def near(self, r, known):
        """Scores, computed only where those of another residual leave open whether one exceeds 1.

        A score is a norm of correlations, so it differs from that of another residual by at most the largest
        singular value of the atoms of a group, divided by lmbda, times the norm of the difference under the atom.
        For sparse groups lmbda is multiplied by ``1 + ratio``, the shortest distance from 0 at which a score is 1.

        Parameters
        ----------
        known : KnownInfeasibility
            `dual_infeasibility` of another residual.

        Returns
        -------
        largest : array (N, *V)
            As of `dual_infeasibility_near`.
        positions : array (P,)
            The flat positions at which scores were computed.
        scores : array (P, K / size)
            The result is None if there are so many positions that all scores take less time.
        """
        largest = known.largest + self._steepest * self.layout.norms_under_atoms(r - known.r)
        positions = np.flatnonzero(~(largest.reshape(-1) <= 1))  # NaN, too
        if len(positions) > MAX_UNCERTAIN_FRACTION * largest.size:
            return None
        q = self.layout.correlations_at(positions, r)
        scores = self._of(q[:, :, None])[:, :, 0]
        largest.reshape(-1)[positions] = scores.max(axis=1, initial=0)
        return largest, positions, scores

    @cached_property
    def _steepest(self):
        """Largest change of a score by a change of norm 1 of the residual."""
        atoms = self.layout.padded_atoms.astype("float64")
        groups = atoms.reshape(-1, self.size, atoms.shape[1])
        top = np.sqrt(max(np.linalg.eigvalsh(groups @ groups.transpose(0, 2, 1)).max(), 0))
        return self.layout.dtype.type(top / self._distance)

    @property
    def _distance(self):
        """Shortest correlations of a group with a score of 1."""
        return float(self.penalty.lmbda) * (1 + getattr(self.penalty, "ratio", 0))

    def samples(self, a):
        """As `PaddedSignals.samples`."""
        return self.layout.samples(a)

    def max_over_covering_atoms(self, a):
        """As `PaddedSignals.max_over_covering_atoms`."""
        return self.layout.max_over_covering_atoms(a)

    def _of(self, q):
        """Scores of correlations ``(n, K, *V)``; of sparse groups, those of at most 1 may be bounds."""
        penalty = self.penalty
        if type(penalty) is L1Ball:
            return abs(q)
        if type(penalty) is GroupL21:
            norms = _norms(q, self.size)
            norms /= q.dtype.type(penalty.lmbda)
            return norms
        scores = _norms(q, self.size)
        scores /= q.dtype.type(self._distance)
        above = np.flatnonzero(scores > 1)  # of the others, these are bounds
        n_places = prod(scores.shape[2:])
        line, v = np.divmod(above, n_places)
        groups = q.reshape(-1, self.size, n_places)[line, :, v]
        scores.reshape(-1)[above] = penalty.gauges(groups)
        return scores


def _norms(q, size):
    """Norms ``(n, K / size, *V)`` of groups."""
    squares = q[:, ::size] ** 2
    for j in range(1, size):
        squares += q[:, j::size] ** 2
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
