"""What tasks do, on a worker: the same functions as on one machine, on one core each."""

import threading
from contextlib import contextmanager
from functools import cache, reduce
from math import prod
from operator import add
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from csc._solve import solve_quietly
from csc.distributed._malloc import keep_freed
from csc.distributed._partition import together
from csc.learning import (
    NONE_MISSING,
    EncodedBatch,
    LayersModel,
    MidLayerCodes,
    add_pairs,
    around,
    candidates,
    code,
    code_layers,
    floats_of,
    groups_of,
    join,
    moved,
    penalty_value_of,
    resolve_lmbda,
    resolve_lmbdas,
    row_of,
    slope_of,
    summarise,
    worst,
)
from csc.operators import SparseCodes
from csc.problems import Problem


class Model(NamedTuple):
    """What codes hang on, besides the signals."""

    dictionary: object
    penalty: object
    tol: float = 0.0

    def code(self, groups, starts=None):
        """Codes of each group, to learn from."""
        coded = code(groups, self.dictionary, self.penalty, starts, self.tol)
        return [some.z for some in coded]

    def certified(self, groups):
        """Codes of each group, of a certified gap."""
        problems = [Problem(x, self.dictionary, self.penalty, mask) for x, mask in groups]
        return [solve_quietly(problem, tol=self.tol).z for problem in problems]

    def coded(self, groups, codes):
        """`EncodedBatch` of each group."""
        problems = [Problem(x, self.dictionary, self.penalty, mask) for x, mask in groups]
        return [EncodedBatch(problem, z) for problem, z in zip(problems, codes, strict=True)]


class DeepModel(NamedTuple):
    """What codes of layers hang on, besides the signals."""

    layers: LayersModel
    limits: tuple  # gap, iterations

    def code(self, groups, starts=None):
        """Deepest codes of each part of the groups, to learn from."""
        return [some.flat.z for some in code_layers(groups, self.layers, self.limits, starts)]

    certified = code  # as on one machine: the pursuit is what the user chose

    def coded(self, groups, codes):
        """`EncodedBatch` of each part, deepest codes on the product of the layers."""
        [(x, _)], (D, penalties, _) = groups, self.layers
        product, found, first = D.effective(), [], 0
        for z in codes:
            part = x[first : first + z.shape[0]]
            found.append(EncodedBatch(Problem(part, product, penalties[-1]), z))
            first += z.shape[0]
        return found

    def between(self, codes, extents):
        """`MidLayerCodes` of each part, whose signals have these extents."""
        D, penalties, _ = self.layers
        return [MidLayerCodes(z, D, penalties, D.extents(extents)) for z in codes]


class _Blas:
    """One thread for the BLAS of this process, as long as any task runs."""

    def __init__(self):
        self.lock, self.inside, self.limit = threading.Lock(), 0, None

    def enter(self):
        """A task begins."""
        with self.lock:
            if self.inside == 0:
                self.limit = _controller().limit(limits=1, user_api="blas")
            self.inside += 1

    def leave(self):
        """A task ends."""
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.limit.restore_original_limits()


_blas = _Blas()


@cache
def _controller():
    return ThreadpoolController()


@contextmanager
def one_core():
    """Use this thread alone: Dask counts a task as one core, and runs one for each it has."""
    from numba import get_num_threads, set_num_threads

    keep_freed()
    before = get_num_threads()
    set_num_threads(1)
    _blas.enter()
    try:
        yield
    finally:
        _blas.leave()
        set_num_threads(before)


def look(image):
    """Shape and dtype of a signal."""
    image = np.asarray(image)
    return image.shape, image.dtype


def load(images, masks, parts, complete=False):
    """Parts of signals of one shape, as a list of one `Group`, or of none if nothing is seen.

    Parameters
    ----------
    images : sequence of arrays (C, *S)
    masks : sequence of arrays or None
    parts : list of tuples of slices
    complete : bool
        Whether nothing may be missing.
    """
    images = [np.asarray(image) for image in images]
    if complete and any(np.isnan(image).any() for image in images):
        raise ValueError(NONE_MISSING.format("X holds NaN"))
    for image in images:
        if not np.isnan(image).all():  # signals of which nothing was observed are passed over
            floats_of("a signal of X", image[None])
    return list(groups_of(images, masks, parts))


def code_groups(groups, model, starts=None):
    """Codes of each group."""
    with one_core():
        return model.code(groups, starts)


def rows(groups, places):
    """Codes of single signals, each ``(K, *V)``: of which group, and which of it."""
    return [row_of(groups[g][0], row) for g, row in places]


def extents_of(groups):
    """Spatial extents of the signals of a group."""
    return groups[0].x.shape[2:]


def transform(groups, model, shape, dtype, first):
    """Certified codes of a group, as those of all signals; it begins with number ``first``."""
    with one_core():
        found = model.certified(groups)
    places = []
    for codes in found:
        z = codes if isinstance(codes, SparseCodes) else SparseCodes.of(codes)
        places.append(SparseCodes(shape, z.index + first * prod(shape[1:]), z.values))
        first += z.shape[0]
    return together(places) if places else SparseCodes.zeros(shape, dtype)


def resolve(groups, model):
    """The penalty with its strength in numbers, as each group gives it."""
    with one_core():
        return [resolve_lmbda(x, model.dictionary, model.penalty, mask) for x, mask in groups]


def resolve_layers(groups, model):
    """The layers' penalties with strengths in numbers, as each part of the groups gives them."""
    with one_core():
        return resolve_lmbdas(groups, model)


def look_for_windows(groups, extents, n, seed):
    """What `windows.candidates` finds in each group."""
    with one_core():
        return [one for x, _ in groups for one in candidates(x, extents, n, seed)]


def summaries(groups, model, codes):
    """`Summary` of each group."""
    with one_core():
        return join_all(join, [summarise(some) for some in model.coded(groups, codes)])


def join_all(add, *parts):
    """Sum of lists of at most one summand, in order: again such a list."""
    found = [one for part in parts for one in part]
    return [reduce(add, found)] if found else []


def join_summaries(*parts):
    """A node of the tree of summaries."""
    return join_all(join, *parts)


def join_pairs(*parts):
    """A node of the tree of what lies around atoms."""
    return join_all(add_pairs, *parts)


def look_around(groups, model, codes, reach):
    """What `recentre.around` says of each group."""
    with one_core():
        return [around(some, reach) for some in model.coded(groups, codes)]


def move(groups, model, codes, shifts):
    """Codes of each group, moved with the windows of their atoms."""
    return [moved(some, shifts) for some in model.coded(groups, codes)]


def look_for_worst(groups, model, codes, extents, number):  # noqa: PLR0913
    """What `replace.worst` finds in each group."""
    with one_core():
        found = [worst(some, extents, number) for some in model.coded(groups, codes)]
    return [one for some in found for one in some]


def prices(extents, model, codes, layers):
    """`penalty_value_of` each part of a group: of codes of the layers between, at these atoms."""
    with one_core():
        return [penalty_value_of(part, layers) for part in model.between(codes, extents)]


def slopes(extents, model, codes, layers, i):
    """Sum of `slope_of` the parts of a group, a list of one."""
    with one_core():
        parts = model.between(codes, extents)
        return join_all(add, [slope_of(part, layers, i) for part in parts])


def join_slopes(*parts):
    """A node of the tree of slopes."""
    return join_all(add, *parts)
