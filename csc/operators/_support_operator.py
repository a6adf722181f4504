"""The dictionary restricted to a support, and the padded residual that it works on.

The residual is stored in an array in which every atom lies wholly. Its rows are a few samples
longer than those of the signals, so that SIMD vectors never cross its end. Signals that wrap around
are repeated at their ends, and every code has a copy at each repetition.
"""

from functools import cached_property
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np

from csc._backend import kernels
from csc.kernels._constants import SIMD_WIDTH
from csc.operators._conv_plan import ConvPlan
from csc.operators._sparse_codes import SparseCodes
from csc.operators._windows import slabs, window_max, window_sum

MAX_PIECES_PER_SIGNAL, MAX_PIECES = 16, 128  # that threads share
MAX_CORRELATIONS = 2**22  # of several signals, held at once
BLOCK_POSITIONS = 2**16  # whose correlations are compared at a time,
BLOCK_CORRELATIONS = 2**20  # and correlations where each code has its own lambda: they are stored
MAX_UNCERTAIN_FRACTION = 0.6  # of the positions; if more are, all correlations take less time
NORM_ROUNDING = 1e3  # times the unit of rounding: far above that of a norm under an atom


class Runs(NamedTuple):
    """Where the samples of atoms lie, in runs of SIMD_WIDTH, one line for each shape of atoms.

    Run i < ``lengths[shape[k]]`` of atom k begins ``starts[shape[k], i]`` after its first sample.
    Runs of zeros are left out.
    """

    shape: np.ndarray  # (K,)
    starts: np.ndarray  # (G, R)
    lengths: np.ndarray  # (G,)


def _runs(parts, steps):
    """`Runs` of atoms of several sizes, and the atoms as rows, run after run."""
    found, n_atoms = [], sum(len(atoms) for _, atoms in parts)
    for which, atoms in parts:
        n_runs = -(-atoms.shape[4] // SIMD_WIDTH)
        whole = np.zeros((len(atoms), prod(atoms.shape[1:4]), n_runs * SIMD_WIDTH), atoms.dtype)
        whole[..., : atoms.shape[4]] = atoms.reshape(*whole.shape[:2], -1)
        whole = whole.reshape(len(atoms), -1, SIMD_WIDTH)
        rows = steps @ np.indices(atoms.shape[1:4]).reshape(3, -1)
        starts = np.add.outer(rows, SIMD_WIDTH * np.arange(n_runs)).ravel()
        used = whole.any(axis=2)
        if (used == used[0]).all():  # `np.unique` takes a tenth of a short solve
            used, shapes = used[:1], np.zeros(len(used), np.int64)
        else:
            used, shapes = np.unique(used, axis=0, return_inverse=True)
        numbers = np.arange(n_atoms)[which]
        for g, own in enumerate(used):
            mine = shapes.ravel() == g
            found.append((numbers[mine], starts[own], whole[mine][:, own]))
    lengths = np.array([len(starts) for _, starts, _ in found])
    shape, starts = np.empty(n_atoms, np.int64), np.zeros((len(found), lengths.max()), np.int64)
    padded = np.zeros((n_atoms, lengths.max() * SIMD_WIDTH), found[0][2].dtype)
    for g, (atoms, own, samples) in enumerate(found):
        shape[atoms], starts[g, : len(own)] = g, own
        padded[atoms, : samples[0].size] = samples.reshape(len(atoms), -1)
    return Runs(shape, starts, lengths), padded


class KnownInfeasibility(NamedTuple):
    """A padded residual and its dual infeasibility: exact above 1, elsewhere a bound."""

    r: np.ndarray
    largest: np.ndarray  # (N, *V)


class PaddedSignals:
    """Padded copies of signals: shapes, and the flat indices of atoms in them.

    Parameters
    ----------
    dictionary : Dictionary
    shape : tuple
        ``(N, C, *S)`` of the signals.
    dtype : dtype
    """

    def __init__(self, dictionary, shape, dtype):
        self.dictionary, self.shape, self.dtype = dictionary, shape, np.dtype(dtype)
        self.code_shape = (shape[0], dictionary.n_atoms, *dictionary.spatial_code_shape(shape[2:]))
        ones = (1,) * (5 - len(shape))
        self.positions = (*ones, *self.code_shape[2:])
        self.stride = (*ones, *dictionary.geometry.stride)
        self.atom_shape = (*ones, *dictionary.atom_shape)
        self._set_shapes(ones)
        _, c, s0, s1, s2 = self.buffer_shape
        self.steps = np.array([c * s0 * s1 * s2, s1 * s2, s2, 1])  # of signals, and three axes
        self.strides = np.array([s0 * s1 * s2, s1 * s2, s2, 1])  # of channels, and three axes
        parts = [(k, a.astype(dtype)) for k, a in dictionary.parts]
        self.parts = [(k, a.reshape(*a.shape[:2], *ones, *a.shape[2:])) for k, a in parts]
        self.runs, self.padded_atoms = _runs(self.parts, self.strides[:3])

    @property
    def is_series(self):
        """Whether codes lie along one axis."""
        return sum(n > 1 for n in self.positions) <= 1

    @property
    def operator(self):
        """The dictionary in the precision of these arrays."""
        return self.dictionary if self.dictionary.dtype == self.dtype else self.dictionary.as_double

    def _set_shapes(self, ones):
        """Set the slices of the buffer that atoms cover (``inside``) and of signals (``own``).

        Signals that wrap around have a margin for copies of atoms that lie partly outside.
        """
        geometry, spatial_shape = self.dictionary.geometry, self.shape[2:]
        self.wraps = geometry.mode == "circular"
        self.signal_shape = (*ones, *spatial_shape)
        padded = (*ones, *geometry.padded_shape(spatial_shape))
        low = (*(0 for _ in ones), *geometry.low)
        margin = [(s - 1) * self.wraps for s in self.atom_shape]
        sizes = [p + 2 * m for p, m in zip(padded, margin, strict=True)]
        self.margin, self.volume = np.array(margin), (*self.shape[:2], *padded)
        self.buffer_shape = (*self.shape[:2], *sizes[:2], sizes[2] + SIMD_WIDTH)
        axes = list(zip(margin, padded, low, self.signal_shape, strict=True))
        self.inside = (..., *(slice(m, m + p) for m, p, _, _ in axes))
        self.own = (..., *(slice(m + a, m + a + n) for m, _, a, n in axes))

    def buffer(self, a=None):
        """A padded copy of signals; zeros by default."""
        out = np.zeros(self.buffer_shape, self.dtype)
        if a is not None:
            out[self.inside] = a.reshape(self.volume)
        return out

    def samples(self, a):
        """The signals' own samples of a padded array, ``(N, C * prod(S))``."""
        return a[self.own].reshape(len(a), -1)

    def rows(self, a):
        """Numbers of a padded array for sums over each signal, ``(N, n)``; beyond the signals it must be 0.

        Signals that wrap around have copies there, which are left out.
        """
        return self.samples(a) if self.wraps else a.reshape(len(a), -1)

    def observed(self, x, mask):
        """Padded signals, and the padded mask: None if no sample is missing and no atom is cut."""
        dictionary = self.dictionary
        if mask is None and dictionary.mode in ("full", "circular"):
            return self.buffer(dictionary.pad(x)), None
        mask = np.ones((1,) * x.ndim) if mask is None else mask
        mask = np.broadcast_to(mask, x.shape).astype(self.dtype)
        return self.buffer(dictionary.pad(x)), self.buffer(dictionary.pad(mask))

    def places(self, index):
        """Flat index in the buffer, and number of the atom, of sparse codes."""
        position = index // self.code_shape[1]  # and no remainders: they take several times as long
        return self.places_at(position), index - self.code_shape[1] * position

    def places_at(self, position):
        """Flat index in the buffer of flat positions."""
        line = position // self.positions[2]
        return self._line_starts[line] + self.stride[2] * (position - self.positions[2] * line)

    @cached_property
    def _line_starts(self):
        """Flat index of the first sample of the first code of each line of positions."""
        n, *corner = np.ix_(*map(np.arange, (self.code_shape[0], *self.positions[:2], 1)))
        corner = (a * t for a, t in zip(corner, self.stride, strict=True))
        return self._flat(n, tuple(corner)).ravel()

    @cached_property
    def _has_copies(self):
        """Whether codes are repeated at the ends: of each line of positions, and of each place."""
        repeats = []
        for axis, n in enumerate(self.positions):
            corner = self.stride[axis] * np.arange(n)
            repeats.append(self._beyond(corner, axis) | self._before(corner, axis))
        lines = np.logical_or.outer(repeats[0], repeats[1]).ravel()
        return np.tile(lines, self.code_shape[0]), repeats[2]

    def _beyond(self, corner, axis):
        """Whether boxes at these first samples end beyond the signal."""
        return corner + self.atom_shape[axis] > self.signal_shape[axis]

    def _before(self, corner, axis):
        """Whether samples of boxes are repeated after the end of the signal."""
        return corner < self.volume[2 + axis] - self.signal_shape[axis]

    def _flat(self, n, corner):
        """Flat index of samples, from the number of the signal and three coordinates."""
        out = n * self.steps[0]
        for axis, a in enumerate(corner):
            out = out + (a + self.margin[axis]) * self.steps[1 + axis]
        return out

    def copies(self, index):
        """Flat indices of the copies of codes: signals that wrap around are repeated at their ends.

        Returns
        -------
        first : array (A + 1,), or (0,) if nothing wraps
            Code a has copies at ``places[first[a]]`` to ``places[first[a + 1]]``.
        places : array (E,)
            Flat indices.
        """
        if not self.wraps:
            none = np.empty(0, np.int64)
            return none, none
        all_first, places = self._copies_of_positions
        position = index // self.code_shape[1]
        start, first = all_first[position], np.zeros(len(index) + 1, np.int64)
        numbers = all_first[position + 1] - start
        np.cumsum(numbers, out=first[1:])
        return first, places[np.repeat(start - first[:-1], numbers) + np.arange(first[-1])]

    @cached_property
    def _copies_of_positions(self):
        """As `copies`, of one code at each position."""
        lines, last_places = self._has_copies
        near = np.flatnonzero(lines[:, None] | last_places)
        line, place = np.divmod(near, self.positions[2])
        n, *v = np.unravel_index(line, (self.code_shape[0], *self.positions[:2]))
        v.append(place)
        corner = [a * t for a, t in zip(v, self.stride, strict=True)]
        shows = [
            {-1: self._beyond(a, axis), 0: True, 1: self._before(a, axis)}
            for axis, a in enumerate(corner)
        ]
        owners, places = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for shift in product(*((-1, 0, 1) if margin else (0,) for margin in self.margin)):
            if any(shift):
                here = shows[0][shift[0]] & shows[1][shift[1]] & shows[2][shift[2]]
                moved = zip(corner, shift, self.signal_shape, strict=True)
                owners.append(near[here])
                places.append(self._flat(n[here], [a[here] + s * extent for a, s, extent in moved]))
        owners, places = np.concatenate(owners), np.concatenate(places)
        first = np.zeros(len(lines) * self.positions[2] + 1, np.int64)
        np.cumsum(np.bincount(owners, minlength=len(first) - 1), out=first[1:])
        return first, places[np.argsort(owners, kind="stable")]

    def pieces(self, index):
        """Bounds of pieces of sorted codes: pieces two apart have no sample in common.

        Pieces of a signal have about as many codes each, so that threads take as long. Each signal has
        an even number of them, so that its first and last ones, which share
        samples if the signal wraps around, are not both even or both odd. Of more than 64 signals, a piece
        has whole ones.
        """
        axis = next((a for a in range(3) if self.positions[a] > 1), 2)
        extent = self.atom_shape[axis] + (SIMD_WIDTH if axis == 2 else 0)
        n, length, n_rows = (
            self.code_shape[0],
            self.positions[axis],
            -(-extent // self.stride[axis]),
        )
        size = prod(self.positions[axis + 1 :]) * self.code_shape[1]
        if 2 * n > MAX_PIECES:
            groups = np.arange(MAX_PIECES + 1) * n // MAX_PIECES
            return np.searchsorted(index, groups * length * size)
        number = min(MAX_PIECES_PER_SIGNAL, MAX_PIECES // n, length // n_rows) // 2 * 2
        if number == 0:  # whole signals, and an empty piece after each
            whole = np.repeat(np.arange(n + 1), 2)[1:]
            return np.searchsorted(index, whole * length * size)
        bounds = _balanced(index, (n, length, size), number, n_rows)
        return np.searchsorted(index, np.append(bounds, n * length) * size)

    def dual_infeasibility(self, r, inverse_lmbda, positive):
        """``max_k |D^T r|_k / lmbda_k`` at every position ``(N, *V)``, of a padded residual.

        ``inverse_lmbda`` has one number for each atom, ``(K,)``, or broadcasts to the codes.
        """
        samples = self.samples(r).reshape(self.shape)
        plan = ConvPlan.of(self.operator, samples, self.shape[2:])
        if inverse_lmbda.ndim > 1 and inverse_lmbda.shape[1] > 1:
            inverse_lmbda = np.broadcast_to(inverse_lmbda, (len(r), *inverse_lmbda.shape[1:]))
            largest = np.empty((len(r), *self.code_shape[2:]), r.dtype)
            size = max(1, MAX_CORRELATIONS // prod(self.code_shape[1:]))
            for i in range(0, len(r), size):
                q = plan.correlate(np.ascontiguousarray(samples[i : i + size]))
                q *= inverse_lmbda[i : i + size]
                low = 0 if positive else -q.min(axis=1)
                np.maximum(q.max(axis=1), low, out=largest[i : i + size])
            return largest
        per_atom = (
            inverse_lmbda if inverse_lmbda.ndim == 1 else np.ones(self.code_shape[1], r.dtype)
        )
        largest = plan.dual_infeasibility(samples, r[self.inside], per_atom, positive)
        return largest if inverse_lmbda.ndim == 1 else largest * inverse_lmbda[:, 0]

    def dual_infeasibility_near(self, r, known, inverse_lmbda, positive):
        """As `dual_infeasibility` where it exceeds 1; elsewhere it may be a bound, at most 1.

        By the inequality of Cauchy and Schwarz, it differs from that of another residual by at most
        ``max_k ||d_k|| / lmbda_k`` times the norm of the difference under the atom. Only where this
        leaves open whether it exceeds 1 it is computed.

        Parameters
        ----------
        known : KnownInfeasibility
            Of another residual, for the same lambdas.
        """
        if inverse_lmbda.ndim > 1:
            return self.dual_infeasibility(r, inverse_lmbda, positive)
        out = self.largest_change(inverse_lmbda, r, known.r)
        out += known.largest
        settings = r, inverse_lmbda, positive
        return exact_above_one(
            out,
            lambda: self.dual_infeasibility(*settings),
            lambda at: self.dual_infeasibility_at(at, *settings),
        )

    def with_rounding(self, known, inverse_lmbda):
        """What is known of a residual in a lower precision, with bounds on the rounding errors added.

        A sum of n products has an error of at most about ``n eps ||d|| ||r||`` [1]_.

        References
        ----------
        .. [1] N. J. Higham, "Accuracy and stability of numerical algorithms", 2nd ed., SIAM 2002, sec. 3.1.
        """
        eps = float(np.finfo(known.r.dtype).eps)
        largest = self.largest_change(inverse_lmbda, known.r).astype(self.dtype)
        largest *= self.padded_atoms.shape[1] * eps
        largest += known.largest
        largest *= 1 + NORM_ROUNDING * eps
        return KnownInfeasibility(known.r, largest)

    def largest_change(self, inverse_lmbda, r, before=None):
        """How much `dual_infeasibility` changes at most, at each position, from a residual ``before`` or 0 to r."""
        norms = self.norms_under_atoms(r, before)
        norms *= self.dtype.type((self.atom_norms * inverse_lmbda).max())
        return norms

    def dual_infeasibility_at(self, positions, r, inverse_lmbda, positive):
        """As `dual_infeasibility`, at some flat positions; one lambda for each atom."""
        where = self.places_at(positions)
        largest = np.zeros(len(where), self.dtype)
        for _, matrix, offsets in self._rows_and_offsets(inverse_lmbda):
            options = where, positive, largest
            kernels(r).largest_correlations(r.reshape(-1), matrix, offsets, *options)
        return largest

    def correlations_at(self, positions, r):
        """``D^T r`` of all atoms at some flat positions, ``(P, K)``, of a padded residual."""
        where = self.places_at(positions)
        q = np.empty((len(where), self.code_shape[1]), self.dtype)
        kernels(r).correlate_at(r.reshape(-1), self.padded_atoms, self.runs, where, q)
        return q

    def _rows_and_offsets(self, inverse_lmbda):
        """Of each part: its atoms, divided by lambda, as rows, and offsets of their samples."""
        for (k, atoms), offsets in zip(self.parts, self._offsets, strict=True):
            factors = inverse_lmbda[k, None].astype(self.dtype)
            yield k, atoms.reshape(len(atoms), -1) * factors, offsets

    @cached_property
    def atom_norms(self):
        """``||d||`` of each atom, in float64."""
        return np.sqrt((self.padded_atoms.astype("float64") ** 2).sum(axis=1))

    @cached_property
    def _offsets(self):
        """Flat offsets of the samples of an atom from its first one, for each part."""
        return [self.strides @ np.indices(a.shape[1:]).reshape(4, -1) for _, a in self.parts]

    def norms_under_atoms(self, r, before=None):
        """Norm of a padded array, or of what changed in it, under the atoms at every position, rounded up, ``(N, *V)``."""
        positions = [n - s + 1 for n, s in zip(self.volume[2:], self.atom_shape, strict=True)]
        out = np.empty((len(r), *positions), r.dtype)
        for slab in slabs(len(r), positions, self.atom_shape):
            more = self.atom_shape[slab.axis] - 1
            change = slab.of(r[self.inside], more)
            if before is not None:
                change = change - slab.of(before[self.inside], more)
            unit = max(change.max(), -change.min(), np.finfo(r.dtype).tiny)  # else squares may be 0
            squares = change / unit
            squares *= squares
            squares = squares[:, 0] if squares.shape[1] == 1 else squares.sum(axis=1)
            norms = np.sqrt(window_sum(squares, self.atom_shape))
            norms *= unit * r.dtype.type(1 + NORM_ROUNDING * np.finfo(r.dtype).eps)
            slab.of(out)[...] = norms
        first = (slice(None, None, step) for step in self.stride)
        out = np.ascontiguousarray(out[(slice(None), *first)])
        return out.reshape(len(r), *self.code_shape[2:])

    def violating_indices(self, r, lmbda, positions, thresholds, positive):
        """Indices of codes at ``positions`` whose correlations exceed ``thresholds`` times lmbda.

        Parameters
        ----------
        r : array
            A padded residual.
        lmbda : array (K,), or one that broadcasts to the codes
        positions : array (P,), int64
            Flat positions.
        thresholds : array (P,)
        positive : bool
            Whether codes must not be negative.

        Returns
        -------
        index : array (A,), int64
            Sorted if the positions are.
        """
        size = BLOCK_POSITIONS
        if lmbda.ndim > 1:
            size = max(1, BLOCK_CORRELATIONS // self.code_shape[1])
        found = [np.empty(0, np.int64)]
        for block in (slice(i, i + size) for i in range(0, len(positions), size)):
            at = positions[block], thresholds[block]
            found.append(self._violating_in_block(r, lmbda, *at, positive))
        return np.concatenate(found)

    def _violating_in_block(self, r, lmbda, positions, thresholds, positive):
        n_atoms = self.code_shape[1]
        if lmbda.ndim > 1:
            n, *v = np.unravel_index(positions, (self.code_shape[0], *self.code_shape[2:]))
            lmbda = np.broadcast_to(lmbda, self.code_shape)[(n, slice(None), *v)]
            q = self.correlations_at(positions, r)
            i, k = np.nonzero((q if positive else abs(q)) > thresholds[:, None] * lmbda)
            return positions[i] * n_atoms + k
        where = self.places_at(positions)
        exceeds = np.empty((len(where), n_atoms), bool)
        for k, matrix, offsets in self._rows_and_offsets(1 / lmbda):
            found = np.empty((len(where), len(matrix)), bool)
            kernels(r).violating_indices(
                r.reshape(-1), matrix, offsets, where, thresholds, positive, found
            )
            exceeds[:, k] = found
        flat = np.flatnonzero(exceeds)  # several times as fast as the pairs of a matrix
        i = flat // n_atoms
        return flat + n_atoms * (positions[i] - i)

    def local_max(self, a):
        """Maximum of ``a``, at each position, over the positions whose atoms overlap."""
        radii = tuple(-(-s // t) - 1 for s, t in zip(self.atom_shape, self.stride, strict=True))
        out = window_max(a.reshape(len(a), *self.positions), radii, radii, wraps=self.wraps)
        return out.reshape(a.shape)

    def max_over_covering_atoms(self, a):
        """Maximum of ``a``, at each sample of the buffer, over the atoms that cover it."""
        n, positions = len(a), self.positions
        out = np.zeros((n, *self.volume[2:]), self.dtype)
        taken = (slice(0, (v - 1) * t + 1, t) for v, t in zip(positions, self.stride, strict=True))
        out[(slice(None), *taken)] = a.reshape(n, *positions)
        if self.wraps:
            out = out[(..., *map(slice, self.signal_shape))]
        before = tuple(s - 1 for s in self.atom_shape)
        out = window_max(out, before, (0, 0, 0), wraps=self.wraps)
        if self.wraps:
            out = self.dictionary.pad(out.reshape(n, 1, *self.shape[2:]))
        whole = np.ones((n, 1, *self.buffer_shape[2:]), self.dtype)
        whole[self.inside] = np.where(out > 0, out, 1).reshape(n, 1, *self.volume[2:])
        return whole

    def synthesize(self, codes):
        """``D z``, without padding."""
        out = self.buffer()
        self.subtract(out, SparseCodes(codes.shape, codes.index, -codes.values))
        return self.samples(out).reshape(self.shape)

    def subtract(self, r, codes):
        """Subtract ``D z`` from a padded residual."""
        RestrictedDictionary(self, codes.index).add(-codes.values.astype(self.dtype), r)


def exact_above_one(bounds, compute, compute_at):
    """Bounds at all positions, of which those above 1 are replaced by the numbers that they bound.

    Parameters
    ----------
    bounds : array (N, *V)
        May be overwritten.
    compute, compute_at : callables
        The numbers at all positions, without arguments, and at some flat positions.
    """
    uncertain = ~(bounds.reshape(-1) <= 1)  # NaN, where the bound overflows, too
    if np.count_nonzero(uncertain) > MAX_UNCERTAIN_FRACTION * bounds.size:
        return compute()
    for start in range(0, bounds.size, BLOCK_POSITIONS):
        at = start + np.flatnonzero(uncertain[start : start + BLOCK_POSITIONS])
        bounds.reshape(-1)[at] = compute_at(at)
    return bounds


def _balanced(index, shape, number, n_rows):
    """First rows of pieces of at least so many rows and about as many codes each, ``(N, number)``.

    Sorted codes of N signals have the flat indices ``index`` in an array of ``shape``, ``(N, rows, codes of a row)``.
    """
    n, length, size = shape
    first = np.searchsorted(index, np.arange(n + 1) * length * size)
    shares = np.arange(number) / number
    codes = (first[:-1, None] + np.diff(first)[:, None] * shares).astype(np.int64)
    starts = length * np.arange(n)[:, None]
    rows = np.append(index, n * length * size)[codes] // size - starts
    least = n_rows * np.arange(number)
    rows = np.maximum.accumulate(rows - least, axis=1).clip(0, length - n_rows * number) + least
    rows[:, 0] = 0
    return starts + rows


class RestrictedDictionary:
    """D and D^T restricted to the columns of some codes.

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
        """The columns where ``kept`` (A,) is True."""
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

    def at(self, numbers):
        """Some of the columns, by their numbers, as one piece."""
        some = object.__new__(RestrictedDictionary)
        some.layout = self.layout
        some.where, some.atom = self.where[numbers], self.atom[numbers]
        some.pieces = np.array([0, len(numbers)])
        first, places = some.copies = self.copies
        if len(first):
            counts = first[numbers + 1] - first[numbers]
            start = np.append(0, np.cumsum(counts))
            within = np.arange(start[-1]) - np.repeat(start[:-1], counts)
            some.copies = start, places[np.repeat(first[numbers], counts) + within]
        return some

    def gram(self, mask, atoms, scratch):
        """Gram matrix of these columns in float64; ``mask``, ``atoms``, ``scratch`` in float64."""
        out, layout = np.empty((len(self.where), len(self.where))), self.layout
        parts = self.where, self.atom, *self.copies
        kernels(out).gram_active(scratch, mask, atoms, layout.runs, parts, out)
        return out

    def add(self, values, target):
        """Add ``D z`` of codes with these values to a padded residual."""
        layout, parts = self.layout, (self.where, self.atom, *self.copies, values)
        flat = target.reshape(-1)
        kernels(flat).add_active(flat, layout.padded_atoms, layout.runs, parts, self.pieces)
        return target

    def adjoint(self, r, atoms=None):
        """Correlations of a padded residual with the atoms of the codes."""
        layout = self.layout
        atoms = layout.padded_atoms if atoms is None else atoms
        out, flat = np.empty(len(self.where), layout.dtype), r.reshape(-1)
        kernels(flat).correlate_active(flat, atoms, layout.runs, self.where, self.atom, out)
        return out

    def solve(self, b, n_steps, weights=None, ridge=0.0):
        """Conjugate gradients from 0 on for ``(D^T W D + ridge) x = b``, W diagonal: `n_steps` at most."""
        layout, x = self.layout, np.empty_like(b)
        weights = np.empty(0, layout.dtype) if weights is None else weights.reshape(-1)
        columns = self.where, self.atom, *self.copies
        options = n_steps, ridge, prod(layout.buffer_shape)
        kernels(x).conjugate_gradients_active(
            weights, layout.padded_atoms, layout.runs, columns, self.pieces, options, b, x
        )
        return x
