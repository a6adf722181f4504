"""Active codes and the residual they leave: what descent in signal space works on."""

from functools import cached_property

import numpy as np

from csc._backend import kernels
from csc.certificates import sparse_certificate
from csc.operators import SparseCodes, SparseResidual

EVEN = 1e-15  # relative rise of the objective that is rounding
BLOCK = 2**16  # positions whose correlations are looked at together


class ActiveSet(SparseResidual):
    """Codes that may move, and the residual ``x - D z`` they leave.

    Parameters
    ----------
    problem : Problem
        A lasso with one price > 0 for each atom.
    codes : SparseCodes
        To start from.
    dtype : dtype
        Precision to work in.
    """

    def __init__(self, problem, codes, dtype):
        self.positive = problem.penalty.positive
        if self.positive:
            codes = SparseCodes(codes.shape, codes.index, np.maximum(codes.values, 0))
        super().__init__(problem.x, problem.dictionary, codes, dtype, problem.mask)
        self.prices = problem.atom_lmbda.astype(self.layout.dtype)

    def dual_infeasibility(self):
        """How far correlations with the residual exceed their prices, ``(N, *V)``."""
        return self.layout.dual_infeasibility(self.observed(self.r), 1 / self.prices, self.positive)

    def certificate(self, infeasibility=None, *, local=True):
        """`csc.certificates.sparse_certificate` at the present codes."""
        return sparse_certificate(self, self.prices, self.positive, infeasibility, local=local)

    def admit(self, dual_infeasibility, share):
        """Let the worst violators of optimality in every neighbourhood be active; drop zeros.

        A code is called if its correlation exceeds its price by more than ``share`` times the
        worst such violation within the extents of an atom.

        Returns
        -------
        float
            Which part of the active codes is new.
        """
        layout, codes = self.layout, self.codes
        worst = layout.local_max(dual_infeasibility)
        bar = (1 + share * np.maximum(worst - 1, 0)).ravel()
        positions = np.flatnonzero(dual_infeasibility.ravel() > bar)
        blocks = range(0, len(positions), BLOCK)
        r, called = self.observed(self.r), []
        for some in (positions[i : i + BLOCK] for i in blocks):
            called.append(layout.violating_indices(r, self.prices, some, bar[some], self.positive))
        called = np.concatenate([np.empty(0, np.int64), *called])
        kept = codes.values != 0
        index, values = codes.index[kept], codes.values[kept]
        called = called[~np.isin(called, index, assume_unique=True)]
        index = np.concatenate([index, called])
        values = np.concatenate([values, np.zeros(len(called), layout.dtype)])
        order = np.argsort(index, kind="stable")
        self.put(SparseCodes(codes.shape, index[order], values[order]))
        return len(called) / max(len(index), 1)

    def descend(self, n_sweeps):
        """Sweep over the active codes; returns how much the last sweep lowered the objective."""
        layout, columns = self.layout, self.columns
        prices, inverse = self.prices[columns.atom], 1 / self._curvatures
        parts = columns.where, columns.atom, *columns.copies, prices, inverse, self.codes.values
        mask = np.empty(0, layout.dtype) if self.mask is None else self.mask.reshape(-1)
        lowered = kernels(mask).descend_active(
            self.r.reshape(-1), mask, layout.padded_atoms, layout.boxes, parts,
            columns.pieces, (self.positive, n_sweeps),
        )  # fmt: skip
        self.refresh()
        return lowered

    def refine(self, n_steps):
        """Conjugate gradients on the non-zero codes, as if their signs were fixed [1]_.

        Codes that would change sign become zero; a move that raises the objective by more than
        rounding is halved, and in the end not made.

        References
        ----------
        .. [1] M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear
           systems", J. Res. Nat. Bur. Stand. 49(6), 1952, (3:1a)-(3:1f).
        """
        kept = self.codes.values != 0
        support = self.columns.part(kept)
        z, price = self.codes.values[kept], self.prices[support.atom]
        r = support.adjoint(self.observed(self.r)) - price * np.sign(z)
        move, p, rr = np.zeros_like(z), r.copy(), np.vdot(r, r)
        for _ in range(n_steps):
            Ap = support.adjoint(self.observed(support.add(p, self.layout.buffer())))
            curvature = np.vdot(p, Ap)
            if curvature <= 0 or rr <= 0:
                break
            step = rr / curvature
            move += step * p
            r -= step * Ap
            before, rr = rr, np.vdot(r, r)
            p = r + (rr / before) * p
        before = self._objective(self.r, z, price) * (1 + EVEN)
        for length in (1, 0.5, 0.25):
            new = z + z.dtype.type(length) * move
            new[np.sign(new) != np.sign(z)] = 0
            residual = self.r - support.add(new - z, self.layout.buffer())
            if self._objective(residual, new, price) <= before:
                index = self.codes.index[kept]
                self.put(SparseCodes(self.codes.shape, index, new), support)
                self.refresh()
                break

    def _objective(self, residual, z, price):
        half = 0.5 * float(self.energies(self.observed(residual)).sum())
        return half + float((price * abs(z)).sum(dtype="float64"))

    @cached_property
    def _curvatures(self):
        """``||M d||^2`` at each place; where it is 0 nothing is observed, and 1 does no harm."""
        squares = self.layout.padded_atoms**2
        if self.mask is None:
            out = squares.sum(axis=1)[self.columns.atom]
        else:
            out = self.columns.adjoint(self.mask, squares)
        return np.where(out > 0, out, 1)

    def put(self, codes, columns=None):
        """Let these be the codes; what depends on their places is computed once, not each sweep."""
        super().put(codes, columns)
        self.__dict__.pop("_curvatures", None)
