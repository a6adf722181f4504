"""Direct convolution of many small signals, or with atoms that are mostly zeros.

Arrays of many signals are stored batch last in memory, ``(K, *V, N)``, and seen as ``(N, K, *V)``.
All signals are multiplied by the same samples of the atoms, so the inner loops run over signals and
are vectorised. Atoms that are mostly zeros become lists of their nonzero samples (see the kernels).
"""

from functools import cached_property
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np

from csc._backend import kernels
from csc.kernels._arguments import BufferLayout, Grid, MomentumPoint, Terms
from csc.kernels._constants import ROWS_PER_GROUP, SUMS_PER_BLOCK
from csc.operators import _fft_conv as fft_conv

# Fraction of nonzero samples below which lists are used. Measured by
# `python -m demos.bench multilayer --only crossover`: lists are 0.9 to 1.5 times as fast at 0.4, and 0.8 to 1 times at 0.6.
MAX_SPARSE_DENSITY = 0.4
MIN_OFFSETS_PER_CHUNK = 256  # of the terms: their part of the buffer is 64 kB
MIN_TERMS_PER_ROW = 8  # in a chunk: fewer do not repay its overhead


def is_batch_last(a):
    """Whether an array is stored batch last: its first axis varies fastest in memory."""
    return not a.flags.c_contiguous and _signals_last(a).flags.c_contiguous


def batch_last(a):
    """The same array, stored batch last."""
    return _signals_first(np.ascontiguousarray(_signals_last(a)))


def _signals_last(a):  # `np.moveaxis` takes longer than the products of small signals
    return a.transpose(*range(1, a.ndim), 0)


def _signals_first(a):
    return a.transpose(-1, *range(a.ndim - 1))


def sparse_taps_pay(n_terms, atoms_shape, spatial_code_shape, padded_shape):
    """Whether lists of the samples that are not 0 are faster than all other methods.

    Parameters
    ----------
    n_terms : int
        Samples of the atoms that are not 0.
    atoms_shape : tuple
        ``(K, C, *s)``.
    spatial_code_shape, padded_shape : tuples
        Of the codes, and of the signals with their borders.
    """
    if n_terms >= MAX_SPARSE_DENSITY * prod(atoms_shape):
        return False
    terms = n_terms / MAX_SPARSE_DENSITY
    return not fft_conv.is_faster([atoms_shape], spatial_code_shape, padded_shape, terms=terms)


class Tables(NamedTuple):
    """What the kernels need to compute D or D^T."""

    layout: BufferLayout
    terms: Terms
    grid: Grid
    buffer_size: int


class BatchLastConv:
    """A dictionary's maps for signals of one shape, in one order of memory.

    Parameters
    ----------
    atoms : array (K, C, *s)
    geometry : ConvGeometry
    shape : (N, *S)
        Number and spatial shape of the signals.
    batch_last : bool
        Whether arrays are batch last in memory; else C order.
    """

    def __init__(self, atoms, geometry, shape, *, batch_last):
        ones = (1,) * (5 - atoms.ndim)
        self.atoms = atoms.reshape(*atoms.shape[:2], *ones, *atoms.shape[2:])
        self.sparse = np.count_nonzero(atoms) < MAX_SPARSE_DENSITY * atoms.size
        self.batch_last = batch_last
        self.n, self.batch = shape[0], 1
        if batch_last:
            self.batch = min(SUMS_PER_BLOCK, 1 << (self.n - 1).bit_length())
        self.wraps = geometry.mode == "circular"
        self.stride, self.low = (*ones, *geometry.stride), (*(0 for _ in ones), *geometry.low)
        self.signal, self.padded = shape[1:], (*ones, *geometry.padded_shape(shape[1:]))
        self.codes = geometry.spatial_code_shape(shape[1:])
        self.ones, self._scaled = ones, None

    def correlate(self, x):
        """``D^T x``."""
        tables, out = self._correlation, self._empty(self._code_shape)
        buffer = self._laid_out(tables, x)
        kernels(x).sum_products(buffer, tables.terms, tables.grid, self._flat(out, writes=True))
        return out

    def synthesize(self, z):
        """``D z``."""
        tables, out = self._synthesis, self._empty(self._signal_shape)
        buffer = self._laid_out(tables, z)
        kernels(z).sum_products(buffer, tables.terms, tables.grid, self._flat(out, writes=True))
        return out

    def proximal_step(self, x, fits, point, step, prox):
        """``prox(y + step D^T (x - D y))``, see the kernel; D y as `fits` of both codes."""
        z, z_old, momentum = point
        tables, out = self._correlation, self._empty(z.shape)
        buffer, values = self._laid_out(tables, x, fits, momentum), tables.terms.values
        scaled = self._scaled  # read once: another thread may replace it
        if scaled is None or scaled[0] != step:
            scaled = self._scaled = step, values * values.dtype.type(step)
        terms = tables.terms._replace(values=scaled[1])
        restart_score = kernels(z).shrink_products(
            buffer, terms, tables.grid, MomentumPoint(self._flat(z), self._flat(z_old), momentum),
            prox,
            self._flat(out, writes=True),
        )  # fmt: skip
        return out, restart_score

    def dual_infeasibility(self, x, scales, positive):
        """``max_k w_k |D^T x|_k`` at every position ``(N, *V)``; for signals in C order."""
        tables, out = self._correlation, np.empty((self.n, *self.codes), x.dtype)
        buffer, flat = self._laid_out(tables, x), out.reshape(-1)
        kernels(x).largest_products(buffer, tables.terms, tables.grid, scales, positive, flat)
        return out

    @property
    def _signal_shape(self):
        return (self.n, self.atoms.shape[1], *self.signal)

    @property
    def _code_shape(self):
        return (self.n, self.atoms.shape[0], *self.codes)

    @cached_property
    def _correlation(self):
        """Tables of D^T: one row for each atom."""
        k, c, s0, s1, s2 = self.atoms.shape
        p0, p1, p2 = self.padded
        t0, t1, t2 = self.stride
        shape = c, p0, p1, t2, -(-p2 // t2)
        l2 = np.arange(s2)
        last = (l2 % t2) * shape[4] + l2 // t2
        row, b = t2 * shape[4], self.batch
        taps = np.add.outer(np.add.outer(np.arange(s0) * p1, np.arange(s1)) * row, last)
        offsets = np.add.outer(np.arange(c) * p0 * p1 * row, taps).reshape(c, -1) * b
        positions, steps = (*self.ones, *self.codes), self._steps(self._code_shape)
        starts = np.arange(k) * steps[1]
        bounds = np.tile(np.array([(0, v) for v in positions]).ravel(), (k, 1))
        reads = c * p0 * p1 * row * b, t0 * p1 * row * b, t1 * row * b
        layout = self._buffer_layout(shape, self._signal_shape, self.low)
        everywhere = np.tile(bounds[:1], (s0 * s1 * s2, 1))
        terms = self._terms(self.atoms.reshape(k, c, -1), offsets, everywhere)
        rows = _pad_rows(np.column_stack([starts, bounds]), terms.rows_per_group)
        grid = Grid((self.batch, self.n), positions, reads, (steps[0], *steps[2:]), rows)
        return Tables(layout, terms, grid, self._buffer_size(reads[0]))

    @cached_property
    def _synthesis(self):
        """Tables of D: one row for each channel and each phase of the samples."""
        k, c, *spatial_shape = self.atoms.shape
        n_taps = [-(-s // t) for s, t in zip(spatial_shape, self.stride, strict=True)]
        signal, steps = (*self.ones, *self.signal), self._steps(self._signal_shape)
        positions = [
            (low + n - 1) // t + 1 for low, n, t in zip(self.low, signal, self.stride, strict=True)
        ]
        ranges, codes = self._nonzero_ranges(n_taps, positions), (*self.ones, *self.codes)
        halo = [n - 1 for n in n_taps]  # zeros before the first code, and as many after the last
        z0, z1, z2 = (n + max(q, v) for n, q, v in zip(halo, positions, codes, strict=True))
        if self._skips_zeros(ranges):
            halo, (z0, z1, z2) = [0] * 3, codes
        back = [n - np.arange(j) for n, j in zip(halo, n_taps, strict=True)]  # of code q - j
        code_offsets = np.add.outer(np.add.outer(back[0] * z1, back[1]) * z2, back[2]).ravel()
        offsets = np.add.outer(np.arange(k) * z0 * z1 * z2, code_offsets) * self.batch
        matrix, rows = [], []
        for phase in product(*map(range, self.stride)):
            phase_taps = self.atoms[(..., *map(_every, phase, self.stride))]
            whole = np.zeros((k, c, *n_taps), self.atoms.dtype)
            whole[(..., *map(slice, phase_taps.shape[2:]))] = phase_taps
            matrix.append(whole.reshape(k, c, -1).swapaxes(0, 1))
            rows.append(self._rows_of(phase, signal, steps))
        terms = self._terms(np.concatenate(matrix), offsets, ranges)
        layout = self._buffer_layout((k, z0, z1, 1, z2), self._code_shape, halo)
        reads = k * z0 * z1 * z2 * self.batch, z1 * z2 * self.batch, z2 * self.batch
        moves = (steps[0], *(s * t for s, t in zip(steps[2:], self.stride, strict=True)))
        rows = _pad_rows(np.concatenate(rows), terms.rows_per_group)
        grid = Grid((self.batch, self.n), tuple(positions), reads, moves, rows)
        return Tables(layout, terms, grid, self._buffer_size(reads[0]))

    def _nonzero_ranges(self, taps, positions):
        """Positions q at which tap j meets a code: q - j is one, unless codes wrap around."""
        codes = (*self.ones, *self.codes)
        if self.wraps:
            return np.tile([(0, n) for n in positions], (prod(taps), 1, 1)).reshape(-1, 6)
        low = np.indices(taps).reshape(3, -1).T
        return np.stack([low, low + np.array(codes)], -1).reshape(-1, 6)

    def _skips_zeros(self, ranges):
        """Whether zeros around the codes need not be stored: each tap is skipped alone."""
        terms = np.count_nonzero(self.atoms) / prod(self.stride) / self.atoms.shape[1]
        alone = len(self._skip_groups(terms, ranges)) == len(ranges)
        return self.batch == SUMS_PER_BLOCK and alone and not self.wraps

    def _rows_of(self, phase, signal, steps):
        """First sample, and bounds of the positions, of every channel at a phase."""
        shift = [p - low for p, low in zip(phase, self.low, strict=True)]  # sample t q + shift
        bounds = []
        for d, n, t in zip(shift, signal, self.stride, strict=True):
            bounds += [-(d // t), -((d - n) // t)]
        first = sum(d * step for d, step in zip(shift, steps[2:], strict=True))
        starts = np.arange(self.atoms.shape[1]) * steps[1] + first
        return np.column_stack([starts, np.tile(bounds, (len(starts), 1))])

    def _buffer_layout(self, shape, of, low):
        steps = self._steps(of)
        spatial_shape = (*self.ones, *of[2:])
        return BufferLayout(
            (self.batch, self.n), shape, spatial_shape, tuple(low), steps, self.wraps
        )

    def _steps(self, shape):
        """Steps in memory: n, channel, and three axes."""
        n, k, *spatial_shape = shape
        inner = np.cumprod([1, *(*self.ones, *spatial_shape)[:0:-1]])[::-1]
        area = prod(spatial_shape)
        if self.batch_last:
            return (1, area * n, *(int(step) * n for step in inner))
        return (k * area, area, *map(int, inner))

    def _terms(self, matrix, offsets, ranges):
        """``(R, channels, taps)`` as the kernels take it, cut into chunks that stay in a cache.

        ``ranges`` (taps, 6): the positions, low and high on each axis, at which a tap counts.
        """
        columns, nonzero_range = self._chunks(matrix, ranges)
        bounds = np.cumsum([0, *map(len, columns)])
        order, rows = np.concatenate(columns), len(matrix)
        matrix, offsets = matrix.reshape(rows, -1)[:, order], offsets.ravel()[order]
        if not self.sparse:
            whole = np.zeros((-(-rows // ROWS_PER_GROUP), ROWS_PER_GROUP, len(order)), matrix.dtype)
            whole.reshape(-1, len(order))[:rows] = matrix
            first = (
                ROWS_PER_GROUP * len(order) * np.arange(len(whole))
                + ROWS_PER_GROUP * bounds[:-1, None]
            )
            begin, end = (
                np.broadcast_to(a[:, None], first.shape) for a in (bounds[:-1], bounds[1:])
            )
            spans = np.stack([begin, end, first], -1)
            values = whole.swapaxes(1, 2).ravel()
            return Terms(spans, nonzero_range, offsets, values, ROWS_PER_GROUP)
        r, column = np.nonzero(matrix)
        line = (np.searchsorted(bounds, column, "right") - 1) * rows + r
        order = np.argsort(line, kind="stable")
        last = np.cumsum(np.bincount(line, minlength=len(columns) * rows))
        first = np.concatenate([[0], last[:-1]])
        spans = np.stack([first, last, first], -1).reshape(len(columns), rows, 3)
        values = matrix[r, column][order]
        return Terms(spans, nonzero_range, offsets[column][order], values, 1)

    def _chunks(self, matrix, ranges):
        """Columns of each chunk, and the positions at which any of its taps counts."""
        rows, channels, taps = matrix.shape
        numbers = np.arange(channels * taps).reshape(channels, taps)
        columns, nonzero_range = [], []
        for group in self._skip_groups(np.count_nonzero(matrix) / rows, ranges):
            size = SUMS_PER_BLOCK
            if self.sparse:
                terms = np.count_nonzero(matrix[:, :, group])
                size = max(
                    MIN_OFFSETS_PER_CHUNK,
                    MIN_TERMS_PER_ROW * rows * channels * len(group) // max(terms, 1),
                )
            members = numbers[:, group].ravel()
            columns += [members[i : i + size] for i in range(0, len(members), size)]
            low, high = ranges[group, ::2].min(axis=0), ranges[group, 1::2].max(axis=0)
            box = np.stack([low, high], -1).ravel()
            nonzero_range += [box] * (len(columns) - len(nonzero_range))
        return columns, np.array(nonzero_range)

    def _skip_groups(self, terms, ranges):
        """Groups of taps that are skipped as one: each alone, or a plane, or all, as is fastest."""
        for axes in (6, 2):
            _, which = np.unique(ranges[:, :axes], axis=0, return_inverse=True)
            groups = [np.flatnonzero(which == g) for g in range(which.max() + 1)]
            if terms >= MIN_TERMS_PER_ROW * len(groups):
                return groups
        return [np.arange(len(ranges))]

    def _buffer_size(self, group):
        return -(-self.n // self.batch) * group

    def _laid_out(self, tables, x, fits=(), momentum=0):
        """The buffer with signals, or residuals, copied into it."""
        size = tables.buffer_size
        buffer = np.empty(size + SUMS_PER_BLOCK, x.dtype)
        buffer[size:] = 0  # read but not used: zeros are faster than NaN or subnormal numbers
        none = np.empty(0, x.dtype)
        none.flags.writeable = False
        flat = tuple(map(self._flat, fits)) or (none, none)
        kernels(x).lay_out(self._flat(x), flat, momentum, tables.layout, buffer[:size])
        return buffer

    def _empty(self, shape):
        n, k, *spatial_shape = shape
        if not self.batch_last:
            return np.empty(prod(shape), self.atoms.dtype).reshape(shape)
        flat = np.empty(prod(shape), self.atoms.dtype)
        return _signals_first(flat.reshape(k, *spatial_shape, n))

    def _flat(self, a, writes=False):
        """Flat memory of an array, in the order of these maps."""
        flat = _signals_last(a) if self.batch_last else a
        flat = np.ascontiguousarray(flat).reshape(-1)
        if not writes:
            flat = flat.view()
            flat.flags.writeable = False
        return flat


def _every(first, step):
    return slice(first, None, step)


def _pad_rows(rows, rows_per_group):
    """Append rows without positions up to a whole number of groups."""
    more = -len(rows) % rows_per_group
    return np.concatenate([rows, np.zeros((more, rows.shape[1]), rows.dtype)])
