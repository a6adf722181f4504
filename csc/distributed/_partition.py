"""How a large signal is cut: boxes of code positions, the samples they see, and their neighbours.

All is counted in the padded signal, in which every atom lies wholly: code v lies at sample t v.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

import numpy as np

from csc.operators import SparseCodes

Box = tuple  # of slices, one an axis


@dataclass(frozen=True)
class Partition:
    """A signal, cut into boxes of code positions.

    Parameters
    ----------
    geometry : ConvGeometry
    extents : tuple
        Of the signal.
    sides : tuple
        Positions of a box, about, one number an axis.
    """

    geometry: object
    extents: tuple
    sides: tuple

    @cached_property
    def positions(self):
        """Extents of the codes."""
        return self.geometry.code_extents(self.extents)

    @cached_property
    def reach(self):
        """How many positions away codes still share a sample, one number an axis."""
        axes = zip(self.geometry.extents, self.geometry.stride, strict=True)
        return tuple(-(-s // t) - 1 for s, t in axes)

    @cached_property
    def boxes(self):
        """All boxes, in order; none is smaller than the reach, if there are several."""
        return [tuple(box) for box in product(*self._edges)]

    @cached_property
    def _edges(self):
        edges = []
        for v, side, q in zip(self.positions, self.sides, self.reach, strict=True):
            number = max(1, min(round(v / side), v // max(q, 1)))
            bounds = np.arange(number + 1) * v // number
            edges.append([slice(int(a), int(b)) for a, b in zip(bounds, bounds[1:], strict=False)])
        return edges

    @cached_property
    def colours(self):
        """Numbers of the boxes by colour: boxes of one colour share no sample."""
        places = list(product(*(range(len(edge)) for edge in self._edges)))
        found = {}
        for i, place in enumerate(places):
            found.setdefault(tuple(p % 2 for p in place), []).append(i)
        return list(found.values())

    def dilate(self, box, times):
        """The box and what lies within so many reaches of it."""
        axes = zip(box, self.reach, self.positions, strict=True)
        return tuple(
            slice(max(0, b.start - times * q), min(v, b.stop + times * q)) for b, q, v in axes
        )

    def neighbours(self, box, times):
        """Numbers of the other boxes that lie within so many reaches of a box."""
        dilated = self.dilate(box, times)
        return [
            i
            for i, other in enumerate(self.boxes)
            if other != box
            and all(
                a.start < b.stop and b.start < a.stop for a, b in zip(dilated, other, strict=True)
            )
        ]

    @cached_property
    def padded(self):
        """Extents of the padded signal; samples behind the last atom count, too."""
        return self.geometry.padded_extents(self.extents)

    def window(self, box):
        """Samples under the atoms of a box, and what longer strides leave before the next."""
        return tuple(
            slice(t * b.start, p if b.stop == v else t * (b.stop - 1) + max(s, t))
            for b, t, s, v, p in self._axes(box)
        )

    def own_samples(self, box):
        """Samples that belong to a box and to no other."""
        return tuple(
            slice(t * b.start, p if b.stop == v else t * b.stop)
            for b, t, _, v, p in self._axes(box)
        )

    def _axes(self, box):
        t, s = self.geometry.stride, self.geometry.extents
        return zip(box, t, s, self.positions, self.padded, strict=True)

    def crop(self, window):
        """A window's samples inside the signal, and how many lie before and behind them."""
        low, inside, border = self.geometry.low, [], []
        for w, a, n in zip(window, low, self.extents, strict=True):
            start, stop = max(w.start - a, 0), min(w.stop - a, n)
            inside.append(slice(start, stop))
            border.append((start + a - w.start, w.stop - a - stop))
        return tuple(inside), tuple(border)


def relative(inner, outer):
    """One box or window as part of another."""
    return tuple(
        slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True)
    )


def extents_of(box):
    """Extents of a box or a window."""
    return tuple(b.stop - b.start for b in box)


def inside(codes, box):
    """Which of the codes lie in a box."""
    places = codes.coordinates[2:]
    axes = zip(places, box, strict=True)
    return np.logical_and.reduce([(v >= b.start) & (v < b.stop) for v, b in axes])


def restrict_codes(codes, box):
    """Codes of the whole signal, as codes of a box alone; those outside are left out."""
    is_inside = inside(codes, box)
    n, k, *v = (a[is_inside] for a in codes.coordinates)
    shape = (*codes.shape[:2], *extents_of(box))
    v = [a - b.start for a, b in zip(v, box, strict=True)]
    return SparseCodes(shape, _flat((n, *v, k), shape), codes.values[is_inside])


def embed_codes(codes, box, positions):
    """Codes of a box as codes of the whole signal."""
    n, k, *v = codes.coordinates
    shape = (*codes.shape[:2], *positions)
    v = [a + b.start for a, b in zip(v, box, strict=True)]
    return SparseCodes(shape, _flat((n, *v, k), shape), codes.values)


def merge_codes(parts):
    """Codes of several boxes of one signal as one."""
    index = np.concatenate([part.index for part in parts])
    order = np.argsort(index, kind="stable")
    values = np.concatenate([part.values for part in parts])
    return SparseCodes(parts[0].shape, index[order], values[order])


def _flat(axes, shape):
    n, k, *v = shape
    if prod(shape) == 0 or len(axes[0]) == 0:
        return np.empty(0, np.int64)
    return np.ravel_multi_index(axes, (n, *v, k))
