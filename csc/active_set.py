"""Active codes and the residual they leave: what descent in signal space works on.

The residual is kept as an array in which every atom lies wholly, its rows a few samples longer
than the signal's, so that vectors of the kernels never leave it.
"""

from functools import cached_property
from math import prod

import numpy as np
from scipy.ndimage import maximum_filter1d

from csc._device import kernels
from csc.dual import best_dual, scaled_dual
from csc.sparse import SparseCodes

LANES = 8  # of the kernels' vectors
PIECES = 16  # of each signal, for the threads
BLOCK = 2**16  # positions whose correlations are looked at together


class Layout:
    """Where the atoms of a dictionary meet signals: shapes, offsets, padded copies.

    Parameters
    ----------
    dictionary : Dictionary
    shape : tuple
        ``(N, C, *S)`` of the signals.
    dtype : dtype
    """

    def __init__(self, dictionary, shape, dtype):
        self.dictionary, self.shape, self.dtype = dictionary, shape, np.dtype(dtype)
        self.code_shape = (shape[0], dictionary.n_atoms, *dictionary.code_extents(shape[2:]))
        ones = (1,) * (5 - len(shape))
        padded = dictionary.geometry.padded_extents(shape[2:])
        self.volume = (*shape[:2], *ones, *padded)  # always three spatial axes
        self.positions = (*ones, *self.code_shape[2:])
        self.stride = (*ones, *dictionary.geometry.stride)
        atoms = dictionary.atoms.astype(dtype)
        self.atoms = atoms.reshape(*atoms.shape[:2], *ones, *atoms.shape[2:])
        n, c, s0, s1, s2 = self.buffer_shape
        self.steps = np.array([c * s0 * s1 * s2, s1 * s2 * self.stride[0], s2 * self.stride[1],
                               self.stride[2]])  # fmt: skip
        channels, e0, e1, e2 = self.atoms.shape[1:]
        rows = np.indices((channels, e0, e1)).reshape(3, -1)
        self.rows = (np.array([s0 * s1 * s2, s1 * s2, s2]) @ rows).astype(np.int64)
        width = -(-e2 // LANES) * LANES
        self.padded_atoms = np.zeros((len(atoms), len(self.rows), width), dtype)
        self.padded_atoms[:, :, :e2] = self.atoms.reshape(len(atoms), -1, e2)
        self.padded_atoms = self.padded_atoms.reshape(len(atoms), -1)

    @property
    def buffer_shape(self):
        """Shape of the padded residual."""
        return (*self.volume[:4], self.volume[4] + LANES)

    def buffer(self, a=0):
        """A padded copy of signals."""
        out = np.zeros(self.buffer_shape, self.dtype)
        out[..., :-LANES] = a if np.ndim(a) == 0 else a.reshape(self.volume)
        return out

    def observed(self, x, mask):
        """Padded signals, and the padded mask: None if every sample of every atom counts."""
        dictionary = self.dictionary
        if mask is None and dictionary.mode == "full":
            return self.buffer(x), None
        mask = np.ones((1,) * x.ndim) if mask is None else mask
        mask = np.broadcast_to(mask, x.shape).astype(self.dtype)
        return self.buffer(dictionary.pad(x)), self.buffer(dictionary.pad(mask))

    def places(self, index):
        """Flat place in the buffer, and number of the atom, of sparse codes' indices."""
        position, atom = np.divmod(index, self.code_shape[1])
        n, *v = np.unravel_index(position, (self.code_shape[0], *self.positions))
        return np.stack([n, *v], axis=-1) @ self.steps, atom

    def pieces(self, index):
        """Bounds of pieces of sorted codes: pieces two apart have no sample in common."""
        axis = next((a for a in range(3) if self.positions[a] > 1), 2)
        reach = self.atoms.shape[2 + axis] + (LANES if axis == 2 else 0)
        least = -(-reach // self.stride[axis])
        length = max(least, -(-self.positions[axis] // PIECES))
        per_signal = -(-self.positions[axis] // length)
        per_signal += per_signal % 2  # the first piece of a signal is an even one
        size = prod(self.positions[axis + 1 :]) * self.code_shape[1]
        starts = np.arange(per_signal) * length * size
        starts = np.minimum(starts, self.positions[axis] * size)
        of_signal = self.positions[axis] * size
        bounds = np.add.outer(np.arange(self.code_shape[0]) * of_signal, starts).ravel()
        bounds = np.append(bounds, self.code_shape[0] * of_signal)
        return np.searchsorted(index, bounds)

    def excess(self, r, worths, positive):
        """``max_k w_k |D^T r|_k`` at every position ``(N, *V)``, of a padded residual."""
        out = np.empty((self.code_shape[0], *self.positions), self.dtype)
        inside = r[..., :-LANES]
        kernels(r).excess(inside, self.atoms, worths, self.stride, positive, out)
        return out.reshape(self.code_shape[0], *self.code_shape[2:])

    def worst_nearby(self, a):
        """At each position the largest of ``a`` among the positions whose atoms overlap."""
        out = a.reshape(len(a), *self.positions)
        for axis, (extent, step) in enumerate(zip(self.atoms.shape[2:], self.stride, strict=True)):
            reach = -(-extent // step) - 1
            out = maximum_filter1d(out, 2 * reach + 1, axis + 1)
        return out.reshape(a.shape)

    def spread(self, a):
        """At each sample of the buffer the largest of ``a`` among the atoms that cover it."""
        n, positions = len(a), self.positions
        out = np.zeros((n, 1, *self.buffer_shape[2:]), self.dtype)
        taken = (slice(0, (v - 1) * t + 1, t) for v, t in zip(positions, self.stride, strict=True))
        out[(slice(None), 0, *taken)] = a.reshape(n, *positions)
        for axis, extent in enumerate(self.atoms.shape[2:]):
            maximum_filter1d(out, extent, axis + 2, out, mode="constant", origin=(extent - 1) // 2)
        return np.where(out > 0, out, 1)

    def synthesize(self, codes):
        """``D z`` of the signals' own extents."""
        out = self.buffer()
        self.subtract(out, SparseCodes(codes.shape, codes.index, -codes.values))
        inside = out[..., :-LANES].reshape(*self.shape[:2], *self.volume[7 - len(self.shape) :])
        return self.dictionary.geometry.unpad(np.ascontiguousarray(inside), self.shape[2:])

    def subtract(self, r, codes):
        """Subtract ``D z`` from a padded residual."""
        Columns(self, codes.index).add(-codes.values.astype(self.dtype), r)


class Columns:
    """The columns of D that belong to some codes: D and D^T restricted to them.

    Parameters
    ----------
    layout : Layout
    index : array (A,), int64
        Indices of sparse codes.
    """

    def __init__(self, layout, index):
        self.layout = layout
        self.where, self.atom = layout.places(index)
        self.pieces = layout.pieces(index)

    def add(self, values, target):
        """Add ``D z`` of codes with these values to a padded residual."""
        layout, parts = self.layout, (self.where, self.atom, values)
        flat = target.reshape(-1)
        kernels(flat).add_active(flat, layout.padded_atoms, layout.rows, parts, self.pieces)
        return target

    def adjoint(self, r, atoms=None):
        """Correlations of a padded residual with the atoms of the codes."""
        layout = self.layout
        atoms = layout.padded_atoms if atoms is None else atoms
        out, flat = np.empty(len(self.where), layout.dtype), r.reshape(-1)
        kernels(flat).correlate_active(flat, atoms, layout.rows, self.where, self.atom, out)
        return out


class ActiveSet:
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
        self.layout = layout = Layout(problem.dictionary, problem.x.shape, dtype)
        self.positive = problem.penalty.positive
        self.prices = problem.atom_prices.astype(layout.dtype)
        self.x, self.mask = layout.observed(problem.x, problem.mask)
        if self.positive:
            codes = SparseCodes(codes.shape, codes.index, np.maximum(codes.values, 0))
        self._take(codes.astype(layout.dtype))
        self._refresh()

    def excess(self):
        """How far correlations with the residual exceed their prices, ``(N, *V)``."""
        return self.layout.excess(self._observed(self.r), 1 / self.prices, self.positive)

    def certificate(self, excess=None):
        """Objective and duality gap of each signal, ``(N,)`` each, in float64 sums.

        With ``excess``, the map at the present residual, the gap is a cheap one (the residual
        scaled by its worst excess), else that of `duality_gap`.
        """
        r = self._observed(self.r)
        price = self.codes.sums(abs(self.codes.values) * self.prices[self.columns.atom])
        rows = r.reshape(len(r), -1)
        objective = 0.5 * np.einsum("ni,ni->n", rows, rows, dtype="float64") + price
        if excess is None:
            dual = best_dual(self.layout, self.x, r, 1 / self.prices, self.positive)
        else:
            dual = scaled_dual(self.x, r, excess)
        return objective, np.maximum(objective - dual, 0)

    def admit(self, excess, share):
        """Let the worst violators of optimality in every neighbourhood be active; drop zeros.

        A code is called if its correlation exceeds its price by more than ``share`` times the
        worst such violation within the extents of an atom.

        Returns
        -------
        float
            Which part of the active codes is new.
        """
        layout, codes = self.layout, self.codes
        worst = layout.worst_nearby(excess)
        bar = (1 + share * np.maximum(worst - 1, 0)).ravel()
        positions = np.flatnonzero(excess.ravel() > bar)
        blocks = range(0, len(positions), BLOCK)
        r = self._observed(self.r).reshape(-1)
        called = [self._violators(r, positions[i : i + BLOCK], bar) for i in blocks]
        called = np.concatenate([np.empty(0, np.int64), *called])
        kept = codes.values != 0
        index, values = codes.index[kept], codes.values[kept]
        called = called[~np.isin(called, index, assume_unique=True)]
        index = np.concatenate([index, called])
        values = np.concatenate([values, np.zeros(len(called), layout.dtype)])
        order = np.argsort(index, kind="stable")
        self._take(SparseCodes(codes.shape, index[order], values[order]))
        return len(called) / max(len(index), 1)

    def _violators(self, r, positions, bar):
        """Indices of the codes at these positions whose correlations exceed ``bar`` prices."""
        layout, n_atoms = self.layout, self.layout.code_shape[1]
        where, _ = layout.places(positions * n_atoms)
        q = np.empty((len(where), n_atoms), layout.dtype)
        kernels(q).correlate_at(r, layout.padded_atoms, layout.rows, where, q)
        i, k = np.nonzero((q if self.positive else abs(q)) > bar[positions, None] * self.prices)
        return positions[i] * n_atoms + k

    def descend(self, n_sweeps):
        """Sweep over the active codes; returns how much the last sweep lowered the objective."""
        layout, columns = self.layout, self.columns
        prices, inverse = self.prices[columns.atom], 1 / self._curvatures
        parts = columns.where, columns.atom, prices, inverse, self.codes.values
        mask = np.empty(0, layout.dtype) if self.mask is None else self.mask.reshape(-1)
        lowered = kernels(mask).descend_active(
            self.r.reshape(-1), mask, layout.padded_atoms, layout.rows, parts,
            columns.pieces, (self.positive, n_sweeps),
        )  # fmt: skip
        self._refresh()
        return lowered

    def refine(self, n_steps):
        """Conjugate gradients on the non-zero codes, as if their signs were fixed [1]_.

        Codes that would change sign become zero; a move that does not lower the objective is
        halved, and in the end not made.

        References
        ----------
        .. [1] M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear
           systems", J. Res. Nat. Bur. Stand. 49(6), 1952, (3:1a)-(3:1f).
        """
        kept = self.codes.values != 0
        index = self.codes.index[kept]
        support = Columns(self.layout, index)
        z, price = self.codes.values[kept], self.prices[support.atom]
        r = support.adjoint(self._observed(self.r)) - price * np.sign(z)
        move, p, rr = np.zeros_like(z), r.copy(), np.vdot(r, r)
        for _ in range(n_steps):
            Ap = self._observed(support.add(p, self.layout.buffer()))
            curvature = np.vdot(Ap, Ap)
            if curvature <= 0 or rr <= 0:
                break
            step = rr / curvature
            move += step * p
            r -= step * support.adjoint(Ap)
            before, rr = rr, np.vdot(r, r)
            p = r + (rr / before) * p
        before = self._objective(self.r, z, price)
        for length in (1, 0.5, 0.25):
            new = z + z.dtype.type(length) * move
            new[np.sign(new) != np.sign(z)] = 0
            residual = self.r - support.add(new - z, self.layout.buffer())
            if self._objective(residual, new, price) < before:
                self._take(SparseCodes(self.codes.shape, index, new), support)
                self._refresh()
                break

    def _objective(self, residual, z, price):
        rows = self._observed(residual).reshape(-1)
        half = 0.5 * float(np.einsum("i,i->", rows, rows, dtype="float64"))
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

    def _take(self, codes, columns=None):
        """Let these be the codes; what hangs on their places is computed once, not each sweep."""
        self.codes = codes
        self.columns = Columns(self.layout, codes.index) if columns is None else columns
        self.__dict__.pop("_curvatures", None)

    def _refresh(self):
        """The residual anew from the codes: rounding must not pile up."""
        self.r = self.x.copy()
        self.columns.add(-self.codes.values, self.r)

    def _observed(self, r):
        return r if self.mask is None else r * self.mask
