"""State of a greedy pursuit: the selected codes, fitted by least squares."""

from math import prod
from typing import NamedTuple

import numpy as np

from csc.operators import SparseCodes, SparseResidual
from csc.solvers._active_set import merged


class _Correlations(NamedTuple):
    """Largest correlations of normalised atoms with a padded residual, and their errors."""

    r: np.ndarray
    largest: np.ndarray  # (N, *V)
    error: np.ndarray


class GreedyState(SparseResidual):
    """Non-zero codes and their residual ``x - D z``.

    Parameters
    ----------
    x : array (N, C, *S)
    dictionary : Dictionary
        In mode "full" or "circular": the norm of an atom is the same everywhere.
    codes : SparseCodes
    """

    def __init__(self, x, dictionary, codes):
        super().__init__(x, dictionary, codes, x.dtype)
        norms = self.layout.atom_norms
        self.inv_norms = (1 / np.where(norms > 0, norms, np.inf)).astype(x.dtype)
        self.known = None  # of the last round

    def decreases(self, weak_factor=1.0):
        """Decrease of ``1/2 ||r||^2`` by the best atom at each position, ``(N, *V)``.

        Where it is less than ``weak_factor`` times the largest of its signal, it may be a bound:
        correlations are computed only where the residual changed so much that they may be large.
        """
        layout, known, settings = self.layout, self.known, (self.inv_norms, False)
        if known is None:
            largest = layout.dual_infeasibility(self.r, *settings)
            error = np.zeros_like(largest)
        else:
            error = known.error + layout.largest_change(self.inv_norms, self.r, known.r)
            largest = known.largest
            low = (largest - error).reshape(len(largest), -1).max(axis=1)
            low = (np.sqrt(weak_factor) * low).reshape(-1, *(1,) * (largest.ndim - 1))
            uncertain = np.flatnonzero(((error > 0) & (largest + error >= low)).reshape(-1))
            exact = layout.dual_infeasibility_at(uncertain, self.r, *settings)
            largest.reshape(-1)[uncertain] = exact
            error.reshape(-1)[uncertain] = 0
        self.known = _Correlations(self.r.copy(), largest, error)
        return 0.5 * (largest + error) ** 2

    def remaining(self, n_nonzero, max_squared_residual):
        """How many more codes each signal may select, ``(N,)``."""
        rows, n = self.layout.samples(self.r), len(self.r)
        n_selected = self.codes.sums(np.ones(len(self.codes.index)))
        max_nonzero = prod(self.layout.code_shape[1:]) if n_nonzero is None else n_nonzero
        energies = np.einsum("ni,ni->n", rows, rows, dtype="float64")
        return (
            np.where(energies > max_squared_residual, max_nonzero - n_selected, 0)
            .astype(int)
            .reshape(n)
        )

    def select(self, decreases, min_decrease, remaining, weak_factor):
        """Add the best codes of each signal to the support, with value 0; returns how many."""
        flat, is_local_max = decreases.reshape(len(decreases), -1), None
        if weak_factor < 1:
            is_local_max = (decreases >= self.layout.local_max(decreases)).reshape(flat.shape)
        thresholds = np.maximum(min_decrease, np.finfo(flat.dtype).eps * self._energies)
        positions = []
        for i in np.flatnonzero(remaining > 0):
            best = [flat[i].argmax()]
            if is_local_max is not None:
                best = np.flatnonzero(is_local_max[i] & (flat[i] >= weak_factor * flat[i].max()))
                best = best[np.argsort(-flat[i][best], kind="stable")][: remaining[i]]
            positions += [i * flat.shape[1] + v for v in best if flat[i, v] > thresholds[i]]
        selected = self._best_atoms(np.array(positions, np.int64))
        index, values, n_new = merged(self.codes.index, self.codes.values, np.sort(selected))
        self.put(SparseCodes(self.codes.shape, index, values))
        return n_new

    def refit(self):
        """Least squares on the support by CGLS, to the precision of the signals [1]_.

        Conjugate gradients on the normal equations that update the residual of the signals: in
        float32 more precise than those of `conjugate_gradients`, which update ``D^T r``.

        References
        ----------
        .. [1] M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear
           systems", J. Res. Nat. Bur. Stand. 49(6), 1952, (3:1a)-(3:1f).
        """
        columns, z, r = self.columns, self.codes.values.copy(), self.r
        s = columns.adjoint(r)
        p, ss = s.copy(), np.vdot(s, s)
        tol_squared = (4 * np.finfo(s.dtype).eps) ** 2 * (self._energies.sum() + 1e-300)
        for _ in range(4 * len(z)):
            if ss <= tol_squared * (self.inv_norms.max() ** -2):
                break
            Ap = columns.add(p, self.layout.buffer())
            rows = self.layout.samples(Ap)
            step = ss / np.vdot(rows, rows)
            z += step * p
            r = r - step * Ap
            s = columns.adjoint(r)
            before, ss = ss, np.vdot(s, s)
            p = s + (ss / before) * p
        self.put(SparseCodes(self.codes.shape, self.codes.index, z), columns)
        self.refresh()

    @property
    def _energies(self):
        rows = self.layout.samples(self.x)
        return np.einsum("ni,ni->n", rows, rows, dtype="float64")

    def _best_atoms(self, positions):
        """Index of the code that lowers the residual most, at each of these positions."""
        q = self.layout.correlations_at(positions, self.r)
        return positions * q.shape[1] + (abs(q) * self.inv_norms).argmax(axis=1)
