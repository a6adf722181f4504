"""What tasks do with a block of a large signal: the codes of a box, and its part of the dual."""

from functools import cached_property
from typing import NamedTuple

import numpy as np

from csc.certificates import N_RESCALINGS
from csc.distributed._partition import (
    extents_of,
    inside,
    of_box,
    of_signal,
    relative,
    together,  # fmt: skip
)
from csc.distributed._tasks import one_core
from csc.learning import Group, code
from csc.operators import PaddedSignals, SparseCodes

CERTAIN = 2  # reaches around a box within which its part of the dual is decided
RIM = CERTAIN + 1  # reaches from which codes still show there


class Block(NamedTuple):
    """A box of positions, and the signal around it."""

    cut: object  # Cut
    box: tuple
    x: np.ndarray  # (N, C, *window of the box and what lies around it)
    mask: np.ndarray | None

    @property
    def wide(self):
        """The box and what lies around it."""
        return self.cut.around(self.box, CERTAIN)

    def residual(self, dictionary, parts, box):
        """``x - D z`` of the codes in some parts of the signal, under the atoms of a box."""
        window = self.cut.window(box)
        x = self.x[(..., *relative(window, self.cut.window(self.wide)))]
        near = self.cut.around(box, 1)
        fit = synthesize(dictionary, of_box(together(parts), near), self.cut.window(near))
        return x - fit[(..., *relative(window, self.cut.window(near)))]

    def seen(self, box):
        """The mask under the atoms of a box, or None."""
        if self.mask is None:
            return None
        seen = self.mask[(..., *relative(self.cut.window(box), self.cut.window(self.wide)))]
        return None if seen.all() else seen


class Part(NamedTuple):
    """A block's part of objective and dual, an entry for each signal."""

    objective: np.ndarray  # (N,)
    inner: np.ndarray  # (R, N)  <x, theta> of each dual point
    energy: np.ndarray  # (R, N)  ||theta||^2
    worst: np.ndarray  # (R, N)  max |D^T theta| / price
    n_nonzero: np.ndarray  # ()


def join(*parts):
    """`Part` of several blocks."""
    sums = Part(*map(sum, zip(*parts, strict=True)))
    return sums._replace(worst=np.maximum.reduce([part.worst for part in parts]))


def synthesize(dictionary, codes, window):
    """``D z`` of codes of a box, in its window."""
    shape = (codes.shape[0], dictionary.atoms.shape[1], *extents_of(window))
    return PaddedSignals(dictionary, shape, dictionary.dtype).synthesize(codes)


def read(cut, box, x, mask):
    """A `Block`, of the samples of its window that lie inside the signal."""
    block = Block(cut, box, None, None)
    _, border = cut.own(cut.window(block.wide))
    border = [(0, 0), (0, 0), *border]
    x = np.asarray(x)
    seen = np.broadcast_to(np.ones((1,) * x.ndim, bool) if mask is None else mask != 0, x.shape)
    missing = np.isnan(x)
    seen = seen & ~missing if missing.any() else seen
    x = np.where(seen, x, x.dtype.type(0))
    if not np.isfinite(x).all():
        raise ValueError("x holds inf; pass a mask where values are missing, or clean it")
    seen = np.pad(seen, border)
    return Block(cut, box, np.pad(x, border), None if seen.all() else seen.astype(x.dtype))


def strongest(block, dictionary, positive):
    """Largest correlation of an atom with the signal in the box: its part of lmbda_max."""
    with one_core():
        x = block.x[(..., *relative(block.cut.window(block.box), block.cut.window(block.wide)))]
        layout = PaddedSignals(dictionary, x.shape, x.dtype)
        ones = np.ones(dictionary.n_atoms, x.dtype)
        return float(
            layout.dual_infeasibility(
                layout.observed(x, block.seen(block.box))[0], ones, positive
            ).max()
        )


def solve(block, model, own, rims):
    """Codes of the box, all others as they are: one lasso, started from its present codes."""
    D, box = model.dictionary, block.box
    none = SparseCodes.zeros((len(block.x), D.n_atoms, *block.cut.positions), block.x.dtype)
    with one_core():
        r = block.residual(D, [none, *rims], box)
        start = None if own is None else of_box(own, box)
        seen = block.seen(box)
        if seen is not None and not seen.any():
            return none
        if start is not None and seen is None and D.is_patch(r.shape[2:]):
            start = start.dense()  # a box of one position
        coded = code([Group(r, seen)], D, model.penalty, [start], model.tol)[0].z
    coded = coded if isinstance(coded, SparseCodes) else SparseCodes.of(coded)
    kept = coded.values != 0
    coded = SparseCodes(coded.shape, coded.index[kept], coded.values[kept])
    return of_signal(coded, box, block.cut.positions)


def halo(block, codes):
    """Codes that neighbours see: those near the faces of the box."""
    cut = block.cut
    axes = zip(block.box, cut.reach, cut.positions, strict=True)
    core = tuple(
        slice(b.start + RIM * q * (b.start > 0), b.stop - RIM * q * (b.stop < v))
        for b, q, v in axes
    )
    outer = ~inside(codes, core)
    return SparseCodes(codes.shape, codes.index[outer], codes.values[outer])


def certify(block, model, codes, rims, dtype=None):
    """`Part` of a block: what it adds to the objective, and to the dual points of `csc.certificates._local_dual`.

    A dual point is the residual, each sample divided by the worst excess among the atoms that cover
    it. What these atoms see lies within two reaches of the box, and is computed here as
    it is by the neighbours: all blocks together have one dual point.
    """
    with one_core():
        dtype = model.dictionary.dtype if dtype is None else np.dtype(dtype)
        return _Certificate(block, model, codes, rims, dtype).part()


class _Certificate:
    """The work of `certify`."""

    def __init__(self, block, model, codes, rims, dtype):
        self.block, self.codes, self.dtype = block, codes, dtype
        D = model.dictionary.as_double if dtype == "float64" else model.dictionary
        block = block._replace(x=block.x.astype(dtype))
        r = block.residual(D, [part.astype(dtype) for part in (codes, *rims)], block.wide)
        self.layout = PaddedSignals(D, r.shape, dtype)
        self.r, mask = self.layout.observed(r, block.seen(block.wide))
        self.r = self.r if mask is None else self.r * mask
        self.x = block.x
        self.positive = model.penalty.positive
        price = model.dictionary.dtype.type(model.penalty.lmbda)
        self.prices = np.full(D.n_atoms, price, dtype)

    @cached_property
    def tile(self):
        """Where in the window the box's own samples lie."""
        block = self.block
        return (..., *relative(block.cut.tile(block.box), block.cut.window(block.wide)))

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
        price = self.codes.sums(abs(self.codes.values) * self.prices[atom])
        inner, energy, worst = map(np.stack, zip(*rows, strict=True))
        return Part(half + price, inner, energy, worst, np.array(len(self.codes.index)))

    def dual_infeasibility(self, theta):
        """How far correlations exceed their prices, at all positions around."""
        return self.layout.dual_infeasibility(theta, 1 / self.prices, self.positive)

    def row(self, theta, dual_infeasibility):
        """Sums of one dual point over the block's own samples and positions."""
        block, own = self.block, self.samples(theta)
        here = dual_infeasibility[(..., *relative(block.box, block.wide))]
        worst = here.reshape(len(here), -1).max(axis=1).astype("float64")
        return self.inner(self.x[self.tile], own), self.inner(own, own), worst

    def samples(self, a):
        """The block's own samples of a buffer."""
        return a[self.layout.own].reshape(self.x.shape)[self.tile]

    def inner(self, a, b):
        """Inner product of each signal's samples, in float64."""
        a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
        return np.einsum("ni,ni->n", a, b, dtype="float64")
