"""Where atoms meet signals: the padded residual in which sparse codes are looked up.

The residual is kept as an array in which every atom lies wholly, its rows a few samples longer
than the signal's, so that vectors of the kernels never leave it. Signals that wrap around are
repeated at their ends, and every code is shown at all its copies.
"""

from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
from scipy.ndimage import maximum_filter1d

from csc._backend import kernels
from csc.operators._conv_plan import ConvPlan
from csc.operators._sparse_codes import SparseCodes

LANES = 8  # of the kernels' vectors
PIECES = 16  # of each signal, for the threads


class Boxes(NamedTuple):
    """The rows of samples of which atoms consist, a line for each shape of atoms.

    Row i of an atom k lies ``rows[shape[k], i]`` behind its place, i < ``heights[shape[k]]``, and
    is ``widths[shape[k]]`` long, a multiple of LANES. Rows of zeros are left out.
    """

    shape: np.ndarray  # (K,)
    rows: np.ndarray  # (G, R)
    heights: np.ndarray  # (G,)
    widths: np.ndarray  # (G,)


def _boxes(parts, steps):
    """Boxes of atoms of some sizes, and the atoms as rows, each row of samples padded."""
    found, n_atoms = [], sum(len(atoms) for _, atoms in parts)
    for which, atoms in parts:
        width = -(-atoms.shape[4] // LANES) * LANES
        whole = np.zeros((len(atoms), prod(atoms.shape[1:4]), width), atoms.dtype)
        whole[..., : atoms.shape[4]] = atoms.reshape(*whole.shape[:2], -1)
        rows = steps @ np.indices(atoms.shape[1:4]).reshape(3, -1)
        used, shapes = np.unique(whole.any(axis=2), axis=0, return_inverse=True)
        numbers = np.arange(n_atoms)[which]
        for g, own in enumerate(used):
            mine = shapes.ravel() == g
            found.append((numbers[mine], rows[own], whole[mine][:, own]))
    heights, widths = (np.array([block.shape[a] for *_, block in found]) for a in (1, 2))
    shape, rows = np.empty(n_atoms, np.int64), np.zeros((len(found), heights.max()), np.int64)
    padded = np.zeros((n_atoms, (heights * widths).max()), found[0][2].dtype)
    for g, (atoms, own, block) in enumerate(found):
        shape[atoms], rows[g, : len(own)] = g, own
        padded[atoms, : block[0].size] = block.reshape(len(atoms), -1)
    return Boxes(shape, rows, heights, widths), padded


class PaddedSignals:
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
        self.positions = (*ones, *self.code_shape[2:])
        self.stride = (*ones, *dictionary.geometry.stride)
        self.reach = (*ones, *dictionary.extents)
        self._lay_out_signals(ones)
        _, c, s0, s1, s2 = self.buffer_shape
        self.steps = np.array([c * s0 * s1 * s2, s1 * s2, s2, 1])  # of signals, and three axes
        self.strides = np.array([s0 * s1 * s2, s1 * s2, s2, 1])  # of channels, and three axes
        parts = [(k, a.astype(dtype)) for k, a in dictionary.parts]
        self.parts = [(k, a.reshape(*a.shape[:2], *ones, *a.shape[2:])) for k, a in parts]
        self.boxes, self.padded_atoms = _boxes(self.parts, self.strides[:3])

    @property
    def _operator(self):
        """The dictionary in the precision at hand."""
        return self.dictionary if self.dictionary.dtype == self.dtype else self.dictionary.as_double

    def _lay_out_signals(self, ones):
        """Where in the buffer the atoms lie (``inside``), and the signals themselves (``own``).

        Around signals that wrap there is room for copies of atoms that lie half outside.
        """
        geometry, extents = self.dictionary.geometry, self.shape[2:]
        self.wraps = geometry.mode == "circular"
        self.extents = (*ones, *extents)
        padded = (*ones, *geometry.padded_extents(extents))
        low = (*(0 for _ in ones), *geometry.low)
        room = [(s - 1) * self.wraps for s in self.reach]
        sizes = [p + 2 * m for p, m in zip(padded, room, strict=True)]
        self.room, self.volume = np.array(room), (*self.shape[:2], *padded)
        self.buffer_shape = (*self.shape[:2], *sizes[:2], sizes[2] + LANES)
        axes = list(zip(room, padded, low, self.extents, strict=True))
        self.inside = (..., *(slice(m, m + p) for m, p, _, _ in axes))
        self.own = (..., *(slice(m + a, m + a + n) for m, _, a, n in axes))

    def buffer(self, a=0):
        """A padded copy of signals."""
        out = np.zeros(self.buffer_shape, self.dtype)
        out[self.inside] = a if np.ndim(a) == 0 else a.reshape(self.volume)
        return out

    def samples(self, a):
        """The signals' own samples of a padded array, ``(N, C * prod(S))``."""
        return a[self.own].reshape(len(a), -1)

    def observed(self, x, mask):
        """Padded signals, and the padded mask: None if every sample of every atom counts."""
        dictionary = self.dictionary
        if mask is None and dictionary.mode in ("full", "circular"):
            return self.buffer(dictionary.pad(x)), None
        mask = np.ones((1,) * x.ndim) if mask is None else mask
        mask = np.broadcast_to(mask, x.shape).astype(self.dtype)
        return self.buffer(dictionary.pad(x)), self.buffer(dictionary.pad(mask))

    def places(self, index):
        """Flat place in the buffer, and number of the atom, of sparse codes' indices."""
        n, corner, atom = self._corners(index)
        return self._flat(n, corner), atom

    def _corners(self, index):
        """Number of the signal, first sample of the box, and number of the atom."""
        position, atom = np.divmod(index, self.code_shape[1])
        n, *v = np.unravel_index(position, (self.code_shape[0], *self.positions))
        return n, np.stack(v, axis=-1) * self.stride, atom

    def _flat(self, n, corner):
        return n * self.steps[0] + (corner + self.room) @ self.steps[1:]

    def copies(self, index):
        """Where else codes show in the buffer: signals that wrap are repeated at their ends.

        Returns
        -------
        first : array (A + 1,), or (0,) if nothing wraps
            The copies of code a are ``places[first[a]]`` to ``places[first[a + 1]]``.
        places : array (E,)
            Flat places of the copies.
        """
        none = np.empty(0, np.int64)
        if not self.wraps:
            return none, none
        n, corner, _ = self._corners(index)
        extents, atom = np.array(self.extents), np.array(self.reach)
        repeated = np.array(self.volume[2:]) - extents
        near = np.flatnonzero(((corner + atom > extents) | (corner < repeated)).any(axis=1))
        n, corner = n[near], corner[near]
        shows = {-1: corner + atom > extents, 0: np.full(corner.shape, True), 1: corner < repeated}
        owners, places = [none], [none]
        for shift in product(*((-1, 0, 1) if room else (0,) for room in self.room)):
            if any(shift):
                here = np.all([shows[a][:, axis] for axis, a in enumerate(shift)], axis=0)
                owners.append(near[here])
                places.append(self._flat(n[here], corner[here] + np.array(shift) * extents))
        owners, places = np.concatenate(owners), np.concatenate(places)
        first = np.zeros(len(index) + 1, np.int64)
        np.cumsum(np.bincount(owners, minlength=len(index)), out=first[1:])
        return first, places[np.argsort(owners, kind="stable")]

    def pieces(self, index):
        """Bounds of pieces of sorted codes: pieces two apart have no sample in common.

        Each signal has an even number of them, so that its last one, which in a signal that wraps
        touches its first, is an odd one.
        """
        axis = next((a for a in range(3) if self.positions[a] > 1), 2)
        reach = self.reach[axis] + (LANES if axis == 2 else 0)
        least = -(-reach // self.stride[axis])
        number = min(PIECES, self.positions[axis] // least) // 2 * 2
        size = prod(self.positions[axis + 1 :]) * self.code_shape[1]
        of_signal = self.positions[axis] * size
        starts = np.arange(number) * self.positions[axis] // max(number, 1) * size
        starts = starts if number else np.array([0, of_signal])
        bounds = np.add.outer(np.arange(self.code_shape[0]) * of_signal, starts).ravel()
        bounds = np.append(bounds, self.code_shape[0] * of_signal)
        return np.searchsorted(index, bounds)

    def dual_infeasibility(self, r, worths, positive):
        """``max_k w_k |D^T r|_k`` at every position ``(N, *V)``, of a padded residual."""
        samples = self.samples(r).reshape(self.shape)
        plan = ConvPlan.of(self._operator, samples, self.shape[2:])
        return plan.dual_infeasibility(samples, r[self.inside], worths, positive)

    def violating_indices(self, r, prices, positions, bars, positive):  # noqa: PLR0913
        """Indices of the codes at ``positions`` whose correlations exceed ``bars`` prices.

        Parameters
        ----------
        r : array
            A padded residual.
        prices : array (K,)
        positions : array (P,), int64
            Flat positions.
        bars : array (P,)
        positive : bool
            Whether codes must not be negative.

        Returns
        -------
        index : array (A,), int64
            Sorted if the positions are.
        """
        where, _ = self.places(positions * len(prices))
        worst = np.empty((len(where), len(prices)), bool)
        for k, atoms in self.parts:
            offsets = self.strides @ np.indices(atoms.shape[1:]).reshape(4, -1)
            matrix = atoms.reshape(len(atoms), -1) / prices[k][:, None]
            found = np.empty((len(where), len(atoms)), bool)
            kernels(r).violating_indices(
                r.reshape(-1), matrix, offsets, where, bars, positive, found
            )
            worst[:, k] = found
        i, k = np.nonzero(worst)
        return positions[i] * len(prices) + k

    def local_max(self, a):
        """At each position the largest of ``a`` among the positions whose atoms overlap."""
        out = a.reshape(len(a), *self.positions)
        for axis, (extent, step) in enumerate(zip(self.reach, self.stride, strict=True)):
            reach = -(-extent // step) - 1
            if reach:
                out = maximum_filter1d(out, 2 * reach + 1, axis + 1, mode=self._border)
        return out.reshape(a.shape)

    def max_over_covering_atoms(self, a):
        """At each sample of the buffer the largest of ``a`` among the atoms that cover it."""
        n, positions = len(a), self.positions
        out = np.zeros((n, 1, *self.volume[2:]), self.dtype)
        taken = (slice(0, (v - 1) * t + 1, t) for v, t in zip(positions, self.stride, strict=True))
        out[(slice(None), 0, *taken)] = a.reshape(n, *positions)
        if self.wraps:
            out = out[(..., *map(slice, self.extents))]
        for axis, extent in enumerate(self.reach):
            origin = (extent - 1) // 2
            if extent > 1:
                out = maximum_filter1d(out, extent, axis + 2, mode=self._border, origin=origin)
        if self.wraps:
            out = self.dictionary.pad(out.reshape(n, 1, *self.shape[2:]))
        whole = np.ones((n, 1, *self.buffer_shape[2:]), self.dtype)
        whole[self.inside] = np.where(out > 0, out, 1).reshape(n, 1, *self.volume[2:])
        return whole

    @property
    def _border(self):
        """How filters go on past the ends."""
        return "wrap" if self.wraps else "constant"

    def synthesize(self, codes):
        """``D z`` of the signals' own extents."""
        out = self.buffer()
        self.subtract(out, SparseCodes(codes.shape, codes.index, -codes.values))
        return self.samples(out).reshape(self.shape)

    def subtract(self, r, codes):
        """Subtract ``D z`` from a padded residual."""
        RestrictedDictionary(self, codes.index).add(-codes.values.astype(self.dtype), r)


class RestrictedDictionary:
    """The columns of D that belong to some codes: D and D^T restricted to them.

    Parameters
    ----------
    layout : PaddedSignals
    index : array (A,), int64
        Indices of sparse codes.
    """

    def __init__(self, layout, index):
        self.layout = layout
        self.where, self.atom = layout.places(index)
        self.copies = layout.copies(index)
        self.pieces = layout.pieces(index)

    def part(self, kept):
        """Some of the columns; ``kept`` (A,) says which."""
        part = object.__new__(RestrictedDictionary)
        part.layout = self.layout
        part.where, part.atom = self.where[kept], self.atom[kept]
        part.pieces = np.append(0, np.cumsum(kept))[self.pieces]
        first, places = part.copies = self.copies
        if len(first):
            numbers = np.diff(first)
            first = np.append(0, np.cumsum(numbers[kept]))
            part.copies = first, places[np.repeat(kept, numbers)]
        return part

    def add(self, values, target):
        """Add ``D z`` of codes with these values to a padded residual."""
        layout, parts = self.layout, (self.where, self.atom, *self.copies, values)
        flat = target.reshape(-1)
        kernels(flat).add_active(flat, layout.padded_atoms, layout.boxes, parts, self.pieces)
        return target

    def adjoint(self, r, atoms=None):
        """Correlations of a padded residual with the atoms of the codes."""
        layout = self.layout
        atoms = layout.padded_atoms if atoms is None else atoms
        out, flat = np.empty(len(self.where), layout.dtype), r.reshape(-1)
        kernels(flat).correlate_active(flat, atoms, layout.boxes, self.where, self.atom, out)
        return out
