"""Duality gaps at sparse codes of penalties on groups of codes.

A penalty on groups bounds the correlations of each group, which depend only on the samples under its
atoms, as the groups have one position. So residuals are rescaled sample by sample, as for the lasso.
"""

from functools import cached_property
from math import inf, prod

import numpy as np

from csc._backend import kernels
from csc.certificates._local_dual import best_dual, scaled_dual
from csc.operators import exact_above_one
from csc.penalties import GroupL21


class GroupScores:
    """How far groups of codes violate dual feasibility, of a padded residual.

    The score of a group with correlations c is ``(||(|c| - l1)_+|| + l1) / (lmbda + l1)``, with the lambdas of
    `group_lmbdas`. It is at most 1 if these correlations are dual feasible. Above 1, the
    residual divided by it is feasible: without l1 it is the dual norm, with l1 an upper bound of it.

    Parameters
    ----------
    layout : PaddedSignals
    penalty : GroupL21 or SparseGroupL21
    """

    def __init__(self, layout, penalty):
        self.layout, self.penalty, self.size = layout, penalty, penalty.group_size
        self.unit = float(sum(group_lmbdas(penalty)))
        self.l1 = group_lmbdas(penalty)[1] / self.unit  # of atoms divided by this unit
        # with l1, a score below 1 is no bound of the dual norm:
        self.most_growth = 1.0 if self.l1 > 0 else inf

    def dual_infeasibility(self, r, inverse_lmbda=1.0, positive=False):  # noqa: ARG002
        """Largest score at every position ``(N, *V)``.

        The other arguments are those of `PaddedSignals.dual_infeasibility`, and have no effect here.
        """
        return self._largest(self._places, r).reshape(len(r), *self.layout.code_shape[2:])

    def dual_infeasibility_near(self, r, known, inverse_lmbda=1.0, positive=False):  # noqa: ARG002
        """As `dual_infeasibility` where it exceeds 1; elsewhere it may be a bound, at most 1.

        A score is computed only where that of another residual leaves open whether it exceeds 1. It differs from that by
        at most the largest singular value of the atoms of a group, divided by ``lmbda + l1``, times the
        norm of the difference under the atoms.

        Parameters
        ----------
        known : KnownInfeasibility
            `dual_infeasibility` of another residual.
        """
        largest = known.largest + self._steepest * self.layout.norms_under_atoms(r, known.r)
        return exact_above_one(
            largest,
            lambda: self.dual_infeasibility(r),
            lambda at: self._largest(self._places[at], r),
        )

    def violating_groups(self, r, positions, thresholds):
        """Flat numbers ``(A,)``, increasing, of the groups whose score exceeds a threshold.

        Parameters
        ----------
        r : array
            A padded residual.
        positions : array (P,), int64
            Flat positions, increasing.
        thresholds : array (P,)
            Of each position, at least 1.
        """
        n_groups = self.layout.code_shape[1] // self.size
        largest = np.empty(len(positions), r.dtype)
        exceeds = np.empty((len(positions), n_groups), bool)
        squares = ((thresholds - self.l1) ** 2).astype(r.dtype)
        kernels(r).group_squares(
            r.reshape(-1), *self._atoms, self._places[positions], (self.size, self.l1), squares,
            largest, exceeds,
        )  # fmt: skip
        flat = np.flatnonzero(exceeds)  # several times as fast as the pairs of a matrix
        i = flat // n_groups
        return flat + n_groups * (positions[i] - i)

    @cached_property
    def curvatures(self):
        """Largest eigenvalue of the Gram matrix of each group of atoms, ``(K / size,)``."""
        atoms = self.layout.padded_atoms.astype("float64")
        groups = atoms.reshape(-1, self.size, atoms.shape[1])
        largest = np.linalg.eigvalsh(groups @ groups.transpose(0, 2, 1))[:, -1].clip(0)
        return (largest * (1 + 16 * np.finfo(self.layout.dtype).eps)).astype(self.layout.dtype)

    def rows(self, a):
        """As `PaddedSignals.rows`."""
        return self.layout.rows(a)

    def max_over_covering_atoms(self, a):
        """As `PaddedSignals.max_over_covering_atoms`."""
        return self.layout.max_over_covering_atoms(a)

    def _largest(self, places, r):
        largest, none = np.empty(len(places), r.dtype), np.empty((len(places), 0), bool)
        kernels(r).group_squares(
            r.reshape(-1), *self._atoms, places, (self.size, self.l1), largest, largest, none
        )
        return np.sqrt(largest, out=largest) + r.dtype.type(self.l1)

    @cached_property
    def _places(self):
        """Flat indices of the first samples under the atoms at all positions."""
        n, _, *positions = self.layout.code_shape
        return self.layout.places_at(np.arange(n * prod(positions)))

    @cached_property
    def _atoms(self):
        """Atoms, divided by the unit, as rows, and the flat offsets of their samples from the first one."""
        layout = self.layout
        atoms = layout.dictionary.atoms.astype(layout.dtype) / layout.dtype.type(self.unit)
        shape = atoms.shape[1], *layout.atom_shape
        return atoms.reshape(len(atoms), -1), layout.strides @ np.indices(shape).reshape(4, -1)

    @cached_property
    def _steepest(self):
        """Largest change of a score by a change of norm 1 of the residual."""
        return np.sqrt(self.curvatures.max()) / self.layout.dtype.type(self.unit)


def group_lmbdas(penalty):
    """Lambda of the norms of groups, and l1 of the absolute values of codes."""
    if type(penalty) is GroupL21:
        return float(penalty.lmbda), 0.0
    return float(penalty.lmbda * penalty.ratio), float(penalty.lmbda)


def group_certificate(residual, scores, infeasibility=None, *, local=True):
    """Objective and duality gap of each signal ``(N,)`` at sparse codes.

    Parameters
    ----------
    residual : SparseResidual
    scores : GroupScores
    infeasibility : array (N, *V), optional
        `dual_infeasibility` of the scores at the present residual, if it is already computed.
    local : bool
        Rescale the dual point sample by sample.
    """
    penalty, r = scores.penalty, residual.observed(residual.r)
    half_energy = 0.5 * residual.energies(residual.r)
    if infeasibility is None:
        infeasibility = scores.dual_infeasibility(r)
    objective = half_energy + penalty_of_codes(residual.codes, penalty)
    if local:
        dual = best_dual(scores, residual.x, r, 1.0, False, infeasibility, scores.most_growth)
    else:
        rows = scores.rows(residual.x), scores.rows(r)
        dual = scaled_dual(*rows, infeasibility, scores.most_growth)
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
