"""What tasks do with a block of a large signal: the codes of a box, and its part of the dual."""

from functools import cached_property
from typing import NamedTuple

import numpy as np

from csc.certificates import N_RESCALINGS
from csc.distributed._partition import (
    embed_codes,
    extents_of,
    inside,
    merge_codes,
    relative,
    restrict_codes,
)
from csc.distributed._tasks import one_core
from csc.learning import Group, encode
from csc.operators import PaddedSignals, SparseCodes

CERTIFICATE_REACHES = 2  # reaches around a box within which its part of the dual is decided
HALO_REACHES = CERTIFICATE_REACHES + 1  # reaches from which codes still show there


class Block(NamedTuple):
    """A box of positions, and the signal around it."""

    partition: object  # Partition
    box: tuple
    x: np.ndarray  # (N, C, *window of the box and what lies around it)
    mask: np.ndarray | None

    @property
    def dilated(self):
        """The box and what lies around it."""
        return self.partition.dilate(self.box, CERTIFICATE_REACHES)

    def residual(self, dictionary, parts, box):
        """``x - D z`` of the codes in some parts of the signal, under the atoms of a box."""
        window = self.partition.window(box)
        x = self.x[(..., *relative(window, self.partition.window(self.dilated)))]
        near = self.partition.dilate(box, 1)
        fit = synthesize(
            dictionary, restrict_codes(merge_codes(parts), near), self.partition.window(near)
        )
        return x - fit[(..., *relative(window, self.partition.window(near)))]

    def seen(self, box):
        """The mask under the atoms of a box, or None."""
        if self.mask is None:
            return None
        seen = self.mask[
            (..., *relative(self.partition.window(box), self.partition.window(self.dilated)))
        ]
        return None if seen.all() else seen


class Part(NamedTuple):
    """A block's part of objective and dual, an entry for each signal."""

    objective: np.ndarray  # (N,)
    inner: np.ndarray  # (R, N)  <x, theta> of each dual point
    energy: np.ndarray  # (R, N)  ||theta||^2
    dual_norm: np.ndarray  # (R, N)  max |D^T theta| / lmbda
    n_nonzero: np.ndarray  # ()


def join(*parts):
    """`Part` of several blocks."""
    sums = Part(*map(sum, zip(*parts, strict=True)))
    return sums._replace(dual_norm=np.maximum.reduce([part.dual_norm for part in parts]))


def synthesize(dictionary, codes, window):
    """``D z`` of codes of a box, in its window."""
    shape = (codes.shape[0], dictionary.atoms.shape[1], *extents_of(window))
    return PaddedSignals(dictionary, shape, dictionary.dtype).synthesize(codes)


def read(partition, box, x, mask):
    """A `Block`, of the samples of its window that lie inside the signal."""
    block = Block(partition, box, None, None)
    _, border = partition.crop(partition.window(block.dilated))
    border = [(0, 0), (0, 0), *border]
    x = np.asarray(x)
    seen = np.broadcast_to(np.ones((1,) * x.ndim, bool) if mask is None else mask != 0, x.shape)
    missing = np.isnan(x)
    seen = seen & ~missing if missing.any() else seen
    x = np.where(seen, x, x.dtype.type(0))
    if not np.isfinite(x).all():
        raise ValueError("x holds inf; pass a mask where values are missing, or clean it")
    seen = np.pad(seen, border)
    return Block(partition, box, np.pad(x, border), None if seen.all() else seen.astype(x.dtype))


def lmbda_max(block, dictionary, positive):
    """Largest correlation of an atom with the signal in the box: its part of lmbda_max."""
    with one_core():
        x = block.x[
            (
                ...,
                *relative(block.partition.window(block.box), block.partition.window(block.dilated)),
            )
        ]
        layout = PaddedSignals(dictionary, x.shape, x.dtype)
        ones = np.ones(dictionary.n_atoms, x.dtype)
        return float(
            layout.dual_infeasibility(
                layout.observed(x, block.seen(block.box))[0], ones, positive
            ).max()
        )


def solve(block, model, own, halos):
    """Codes of the box, all others as they are: one lasso, started from its present codes."""
    D, box = model.dictionary, block.box
    none = SparseCodes.zeros((len(block.x), D.n_atoms, *block.partition.positions), block.x.dtype)
    with one_core():
        r = block.residual(D, [none, *halos], box)
        start = None if own is None else restrict_codes(own, box)
        seen = block.seen(box)
        if seen is not None and not seen.any():
            return none
        if start is not None and seen is None and D.is_patch(r.shape[2:]):
            start = start.dense()  # a box of one position
        coded = encode([Group(r, seen)], D, model.penalty, [start], model.tol)[0].z
    coded = coded if isinstance(coded, SparseCodes) else SparseCodes.of(coded)
    kept = coded.values != 0
    coded = SparseCodes(coded.shape, coded.index[kept], coded.values[kept])
    return embed_codes(coded, box, block.partition.positions)


def halo(block, codes):
    """Codes that neighbours see: those near the faces of the box."""
    partition = block.partition
    axes = zip(block.box, partition.reach, partition.positions, strict=True)
    core = tuple(
        slice(b.start + HALO_REACHES * q * (b.start > 0), b.stop - HALO_REACHES * q * (b.stop < v))
        for b, q, v in axes
    )
    outer = ~inside(codes, core)
    return SparseCodes(codes.shape, codes.index[outer], codes.values[outer])


def certify(block, model, codes, halos, dtype=None):
    """`Part` of a block: what it adds to the objective, and to the dual points of `csc.certificates._local_dual`.

    A dual point is the residual, each sample divided by the largest dual infeasibility of the atoms that cover
    it. What these atoms see lies within two reaches of the box, and is computed here as
    it is by the neighbours: all blocks together have one dual point.
    """
    with one_core():
        dtype = model.dictionary.dtype if dtype is None else np.dtype(dtype)
        return _Certificate(block, model, codes, halos, dtype).part()


class _Certificate:
    """The work of `certify`."""

    def __init__(self, block, model, codes, halos, dtype):
        self.block, self.codes, self.dtype = block, codes, dtype
        D = model.dictionary.as_double if dtype == "float64" else model.dictionary
        block = block._replace(x=block.x.astype(dtype))
        r = block.residual(D, [part.astype(dtype) for part in (codes, *halos)], block.dilated)
        self.layout = PaddedSignals(D, r.shape, dtype)
        self.r, mask = self.layout.observed(r, block.seen(block.dilated))
        self.r = self.r if mask is None else self.r * mask
        self.x = block.x
        self.positive = model.penalty.positive
        lmbda = model.dictionary.dtype.type(model.penalty.lmbda)
        self.lmbdas = np.full(D.n_atoms, lmbda, dtype)

    @cached_property
    def own_samples(self):
        """Where in the window the box's own samples lie."""
        block = self.block
        return (
            ...,
            *relative(
                block.partition.own_samples(block.box), block.partition.window(block.dilated)
            ),
        )

    def part(self):
        """All sums."""
        rows, theta = [], self.r
        dual_infeasibility = self.dual_infeasibility(theta)
        for round_ in range(N_RESCALINGS + 1):
            if round_:
                theta = theta / self.layout.max_over_covering_atoms(
                    np.maximum(dual_infeasibility, 1)
                )
                dual_infeasibility = self.dual_infeasibility(theta)
            rows.append(self.row(theta, dual_infeasibility))
        half = 0.5 * self.inner(self.samples(self.r), self.samples(self.r))
        atom = self.codes.index % self.codes.shape[1]
        lmbda = self.codes.sums(abs(self.codes.values) * self.lmbdas[atom])
        inner, energy, dual_norm = map(np.stack, zip(*rows, strict=True))
        return Part(half + lmbda, inner, energy, dual_norm, np.array(len(self.codes.index)))

    def dual_infeasibility(self, theta):
        """Dual infeasibility of a dual point at all positions around the box."""
        return self.layout.dual_infeasibility(theta, 1 / self.lmbdas, self.positive)

    def row(self, theta, dual_infeasibility):
        """Sums of one dual point over the block's own samples and positions."""
        block, own = self.block, self.samples(theta)
        here = dual_infeasibility[(..., *relative(block.box, block.dilated))]
        dual_norm = here.reshape(len(here), -1).max(axis=1).astype("float64")
        return self.inner(self.x[self.own_samples], own), self.inner(own, own), dual_norm

    def samples(self, a):
        """The block's own samples of a buffer."""
        return a[self.layout.own].reshape(self.x.shape)[self.own_samples]

    def inner(self, a, b):
        """Inner product of each signal's samples, in float64."""
        a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
        return np.einsum("ni,ni->n", a, b, dtype="float64")
