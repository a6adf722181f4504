"""The codes that a greedy pursuit has taken in, fitted by least squares."""

from math import prod

import numpy as np

from csc._backend import kernels
from csc.operators import SparseCodes, SparseResidual


class GreedyState(SparseResidual):
    """Codes that are not zero and the residual ``x - D z`` they leave.

    Parameters
    ----------
    x : array (N, C, *S)
    dictionary : Dictionary
        In mode "full" or "circular": the norm of an atom is the same everywhere.
    codes : SparseCodes
    """

    def __init__(self, x, dictionary, codes):
        super().__init__(x, dictionary, codes, x.dtype)
        norms = np.sqrt((self.layout.padded_atoms.astype("float64") ** 2).sum(axis=1))
        self.worths = (1 / np.where(norms > 0, norms, np.inf)).astype(x.dtype)

    def falls(self):
        """By how much the best atom at each position would lower ``1/2 ||r||^2``, ``(N, *V)``."""
        return 0.5 * self.layout.dual_infeasibility(self.r, self.worths, positive=False) ** 2

    def room(self, n_nonzero, energy):
        """How many more codes each signal may have, ``(N,)``."""
        rows, n = self.layout.samples(self.r), len(self.r)
        taken = self.codes.sums(np.ones(len(self.codes.index)))
        most = prod(self.layout.code_shape[1:]) if n_nonzero is None else n_nonzero
        energies = np.einsum("ni,ni->n", rows, rows, dtype="float64")
        return np.where(energies > energy, most - taken, 0).astype(int).reshape(n)

    def take(self, falls, price, room, share):
        """Take in the best codes of each signal, as zeros; returns how many."""
        flat, near = falls.reshape(len(falls), -1), None
        if share < 1:
            near = (falls >= self.layout.local_max(falls)).reshape(flat.shape)
        bars = np.maximum(price, np.finfo(flat.dtype).eps * self._energies)
        positions = []
        for i in np.flatnonzero(room > 0):
            best = [flat[i].argmax()]
            if near is not None:
                best = np.flatnonzero(near[i] & (flat[i] >= share * flat[i].max()))
                best = best[np.argsort(-flat[i][best], kind="stable")][: room[i]]
            positions += [i * flat.shape[1] + v for v in best if flat[i, v] > bars[i]]
        called = self._best_atoms(np.array(positions, np.int64))
        called = called[~np.isin(called, self.codes.index)]
        index = np.concatenate([self.codes.index, called])
        values = np.concatenate([self.codes.values, np.zeros(len(called), self.r.dtype)])
        order = np.argsort(index)
        self.put(SparseCodes(self.codes.shape, index[order], values[order]))
        self.refresh()
        return len(called)

    def refit(self):
        """Conjugate gradients on the normal equations, to the precision of the signals [1]_.

        References
        ----------
        .. [1] M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear
           systems", J. Res. Nat. Bur. Stand. 49(6), 1952, (3:1a)-(3:1f).
        """
        columns, z, r = self.columns, self.codes.values.copy(), self.r
        s = columns.adjoint(r)
        p, ss = s.copy(), np.vdot(s, s)
        enough = (4 * np.finfo(s.dtype).eps) ** 2 * (self._energies.sum() + 1e-300)
        for _ in range(4 * len(z)):
            if ss <= enough * (self.worths.max() ** -2):
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
        layout, n_atoms = self.layout, self.layout.code_shape[1]
        where, _ = layout.places(positions * n_atoms)
        q = np.empty((len(where), n_atoms), layout.dtype)
        flat = self.r.reshape(-1)
        kernels(q).correlate_at(flat, layout.padded_atoms, layout.boxes, where, q)
        return positions * n_atoms + (abs(q) * self.worths).argmax(axis=1)
