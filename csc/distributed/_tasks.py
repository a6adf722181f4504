"""What tasks do, on a worker: the same functions as on one machine, on one core each."""

import threading
from contextlib import contextmanager
from functools import cache, reduce
from math import prod
from operator import add
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from csc import learning
from csc._solve import solve_quietly
from csc.distributed._malloc import keep_freed
from csc.distributed._partition import merge_codes
from csc.operators import SparseCodes
from csc.problems import Problem


class Model(NamedTuple):
    """What codes hang on, besides the signals."""

    dictionary: object
    penalty: object
    tol: float = 0.0

    def encode(self, groups, starts=None):
        """Codes of each group, to learn from."""
        coded = learning.encode(groups, self.dictionary, self.penalty, starts, self.tol)
        return [batch.z for batch in coded]

    def certified(self, groups):
        """Codes of each group, of a certified gap."""
        problems = [Problem(x, self.dictionary, self.penalty, mask) for x, mask in groups]
        return [solve_quietly(problem, tol=self.tol).z for problem in problems]

    def coded(self, groups, codes):
        """`EncodedBatch` of each group."""
        problems = [Problem(x, self.dictionary, self.penalty, mask) for x, mask in groups]
        return [
            learning.EncodedBatch(problem, z) for problem, z in zip(problems, codes, strict=True)
        ]


class LayersTaskModel(NamedTuple):
    """What codes of layers hang on, besides the signals."""

    layers: learning.LayersModel
    limits: tuple  # gap, iterations

    def encode(self, groups, starts=None):
        """Deepest codes of each part of the groups, to learn from."""
        return [
            group.flat.z
            for group in learning.encode_layers(groups, self.layers, self.limits, starts)
        ]

    certified = encode  # as on one machine: the pursuit is what the user chose

    def coded(self, groups, codes):
        """`EncodedBatch` of each part, deepest codes on the product of the layers."""
        [(x, _)], (D, penalties, _) = groups, self.layers
        product, found, first = D.effective(), [], 0
        for z in codes:
            part = x[first : first + z.shape[0]]
            found.append(learning.EncodedBatch(Problem(part, product, penalties[-1]), z))
            first += z.shape[0]
        return found

    def between(self, codes, extents):
        """`MidLayerCodes` of each part, whose signals have these extents."""
        D, penalties, _ = self.layers
        return [learning.MidLayerCodes(z, D, penalties, D.extents(extents)) for z in codes]


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


def shape_and_dtype(image):
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
        raise ValueError(learning.NO_MISSING_SAMPLES.format("X holds NaN"))
    for image in images:
        if not np.isnan(image).all():  # signals of which nothing was observed are passed over
            learning.check_observed("a signal of X", image[None])
    return list(learning.group_signals(images, masks, parts))


def code_groups(groups, model, starts=None):
    """Codes of each group."""
    with one_core():
        return model.encode(groups, starts)


def rows(groups, places):
    """Codes of single signals, each ``(K, *V)``: of which group, and which of it."""
    return [learning.codes_of_signal(groups[g][0], row) for g, row in places]


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
    return merge_codes(places) if places else SparseCodes.zeros(shape, dtype)


def resolve(groups, model):
    """The penalty with its strength in numbers, as each group gives it."""
    with one_core():
        return [
            learning.resolve_lmbda(x, model.dictionary, model.penalty, mask) for x, mask in groups
        ]


def resolve_layers(groups, model):
    """The layers' penalties with strengths in numbers, as each part of the groups gives them."""
    with one_core():
        return learning.resolve_lmbdas(groups, model)


def window_candidates(groups, extents, n, seed):
    """What `window_candidates` finds in each group."""
    with one_core():
        return [one for x, _ in groups for one in learning.window_candidates(x, extents, n, seed)]


def summaries(groups, model, codes):
    """`Summary` of each group."""
    with one_core():
        return reduce_lists(
            learning.add_summaries,
            [learning.summarise(some) for some in model.coded(groups, codes)],
        )


def reduce_lists(add, *parts):
    """Sum of lists of at most one summand, in order: again such a list."""
    found = [one for part in parts for one in part]
    return [reduce(add, found)] if found else []


def join_summaries(*parts):
    """A node of the tree of summaries."""
    return reduce_lists(learning.add_summaries, *parts)


def join_pairs(*parts):
    """A node of the tree of what lies around atoms."""
    return reduce_lists(learning.add_pairs, *parts)


def extended_window_sums(groups, model, codes, reach):
    """What `extended_window_sums` says of each group."""
    with one_core():
        return [learning.extended_window_sums(some, reach) for some in model.coded(groups, codes)]


def move(groups, model, codes, shifts):
    """Codes of each group, moved with the windows of their atoms."""
    return [learning.shift_codes(some, shifts) for some in model.coded(groups, codes)]


def worst_windows(groups, model, codes, extents, number):  # noqa: PLR0913
    """What `worst_windows` finds in each group."""
    with one_core():
        found = [
            learning.worst_windows(some, extents, number) for some in model.coded(groups, codes)
        ]
    return [one for some in found for one in some]


def mid_penalty_values(extents, model, codes, layers):
    """`mid_penalty_value` each part of a group: of codes of the layers between, at these atoms."""
    with one_core():
        return [learning.mid_penalty_value(part, layers) for part in model.between(codes, extents)]


def mid_penalty_gradients(extents, model, codes, layers, i):
    """Sum of `mid_penalty_gradient` the parts of a group, a list of one."""
    with one_core():
        parts = model.between(codes, extents)
        return reduce_lists(add, [learning.mid_penalty_gradient(part, layers, i) for part in parts])


def join_gradients(*parts):
    """A node of the tree of mid_penalty_gradients."""
    return reduce_lists(add, *parts)
