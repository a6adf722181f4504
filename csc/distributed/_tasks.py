"""Functions that tasks call on a worker: those of one machine, each on one core."""

from contextlib import contextmanager
from functools import reduce
from math import prod
from operator import add
from typing import NamedTuple

import numpy as np

from csc import learning
from csc._backend import one_blas_thread
from csc._memory import keep_freed_of_worker
from csc._solve import solve_quietly
from csc.data_terms import LEAST_SQUARES
from csc.distributed._partition import merge_codes
from csc.operators import SparseCodes
from csc.problems import Problem, with_gradient_term


class Model(NamedTuple):
    """Dictionary, penalty, tolerance of the codes, data term, and weights of the gradient term."""

    dictionary: object
    penalty: object
    tol: float = 0.0
    data_term: object = LEAST_SQUARES
    gradient_weights: object = None

    def encode(self, groups, starts=None):
        """Codes of each group, to learn from."""
        of = self.dictionary, self.penalty, starts, self.tol, self.data_term, self.gradient_weights
        coded = learning.encode(groups, *of)
        return [batch.z for batch in coded]

    def certified(self, groups):
        """Codes of each group, to a certified duality gap."""
        problems = [self._problem(x, mask) for x, mask, _ in groups]
        return [
            solve_quietly(self._smooth(problem) or problem, tol=self.tol).z for problem in problems
        ]

    def coded(self, groups, codes):
        """`EncodedBatch` of each group."""
        problems = [(self._problem(x, mask), weight) for x, mask, weight in groups]
        return [
            learning.EncodedBatch(problem, z, weight, self._smooth(problem))
            for (problem, weight), z in zip(problems, codes, strict=True)
        ]

    def _problem(self, x, mask):
        return Problem(x, self.dictionary, self.penalty, mask, self.data_term)

    def _smooth(self, problem):
        """The problem with its gradient term; None without one."""
        if self.gradient_weights is None:
            return None
        return with_gradient_term(problem, self.gradient_weights)


class LayersTaskModel(NamedTuple):
    """Model of several layers, and the tolerance of its codes."""

    layers: learning.LayersModel
    limits: tuple  # relative gap, maximal number of iterations

    def encode(self, groups, starts=None):
        """Deepest codes of each part of the groups, to learn from."""
        coded = learning.encode_layers(groups, self.layers, self.limits, starts)
        return [group.flat.z for group in coded]

    certified = encode  # as on one machine: by the pursuit that the user chose

    def coded(self, groups, codes):
        """`EncodedBatch` of each part: its deepest codes on the product of the layers."""
        [(x, _, weight)], (D, penalties, _) = groups, self.layers
        product, found, first = D.effective(), [], 0
        for z in codes:
            part = slice(first, first + z.shape[0])
            own = None if weight is None else weight[part]
            problem = Problem(x[part], product, penalties[-1])
            found.append(learning.EncodedBatch(problem, z, own))
            first += z.shape[0]
        return found

    def mid_layer_codes(self, codes, weight, spatial_shape):
        """`MidLayerCodes` of each part, whose signals have this spatial shape."""
        (D, penalties, _), found, first = self.layers, [], 0
        for z in codes:
            own = None if weight is None else weight[first : first + z.shape[0]]
            shapes = D.spatial_shapes(spatial_shape)
            found.append(learning.MidLayerCodes(z, D, penalties, shapes, own))
            first += z.shape[0]
        return found


@contextmanager
def one_core():
    """Use one thread: Dask runs one task per core."""
    from numba import get_num_threads, set_num_threads

    keep_freed_of_worker()
    before = get_num_threads()
    set_num_threads(1)
    try:
        with one_blas_thread():
            yield
    finally:
        set_num_threads(before)


def as_array(x):
    """Signals as a plain array, in which masked entries are missing as NaN are."""
    return np.ma.filled(x, np.nan) if isinstance(x, np.ma.MaskedArray) else np.asarray(x)


def shape_and_dtype(image):
    """Shape and dtype of a signal."""
    image = np.asarray(image)
    return image.shape, image.dtype


def load(images, masks, parts, complete=False, weight=None):
    """Load parts of signals of one shape: a list of one `Group`, empty if nothing was observed.

    Parameters
    ----------
    images : sequence of arrays (C, *S)
    masks : sequence of arrays or None
    parts : list of tuples of slices
    complete : bool
        Refuse missing samples.
    weight : array (n,), optional
    """
    images = [as_array(image) for image in images]
    if complete and any(np.isnan(image).any() for image in images):
        raise ValueError(learning.NO_MISSING_SAMPLES.format("X holds NaN"))
    for image in images:
        if not np.isnan(image).all():  # signals without observed samples are skipped
            learning.check_observed("a signal of X", image[None])
    return list(learning.group_signals(images, masks, parts, weight))


def code_groups(groups, model, starts=None):
    """Codes of each group."""
    with one_core():
        return model.encode(groups, starts)


def rows(groups, places):
    """Dense codes ``(K, *V)`` of single signals, given by group and row."""
    return [learning.codes_of_signal(groups[g][0], row) for g, row in places]


def signal_shapes_of(groups):
    """Spatial shapes of the signals of a group."""
    return groups[0].x.shape[2:]


def transform(groups, model, shape, dtype, first):
    """Certified codes of a group, whose first signal is number ``first`` of all signals."""
    with one_core():
        found = model.certified(groups)
    parts = []
    for z in map(SparseCodes.of, found):
        parts.append(SparseCodes(shape, z.index + first * prod(shape[1:]), z.values))
        first += z.shape[0]
    return merge_codes(parts) if parts else SparseCodes.zeros(shape, dtype)


def resolve(groups, model):
    """The penalty with its ``lmbda`` resolved on each group."""
    with one_core():
        return [
            learning.resolve_lmbda(x, model.dictionary, model.penalty, mask, model.data_term)
            for x, mask, _ in groups
        ]


def resolve_layers(groups, model):
    """The penalties of the layers with ``lmbda`` resolved on each part of the groups."""
    with one_core():
        return learning.resolve_lmbdas(groups, model)


def window_candidates(groups, spatial_shape, n, seed):
    """`csc.learning.window_candidates` of each group."""
    with one_core():
        return [
            candidate
            for x, *_ in groups
            for candidate in learning.window_candidates(x, spatial_shape, n, seed)
        ]


def summaries(groups, model, codes):
    """Sum of the `Summary` of each group, a list of one."""
    with one_core():
        parts = [learning.summarise(batch) for batch in model.coded(groups, codes)]
        return reduce_lists(learning.add_summaries, parts)


def reduce_lists(add, *parts):
    """Add lists of at most one summand, in order; the sum is such a list, too."""
    summands = [summand for part in parts for summand in part]
    return [reduce(add, summands)] if summands else []


def join_summaries(*parts):
    """Node of the tree that adds `Summary` objects."""
    return reduce_lists(learning.add_summaries, *parts)


def join_pairs(*parts):
    """Node of the tree that adds extended window sums."""
    return reduce_lists(learning.add_pairs, *parts)


def extended_window_sums(groups, model, codes, reach):
    """`csc.learning.extended_window_sums` of each group."""
    with one_core():
        return [learning.extended_window_sums(batch, reach) for batch in model.coded(groups, codes)]


def move(groups, model, codes, shifts):
    """Codes of each group, shifted with the windows of their atoms."""
    return [learning.shift_codes(batch, shifts) for batch in model.coded(groups, codes)]


def worst_windows(groups, model, codes, spatial_shape, number):
    """`csc.learning.worst_windows` of each group."""
    with one_core():
        return [
            window
            for batch in model.coded(groups, codes)
            for window in learning.worst_windows(batch, spatial_shape, number)
        ]


def mid_penalty_values(spatial_shape, model, codes, layers):
    """Penalty of the codes of the intermediate layers at these atoms, for each part of a group.

    ``codes`` are the codes of the parts, and the weights of the signals or None.
    """
    with one_core():
        parts = model.mid_layer_codes(*codes, spatial_shape)
        return [learning.mid_penalty_value(part, layers) for part in parts]


def mid_penalty_gradients(spatial_shape, model, codes, layers, i):
    """Gradient of `mid_penalty_values`, summed over the parts of a group: a list of one."""
    with one_core():
        parts = model.mid_layer_codes(*codes, spatial_shape)
        return reduce_lists(add, [learning.mid_penalty_gradient(part, layers, i) for part in parts])


def join_gradients(*parts):
    """Node of the tree that adds gradients."""
    return reduce_lists(add, *parts)
