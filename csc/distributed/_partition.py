"""Partition of a large signal: boxes of code positions, their samples and their neighbours.

Samples are counted in the padded signal, which contains every atom: the atom of code v begins at
sample t v. A box is a tuple of slices, one per axis.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

import numpy as np

from csc.operators import SparseCodes


@dataclass(frozen=True)
class Partition:
    """A signal, partitioned into boxes of code positions.

    Parameters
    ----------
    geometry : ConvGeometry
    signal_shape : tuple
        Of the signal.
    sides : tuple
        Approximate spatial shape of a box, in code positions.
    shifted : bool
        Move the faces between boxes by half a box along every axis.
    """

    geometry: object
    signal_shape: tuple
    sides: tuple
    shifted: bool = False

    @cached_property
    def positions(self):
        """Spatial shape of the codes."""
        return self.geometry.spatial_code_shape(self.signal_shape)

    @cached_property
    def reach(self):
        """Largest distance, per axis, at which two codes share a sample."""
        axes = zip(self.geometry.atom_shape, self.geometry.stride, strict=True)
        return tuple(-(-s // t) - 1 for s, t in axes)

    @cached_property
    def boxes(self):
        """All boxes, in order; if there are several, none is smaller than the reach.

        Those that are not shifted are at least twice as large, so that a half is large enough.
        """
        return [tuple(box) for box in product(*self._edges)]

    @cached_property
    def _edges(self):
        edges = []
        for v, side, q in zip(self.positions, self.sides, self.reach, strict=True):
            number = max(1, min(round(v / side), v // (2 * max(q, 1))))
            bounds = np.arange(number + 1) * v // number
            if self.shifted and number > 1:
                bounds = np.array([0, *(bounds[:-1] + bounds[1:]) // 2, v])
            edges.append([slice(int(a), int(b)) for a, b in zip(bounds, bounds[1:], strict=False)])
        return edges

    @cached_property
    def colours(self):
        """Indices of the boxes of each colour: boxes of one colour share no sample."""
        places = list(product(*(range(len(edge)) for edge in self._edges)))
        found = {}
        for i, place in enumerate(places):
            found.setdefault(tuple(p % 2 for p in place), []).append(i)
        return list(found.values())

    def dilate(self, box, times):
        """The box, dilated by a multiple of the reach."""
        axes = zip(box, self.reach, self.positions, strict=True)
        return tuple(
            slice(max(0, b.start - times * q), min(v, b.stop + times * q)) for b, q, v in axes
        )

    def neighbours(self, box, times):
        """Indices of the other boxes that a dilated box overlaps."""
        found = self.overlapping(self.dilate(box, times))
        return [i for i in found if self.boxes[i] != box]

    def overlapping(self, region):
        """Indices of the boxes that overlap a region."""
        return [
            i
            for i, box in enumerate(self.boxes)
            if all(a.start < b.stop and b.start < a.stop for a, b in zip(region, box, strict=True))
        ]

    @cached_property
    def padded(self):
        """Spatial shape of the padded signal, including samples after the last atom."""
        return self.geometry.padded_shape(self.signal_shape)

    def window(self, box):
        """Samples under the atoms of a box, and the gap before the next atom at large strides."""
        return tuple(
            slice(t * b.start, p if b.stop == v else t * (b.stop - 1) + max(s, t))
            for b, t, s, v, p in self._axes(box)
        )

    def own_samples(self, box):
        """Samples assigned to this box alone; the boxes together have each sample once."""
        return tuple(
            slice(t * b.start, p if b.stop == v else t * b.stop)
            for b, t, _, v, p in self._axes(box)
        )

    def _axes(self, box):
        t, s = self.geometry.stride, self.geometry.atom_shape
        return zip(box, t, s, self.positions, self.padded, strict=True)

    def crop(self, window):
        """The part of a window inside the signal, and its numbers of samples before and after."""
        low, inside, border = self.geometry.low, [], []
        for w, a, n in zip(window, low, self.signal_shape, strict=True):
            start, stop = max(w.start - a, 0), min(w.stop - a, n)
            inside.append(slice(start, stop))
            border.append((start + a - w.start, w.stop - a - stop))
        return tuple(inside), tuple(border)


def relative(inner, outer):
    """A box or window relative to the start of an enclosing one."""
    return tuple(
        slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True)
    )


def shape_of(box):
    """Spatial shape of a box or a window."""
    return tuple(b.stop - b.start for b in box)


def inside(codes, box):
    """Mask of the codes that lie in a box."""
    places = codes.coordinates[2:]
    axes = zip(places, box, strict=True)
    return np.logical_and.reduce([(v >= b.start) & (v < b.stop) for v, b in axes])


def restrict_codes(codes, box):
    """Restrict codes of the whole signal to a box; those outside are dropped."""
    is_inside = inside(codes, box)
    n, k, *v = (a[is_inside] for a in codes.coordinates)
    shape = (*codes.shape[:2], *shape_of(box))
    v = [a - b.start for a, b in zip(v, box, strict=True)]
    return SparseCodes(shape, _flat((n, *v, k), shape), codes.values[is_inside])


def embed_codes(codes, box, positions):
    """Embed the codes of a box into those of the whole signal."""
    n, k, *v = codes.coordinates
    shape = (*codes.shape[:2], *positions)
    v = [a + b.start for a, b in zip(v, box, strict=True)]
    return SparseCodes(shape, _flat((n, *v, k), shape), codes.values)


def merge_codes(parts):
    """Merge the codes of several boxes of one signal."""
    index = np.concatenate([part.index for part in parts])
    order = np.argsort(index, kind="stable")
    values = np.concatenate([part.values for part in parts])
    return SparseCodes(parts[0].shape, index[order], values[order])


def _flat(axes, shape):
    n, k, *v = shape
    if prod(shape) == 0 or len(axes[0]) == 0:
        return np.empty(0, np.int64)
    return np.ravel_multi_index(axes, (n, *v, k))
