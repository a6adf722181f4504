"""Tasks on one block of a large signal: solve for its codes, and certify its part of the dual."""

from functools import cached_property
from typing import NamedTuple

import numpy as np

from csc._validation import check_mask
from csc.certificates import N_RESCALINGS
from csc.distributed._partition import (
    embed_codes,
    inside,
    merge_codes,
    relative,
    restrict_codes,
    shape_of,
)
from csc.distributed._tasks import as_array, one_core
from csc.learning import Group, encode
from csc.operators import PaddedSignals, SparseCodes

# Distances are in reaches: so many positions away, two codes still share a sample.
CERTIFICATE_REACHES = 2  # a box's part of the dual point depends on atoms within this distance
HALO_REACHES = CERTIFICATE_REACHES + 1  # and these atoms' residual on codes within this one


class Block(NamedTuple):
    """A box of code positions, and the signal around it."""

    partition: object  # Partition
    box: tuple
    x: np.ndarray  # (N, C, *window), samples under the atoms of the dilated box
    mask: np.ndarray | None

    @property
    def dilated(self):
        """The box, dilated by the distance that its certificate needs."""
        return self.partition.dilate(self.box, CERTIFICATE_REACHES)

    def in_window(self, window):
        """Index of some samples in ``x`` and ``mask``."""
        return (..., *relative(window, self.partition.window(self.dilated)))

    def residual(self, dictionary, parts, box):
        """``x - D z`` at the samples under the atoms of a box; ``parts`` are the codes near it."""
        near = self.partition.dilate(box, 1)
        window, around = self.partition.window(box), self.partition.window(near)
        fit = synthesize(dictionary, restrict_codes(merge_codes(parts), near), around)
        return self.x[self.in_window(window)] - fit[(..., *relative(window, around))]

    def seen(self, box):
        """The mask under the atoms of a box; None if all was observed."""
        if self.mask is None:
            return None
        seen = self.mask[self.in_window(self.partition.window(box))]
        return None if seen.all() else seen


class Part(NamedTuple):
    """A block's part of the objective and of the dual objective, one entry per signal."""

    objective: np.ndarray  # (N,)
    inner: np.ndarray  # (R, N)  <x, theta> of R dual points
    energy: np.ndarray  # (R, N)  ||theta||^2
    dual_norm: np.ndarray  # (R, N)  max |D^T theta| / lmbda
    n_nonzero: np.ndarray  # ()


def join(*parts):
    """`Part` of several blocks together."""
    sums = Part(*map(sum, zip(*parts, strict=True)))
    return sums._replace(dual_norm=np.maximum.reduce([part.dual_norm for part in parts]))


def synthesize(dictionary, codes, window):
    """``D z`` of the codes of a box, in its window."""
    shape = (codes.shape[0], dictionary.atoms.shape[1], *shape_of(window))
    return PaddedSignals(dictionary, shape, dictionary.dtype).synthesize(codes)


def read(partition, box, x, mask):
    """Make a `Block` from those samples of its window that lie inside the signal."""
    block = Block(partition, box, None, None)
    _, border = partition.crop(partition.window(block.dilated))
    border = [(0, 0), (0, 0), *border]
    x = as_array(x)
    seen = np.ones(x.shape, bool) if mask is None else check_mask(mask, x) != 0
    missing = np.isnan(x)
    seen = seen & ~missing if missing.any() else seen
    x = np.where(seen, x, x.dtype.type(0))
    if not np.isfinite(x).all():
        raise ValueError("x holds inf; mark missing samples by NaN or a mask")
    seen = np.pad(seen, border)
    return Block(partition, box, np.pad(x, border), None if seen.all() else seen.astype(x.dtype))


def is_observed(block):
    """Whether a sample of the window was observed."""
    return block.mask is None or bool(block.mask.any())


def lmbda_max(block, dictionary, positive):
    """Largest correlation of an atom in the box with the signal: the block's part of lmbda_max."""
    with one_core():
        x = block.x[block.in_window(block.partition.window(block.box))]
        layout = PaddedSignals(dictionary, x.shape, x.dtype)
        observed, _ = layout.observed(x, block.seen(block.box))
        ones = np.ones(dictionary.n_atoms, x.dtype)
        return float(layout.dual_infeasibility(observed, ones, positive).max())


def solve(block, model, own, halos):
    """Solve the lasso for the codes of the box, all others fixed, from the current codes."""
    D, box = model.dictionary, block.box
    none = SparseCodes.zeros((len(block.x), D.n_atoms, *block.partition.positions), block.x.dtype)
    with one_core():
        r = block.residual(D, [none, *halos], box)
        start = None if own is None else restrict_codes(own, box)
        seen = block.seen(box)
        if seen is not None and not seen.any():
            return none
        if start is not None and seen is None and D.is_patch(r.shape[2:]):
            start = start.dense()  # the box has one position
        coded = encode([Group(r, seen)], D, model.penalty, [start], model.tol)[0].z
    coded = SparseCodes.of(coded)
    kept = coded.values != 0
    coded = SparseCodes(coded.shape, coded.index[kept], coded.values[kept])
    return embed_codes(coded, box, block.partition.positions)


def regroup(block, *parts):
    """The codes of the box, from those of the boxes of another partition that overlap it."""
    codes = merge_codes(parts)
    own = inside(codes, block.box)
    return SparseCodes(codes.shape, codes.index[own], codes.values[own])


def halo(block, codes):
    """The codes that neighbours need: those near the faces of the box."""
    partition = block.partition
    axes = zip(block.box, partition.reach, partition.positions, strict=True)
    core = tuple(
        slice(b.start + HALO_REACHES * q * (b.start > 0), b.stop - HALO_REACHES * q * (b.stop < v))
        for b, q, v in axes
    )
    outer = ~inside(codes, core)
    return SparseCodes(codes.shape, codes.index[outer], codes.values[outer])


def certify(block, model, codes, halos, dtype=None):
    """`Part` of a block: its terms of the objective and of the dual objective at several points.

    The dual points are those of `csc.certificates`: the residual, each sample divided by the
    largest dual infeasibility of the atoms that cover it. These atoms depend on samples within two
    reaches of the box. A block computes them as its neighbours do, so that the parts of all blocks
    belong to one dual point of the whole signal.
    """
    with one_core():
        dtype = model.dictionary.dtype if dtype is None else np.dtype(dtype)
        return _Certificate(block, model, codes, halos, dtype).part()


class _Certificate:
    """Sums of `certify` over the samples and positions of one block."""

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
        """Index of the samples that belong to this block alone."""
        return self.block.in_window(self.block.partition.own_samples(self.block.box))

    def part(self):
        """`Part` of the block: its residual is the first dual point, others are rescaled."""
        rows, theta = [], self.r
        dual_infeasibility = self.dual_infeasibility(theta)
        for round_ in range(N_RESCALINGS + 1):
            if round_:
                factors = np.maximum(dual_infeasibility, 1)
                theta = theta / self.layout.max_over_covering_atoms(factors)
                dual_infeasibility = self.dual_infeasibility(theta)
            rows.append(self.row(theta, dual_infeasibility))
        data_term = 0.5 * self.inner(self.samples(self.r), self.samples(self.r))
        atom = self.codes.index % self.codes.shape[1]
        penalty_value = self.codes.sums(abs(self.codes.values) * self.lmbdas[atom])
        inner, energy, dual_norm = map(np.stack, zip(*rows, strict=True))
        n_nonzero = np.array(len(self.codes.index))
        return Part(data_term + penalty_value, inner, energy, dual_norm, n_nonzero)

    def dual_infeasibility(self, theta):
        """``|D^T theta| / lmbda`` at all positions of the dilated box."""
        inverse = 1 / np.maximum(self.lmbdas, np.finfo(self.lmbdas.dtype).tiny)  # of zero signals 0
        return self.layout.dual_infeasibility(theta, inverse, self.positive)

    def row(self, theta, dual_infeasibility):
        """Inner product, energy and dual norm of one dual point over the block's own samples."""
        block, own = self.block, self.samples(theta)
        here = dual_infeasibility[(..., *relative(block.box, block.dilated))]
        dual_norm = here.reshape(len(here), -1).max(axis=1).astype("float64")
        return self.inner(self.x[self.own_samples], own), self.inner(own, own), dual_norm

    def samples(self, a):
        """The block's own samples of a buffer."""
        return a[self.layout.own].reshape(self.x.shape)[self.own_samples]

    def inner(self, a, b):
        """Inner product over the samples of each signal, in float64."""
        a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
        return np.einsum("ni,ni->n", a, b, dtype="float64")
