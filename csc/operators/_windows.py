"""Sums and maxima over windows, one slab of an array at a time.

The arrays in between are as large as a slab, and stay in the cache of a core. As large as the whole array, they
would be new memory in each call, which takes longer than the sums.
"""

from math import prod
from typing import NamedTuple

import numpy as np

SLAB_SIZE = 2**17  # numbers


class Slab(NamedTuple):
    """Rows ``start`` to ``stop`` of some signals along ``axis`` (0 to 2) of arrays ``(N, ..., S0, S1, S2)``."""

    signals: slice
    axis: int
    start: int
    stop: int

    def of(self, a, more=0):
        """These rows of an array, and so many ``more``."""
        rows = slice(self.start, self.stop + more)
        return a[(self.signals, ..., rows, *(slice(None),) * (2 - self.axis))]


def slabs(n_signals, shape, window):
    """Slabs of windows, whose first numbers lie in ``shape``; halos at most double their size."""
    size = max(prod(shape), 1)
    axis = next((i for i in range(3) if shape[i] > 1), 2)
    together = max(1, SLAB_SIZE // size)
    length = max(SLAB_SIZE * shape[axis] // size, window[axis])
    for n in range(0, n_signals, together):
        for start in range(0, shape[axis], length):
            yield Slab(slice(n, n + together), axis, start, min(start + length, shape[axis]))


def window_max(a, before, after, *, wraps):
    """``out[n, v] = max_i a[n, i]`` over the i from ``v - before`` to ``v + after`` on each axis, of values >= 0.

    Windows of doubled length, two to three times as fast as `scipy.ndimage.maximum_filter1d`.
    """
    window = tuple(1 + b + e for b, e in zip(before, after, strict=True))
    out, buffers = np.empty_like(a), _Buffers(a.dtype)
    for slab in slabs(len(a), a.shape[1:], window):
        around = _wrapped if wraps else _with_zeros
        part = around(a, slab, before, after, buffers)
        for axis, extent in enumerate(window, start=1):
            length = 1
            while length < extent:
                step = min(length, extent - length)
                low, high = _along(part, axis, 0, -step), _along(part, axis, step, None)
                part = np.maximum(low, high, out=buffers.next(low.shape))
                length += step
        slab.of(out)[...] = part
    return out


def window_sum(a, window):
    """``out[n, v] = sum_i a[n, v + i]``, i below ``window``, without differences.

    Sums of lengths 1, 2, 4, ..., of which those are added that make up an extent.
    """
    for axis, extent in enumerate(window, start=1):
        sums, n, out, start, length = a, a.shape[axis] - extent + 1, None, 0, 1
        while True:
            if extent & length:
                own = _along(sums, axis, start, start + n)
                out = own if out is None else out + own
                start += length
            if 2 * length > extent:
                break
            sums = _along(sums, axis, 0, -length) + _along(sums, axis, length, None)
            length *= 2
        a = out
    return a


class _Buffers:
    """Two arrays in turn, of any shape, in memory that all slabs share."""

    def __init__(self, dtype):
        self.arrays = [np.empty(0, dtype) for _ in range(2)]

    def next(self, shape):
        """An array to overwrite: not the last one, but the one before."""
        self.arrays.reverse()
        if self.arrays[0].size < prod(shape):
            self.arrays[0] = np.empty(prod(shape), self.arrays[0].dtype)
        return self.arrays[0][: prod(shape)].reshape(shape)


def _with_zeros(a, slab, before, after, buffers):
    """A slab with so many rows, columns and so on around it; zeros beyond the array."""
    before, after, axis = list(before), list(after), slab.axis
    low, high = slab.start - before[axis], slab.stop + after[axis]
    inside = slice(max(low, 0), min(high, a.shape[1 + axis]))
    before[axis], after[axis] = inside.start - low, high - inside.stop
    part = _along(a[slab.signals], 1 + axis, inside.start, inside.stop)
    widths = list(zip(before, part.shape[1:], after, strict=True))
    out = buffers.next((len(part), *map(sum, widths)))
    out[...] = 0
    out[(slice(None), *(slice(b, b + n) for b, n, _ in widths))] = part
    return out


def _wrapped(a, slab, before, after, buffers):
    """A slab with so many rows, columns and so on around it, which wrap around."""
    a = a[slab.signals]
    for axis, (b, e) in enumerate(zip(before, after, strict=True)):
        n = a.shape[1 + axis]
        low, high = (slab.start, slab.stop) if axis == slab.axis else (0, n)
        low, high = low - b, high + e
        if (low, high) != (0, n):
            parts = [
                _along(a, 1 + axis, max(low + turn, 0), max(min(high + turn, n), 0))
                for turn in (n, 0, -n)
            ]
            out = buffers.next((*a.shape[: 1 + axis], high - low, *a.shape[2 + axis :]))
            a = np.concatenate(parts, 1 + axis, out)
    return a


def _along(a, axis, start, stop):
    """``a[start:stop]`` along an axis."""
    return a[(slice(None),) * axis + (slice(start, stop),)]
