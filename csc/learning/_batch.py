"""A batch of encoded signals, and the sums over its groups that a step needs."""

from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import NamedTuple

import numpy as np

from csc._backend import namespace, to_host
from csc.data_terms import observed_weights, values
from csc.learning import _statistics as stats
from csc.learning._dead_atoms import worst_windows
from csc.learning._recentre import extended_window_sums, shift_codes
from csc.operators import SparseCodes, dense_codes

TREE_ARITY = 8  # summands per node in a tree of sums


class Summary(NamedTuple):
    """Sums over encoded signals."""

    statistics: stats.Statistics
    penalty_value: float  # and gradient term: sum over the signals, each times its weight
    n_signals: int
    weight: float  # sum of the weights of the signals
    n_positions: int  # code positions
    weighted_positions: float  # each times the weight of its signal
    n_nonzero: float  # each times the weight of its signal
    energy: float  # sum of 1/2 ||x||^2 of observed samples; identifies a set of signals
    used: np.ndarray  # (K,)  whether an atom has a non-zero code


def summarise(encoded):
    """`Summary` of one group, an `EncodedBatch`."""
    problem, z, weight, _ = encoded
    n, positions = z.shape[0], prod(z.shape[2:])
    total = n if weight is None else float(weight.sum())
    return Summary(
        stats.sums_of_codes(problem, z, weight),
        weighted_penalty(problem, z, weight) + encoded.gradient_value(),
        n,
        total,
        n * positions,
        total * positions,
        _n_nonzero(encoded),
        energy_of(stats.times_roots(weight, problem.x)),
        encoded.used(),
    )


def weighted_objective(problem, z, weight):
    """Sum over the signals of the objective, each times its weight, in float64."""
    if weight is None:
        return problem.value(z)
    term, x = problem.data_term, problem.x.astype("float64")
    fit = problem.dictionary.as_double(dense_codes(z).astype("float64"), x.shape[2:])
    own = values(term, x, fit, observed_weights(term, x, problem.mask))
    return float(weight @ to_host(own)) + weighted_penalty(problem, z, weight)


def weighted_penalty(problem, z, weight):
    """Sum over the signals of the penalty of their codes, each times its weight."""
    if weight is None:
        return problem.penalty_value(z)
    if hasattr(problem.penalty, "values") and not isinstance(z, SparseCodes):
        return float(weight @ to_host(problem.penalty.values(z)))
    own = (problem.penalty.value(z_n[None]) for z_n in signals_of(z))
    return float(sum(w * value for w, value in zip(weight, own, strict=True)))


def _n_nonzero(encoded):
    """Number of non-zero codes, each times the weight of its signal."""
    z, weight = encoded.z, encoded.weight
    if weight is None:
        return int((encoded.values != 0).sum())
    if isinstance(z, SparseCodes):
        return float(weight[z.signals[z.values != 0]].sum())
    return float(weight @ to_host((z != 0).reshape(len(z), -1).sum(axis=1)))


def signals_of(codes):
    """Dense codes ``(K, *V)`` of one signal after the other."""
    return (codes_of_signal(codes, n) for n in range(codes.shape[0]))


def codes_of_signal(codes, row):
    """Dense codes ``(K, *V)`` of one signal of a group."""
    if not isinstance(codes, SparseCodes):
        return codes[row]
    size = prod(codes.shape[1:])
    low, high = codes.index.searchsorted([row * size, (row + 1) * size])
    index, values = codes.index[low:high] - row * size, codes.values[low:high]
    return SparseCodes((1, *codes.shape[1:]), index, values).dense()[0]


def energy_of(x):
    """``1/2 ||x||^2`` of signals, in float64."""
    rows = x.reshape(len(x), -1)
    return 0.5 * float(namespace(x).einsum("ni,ni->", rows, rows, dtype="float64"))


def add_summaries(one, other):
    """Sum of two `Summary` objects."""
    (statistics, *counts, used), (others, *more, also_used) = one, other
    counts = (a + b for a, b in zip(counts, more, strict=True))
    return Summary(stats.add(statistics, others), *counts, used | also_used)


def tree_sum(parts, join):
    """Sum of parts, added in a tree whose shape depends only on their number.

    Eight neighbouring parts make a node, eight nodes a node of the next level. The rounding is
    therefore the same on any number of machines, and at most two nodes per level are in memory.
    """
    levels = []  # the incomplete node of each level, and its number of summands

    def put(part, level):
        if level == len(levels):
            levels.append((None, 0))
        node, n = levels[level]
        levels[level] = node, n = (part if node is None else join(node, part), n + 1)
        if n == TREE_ARITY:
            levels[level] = (None, 0)
            put(node, level + 1)

    for part in parts:
        put(part, 0)
    rest = [node for node, _ in levels if node is not None]
    return reduce(lambda low, high: join(high, low), rest)


@dataclass(frozen=True)
class Batch:
    """Encoded signals in the memory of this process: `EncodedSignals`.

    Parameters
    ----------
    groups : list of EncodedBatch
    """

    groups: list

    @property
    def codes(self):
        """Codes of each group, from which the next pass starts."""
        return [encoded.z for encoded in self.groups]

    @property
    def stride(self):
        """Stride of the codes."""
        return self.groups[0].problem.dictionary.geometry.stride

    def summary(self):
        """`Summary` of all groups."""
        return tree_sum(map(summarise, self.groups), add_summaries)

    def extended_window_sums(self, reach):
        """`extended_window_sums` of all groups together."""
        sums = (extended_window_sums(encoded, reach) for encoded in self.groups)
        return tree_sum(sums, add_pairs)

    def shift_codes(self, shifts):
        """Codes of each group, shifted with the windows of their atoms."""
        if not shifts.any():
            return self.codes
        return [shift_codes(encoded, shifts) for encoded in self.groups]

    def worst_windows(self, spatial_shape, number):
        """`worst_windows` of all groups."""
        return [
            window
            for encoded in self.groups
            for window in worst_windows(encoded, spatial_shape, number)
        ]


def add_pairs(one, other):
    """Sum of two pairs."""
    return one[0] + other[0], one[1] + other[1]
