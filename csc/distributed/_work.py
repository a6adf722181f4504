"""What tasks do, on a worker: the same functions as on one machine, on one core each."""

import threading
from contextlib import contextmanager
from functools import cache, reduce
from math import prod
from typing import NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from csc.learn.batch import Coded, join, summarise
from csc.learn.coding import code, in_numbers
from csc.learn.recentre import around, moved
from csc.learn.replace import worst
from csc.learn.signals import floats_of, groups_of
from csc.problem import Problem
from csc.solving import solve
from csc.sparse import SparseCodes


class Model(NamedTuple):
    """What codes hang on, besides the signals."""

    dictionary: object
    penalty: object
    tol: float = 0.0


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


def load(images, masks, parts):
    """Parts of signals of one shape, as a list of one `Group`, or of none if nothing is seen.

    Parameters
    ----------
    images : sequence of arrays (C, *S)
    masks : sequence of arrays or None
    parts : list of tuples of slices
    """
    images = [np.asarray(image) for image in images]
    for image in images:
        if not np.isnan(image).all():  # signals of which nothing was observed are passed over
            floats_of("a signal of X", image[None])
    return list(groups_of(images, masks, parts))


def code_groups(groups, model, starts=None):
    """Codes of each group."""
    with one_core():
        coded = code(groups, model.dictionary, model.penalty, starts, model.tol)
    return [some.z for some in coded]


def transform(groups, model, shape, first):
    """Certified codes of a group, as those of all signals; it begins with number ``first``."""
    if not groups:
        return SparseCodes.zeros(shape, model.dictionary.dtype)
    [(x, mask)] = groups
    with one_core():
        z = solve(Problem(x, model.dictionary, model.penalty, mask), tol=model.tol).z
    z = z if isinstance(z, SparseCodes) else SparseCodes.of(z)
    return SparseCodes(shape, z.index + first * prod(shape[1:]), z.values)


def resolve(groups, model):
    """The penalty with its strength in numbers, as each group gives it."""
    with one_core():
        return [in_numbers(x, model.dictionary, model.penalty, mask) for x, mask in groups]


def summaries(groups, model, codes):
    """`Summary` of each group."""
    with one_core():
        return [summarise(some) for some in coded_groups(groups, model, codes)]


def join_all(add, *parts):
    """Sum of lists of at most one summand, in order: again such a list."""
    found = [one for part in parts for one in part]
    return [reduce(add, found)] if found else []


def join_summaries(*parts):
    """A node of the tree of summaries."""
    return join_all(join, *parts)


def join_pairs(*parts):
    """A node of the tree of what lies around atoms."""
    return join_all(lambda one, other: (one[0] + other[0], one[1] + other[1]), *parts)


def look_around(groups, model, codes, reach):
    """What `recentre.around` says of each group."""
    with one_core():
        return [around(some, reach) for some in coded_groups(groups, model, codes)]


def move(groups, model, codes, shifts):
    """Codes of each group, moved with the windows of their atoms."""
    return [moved(some, shifts) for some in coded_groups(groups, model, codes)]


def look_for_worst(groups, model, codes, extents, number):  # noqa: PLR0913
    """What `replace.worst` finds in each group."""
    with one_core():
        found = [worst(some, extents, number) for some in coded_groups(groups, model, codes)]
    return [one for some in found for one in some]


def coded_groups(groups, model, codes):
    """`Coded` of each group."""
    problems = [Problem(x, model.dictionary, model.penalty, mask) for x, mask in groups]
    return [Coded(problem, z) for problem, z in zip(problems, codes, strict=True)]
