"""The lasso on an active set: active codes, their residual, descent and refinement."""

from functools import cached_property

import numpy as np

from csc._backend import kernels
from csc.certificates import elastic_net_certificate, largest_with_ridge, sparse_certificate
from csc.operators import KnownInfeasibility, SparseCodes
from csc.penalties import ridge_of
from csc.solvers._active_codes import FEW_NEW, ActiveCodes
from csc.solvers._conjugate_gradients import (
    FEW_ZEROED,
    MAX_STEPS,
    adapted_steps,
)

MAX_ROUNDS_OF_BLOCK = 100  # growing the active set of one block of codes
MAX_CODES_OF_BLOCKS_ALONE = 1000  # so few blocks leave no more to conjugate gradients
CG_STEPS = 6  # at first, and at least


class ActiveSet(ActiveCodes):
    """Active codes and their residual ``x - D z``.

    Parameters
    ----------
    problem : Problem
        A lasso with a lambda > 0 for every atom.
    codes : SparseCodes
        First codes.
    dtype : dtype
        Precision to work in.
    """

    size = 1  # of groups of codes
    max_cg_steps = MAX_STEPS  # in `refine`

    def __init__(self, problem, codes, dtype):
        self.positive, self.ridge = problem.penalty.positive, ridge_of(problem.penalty)
        if self.positive:
            codes = SparseCodes(codes.shape, codes.index, np.maximum(codes.values, 0))
        super().__init__(problem.x, problem.dictionary, codes, dtype, problem.mask)
        self.bend = self.mask  # second derivative of the data term at each sample; None: all are 1
        self.all_lmbda = self.lmbda_of(problem).astype(self.layout.dtype)
        self.cg_steps = CG_STEPS
        self.known = None  # of the round before

    @staticmethod
    def lmbda_of(problem):
        """``lmbda w``, one number for each atom or an array that broadcasts to the codes."""
        return problem.structure.code_lmbda

    @cached_property
    def lmbda(self):
        """``lmbda w`` of each active code."""
        return self.pick(self.all_lmbda)

    def dual_infeasibility(self):
        """Largest ``|D^T r - ridge z| / lmbda`` over the atoms at each position, ``(N, *V)``.

        Where there is no code, it may be a bound instead, of at most 1: most of a residual hardly
        changes from round to round.
        """
        r, settings = self.dual_point(), (1 / self.all_lmbda, self.positive)
        if self.known is None:
            out = self.layout.dual_infeasibility(r, *settings)
        else:
            out = self.layout.dual_infeasibility_near(r, self.known, *settings)
        self.known = KnownInfeasibility(r.copy(), out)
        if self.ridge:
            out = out.copy()
            largest_with_ridge(self, self.all_lmbda, (self.ridge, self.positive), out)
        return out

    def dual_point(self):
        """The residual in units in which the dual infeasibility is that for `all_lmbda`."""
        return self.observed(self.r)

    def certificate(self, infeasibility=None, *, local=True):
        """Objective and duality gap of each signal ``(N,)`` at the present codes."""
        if self.ridge:
            of_residual = None if infeasibility is None else self.known.largest
            options = self.ridge, self.positive
            return elastic_net_certificate(self, self.all_lmbda, options, of_residual)
        return sparse_certificate(self, self.all_lmbda, self.positive, infeasibility, local=local)

    def grow(self):
        """Add the codes that violate optimality most in their neighbourhood, see `worst_positions`; drop zeros."""
        layout, codes = self.layout, self.codes
        positions, thresholds = self.worst_positions()
        lmbda, r = self.all_lmbda, self.dual_point()
        selected = layout.violating_indices(r, lmbda, positions, thresholds, self.positive)
        kept = codes.values != 0
        index, values = codes.index[kept], codes.values[kept]
        index, values, n_new = merged(index, values, selected)
        self.put(SparseCodes(codes.shape, index, values))
        self.few_are_new = n_new < FEW_NEW * max(len(index), 1)

    @property
    def needs_refinement(self):
        """Whether `minimise` takes steps of conjugate gradients, besides exact solves of blocks."""
        return not self.has_blocks or len(self.codes.index) > MAX_CODES_OF_BLOCKS_ALONE

    def descend(self, n_sweeps):
        """Coordinate descent: sweeps over the active codes. After the last ones of a round, `refresh`."""
        layout, columns = self.layout, self.columns
        settings = self.lmbda, 1 / (self._curvatures + self.ridge), self.codes.values
        parts = columns.where, columns.atom, *columns.copies, *settings
        kernels(self.r).descend_active(
            self.r.reshape(-1), self.flat_mask, layout.padded_atoms, layout.runs, parts,
            columns.pieces, (self.positive, n_sweeps, self.ridge),
        )  # fmt: skip

    def refine(self, n_sweeps):
        """Conjugate gradients on the non-zero codes with their signs fixed, then sweeps.

        Codes that would change sign become zero, while the others move as if they had not. The sweeps
        repair this, and so a step is judged after them. If it raises the objective by more than
        rounding, it is halved twice, then rejected. The number of steps of conjugate gradients grows
        while nearly all codes keep their signs.
        """
        kept = self.codes.values != 0
        support, z, lmbda = self.columns.part(kept), self.codes.values[kept], self.lmbda[kept]
        gradient = support.adjoint(self.observed(self.r)) - lmbda * np.sign(z)
        gradient -= z.dtype.type(self.ridge) * z
        move = support.solve(gradient, self.cg_steps, self.bend, self.ridge)

        def moved(length):
            new = z + z.dtype.type(length) * move
            new[np.sign(new) != np.sign(z)] = 0
            return new

        new, is_full = self.take_step(kept, moved, n_sweeps)
        calm = is_full and np.count_nonzero(new == 0) <= FEW_ZEROED * len(new)
        self.cg_steps = adapted_steps(self.cg_steps, calm, CG_STEPS, self.max_cg_steps)

    def minimum(self, gram, q, energy, z, block, tol):
        """Codes at the minimum of the problem of a ``block`` of codes, from ``z`` on."""
        out, gap = np.empty((1, len(z))), np.empty(1)
        lmbda = self.lmbda[block].astype("float64")
        options = self.positive, tol, MAX_ROUNDS_OF_BLOCK
        kernels(out).lasso_gram(gram, q[None], energy, lmbda, *options, z[None], out, gap)
        return out[0]

    def _objective(self):
        z = self.codes.values
        squares = self.ridge * float((z * z).sum(dtype="float64"))
        return self.data_value() + float((self.lmbda * abs(z)).sum(dtype="float64")) + 0.5 * squares

    def data_value(self):
        """Data term at the present codes: ``1/2 ||M r||^2``."""
        return 0.5 * float(self.energies(self.r).sum())

    @cached_property
    def _curvatures(self):
        """``||M d||^2`` of each active code; 1 where nothing was observed and it is 0."""
        squares = self.layout.padded_atoms**2
        if self.mask is None:
            out = squares.sum(axis=1)[self.columns.atom]
        else:
            out = self.columns.adjoint(self.mask, squares)
        return np.where(out > 0, out, 1)

    def put(self, codes, columns=None):
        """Set the codes; what depends on their positions is then computed once, not per sweep."""
        super().put(codes, columns)
        for name in ("_curvatures", "lmbda"):
            self.__dict__.pop(name, None)


def merged(index, values, selected):
    """Codes with zeros at those ``selected`` that are not among them, and how many these are.

    Both arrays of indices are sorted.
    """
    both = np.concatenate([index, selected])
    order = np.argsort(both, kind="stable")  # one pass over both, as each is sorted
    both, is_first = both[order], np.ones(len(both), bool)
    np.not_equal(both[1:], both[:-1], out=is_first[1:])
    values = np.append(values, np.zeros(len(selected), values.dtype))[order[is_first]]
    return both[is_first], values, len(values) - len(index)
