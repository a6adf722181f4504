"""A batch of coded signals: all that a step asks of it are sums over its groups."""

from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import NamedTuple

import numpy as np

from csc._backend import namespace
from csc.learning import _statistics as stats
from csc.learning._dead_atoms import worst_windows
from csc.learning._recentre import extended_window_sums, shift_codes
from csc.learning._step import EncodedBatch

TREE_ARITY = 8  # summands of a node in a tree of sums


class Summary(NamedTuple):
    """Sums over coded signals."""

    statistics: stats.Statistics
    penalty_value: float  # of the codes, what the penalty says
    n_signals: int
    n_positions: int  # of codes
    n_nonzero: int
    energy: float  # sum of 1/2 ||x||^2 of what was observed: other signals have another
    used: np.ndarray  # (K,)  whether each atom is


def summarise(encoded):
    """`Summary` of one group, a `EncodedBatch`."""
    return Summary(
        stats.sums_of_codes(*encoded),
        encoded.problem.penalty_value(encoded.z),
        len(encoded.problem.x),
        prod(encoded.z.shape) // encoded.z.shape[1],
        int((encoded.values != 0).sum()),
        energy_of(encoded.problem.x),
        encoded.used(),
    )


def energy_of(x):
    """``1/2 ||x||^2`` of signals, in float64."""
    rows = x.reshape(len(x), -1)
    return 0.5 * float(namespace(x).einsum("ni,ni->", rows, rows, dtype="float64"))


def add_summaries(one, other):
    """`Summary` of both."""
    (statistics, *counts, used), (others, *more, also_used) = one, other
    counts = (a + b for a, b in zip(counts, more, strict=True))
    return Summary(stats.add(statistics, others), *counts, used | also_used)


def tree_sum(parts, join):
    """Join parts in a tree whose shape hangs on nothing but their number.

    Eight neighbours make a node, eight nodes the next. So the rounding is the same wherever the
    parts and the nodes are made, and no more than two nodes a level are held at once.
    """
    levels = []  # of each level the node that grows, and of how many it is

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
    """Coded signals in the memory of this process.

    Parameters
    ----------
    groups : list of EncodedBatch
    """

    groups: list

    @property
    def codes(self):
        """Codes of each group, to start the next pass from."""
        return [encoded.z for encoded in self.groups]

    @property
    def stride(self):
        """Stride of the codes."""
        return self.groups[0].problem.dictionary.geometry.stride

    def summary(self):
        """`Summary` of all groups."""
        return tree_sum(map(summarise, self.groups), add_summaries)

    def extended_window_sums(self, reach):
        """Sums of `extended_window_sums` over all groups."""
        return tree_sum(
            (extended_window_sums(encoded, reach) for encoded in self.groups), add_pairs
        )

    def shift_codes(self, shifts):
        """Codes moved with the windows of their atoms."""
        return (
            [shift_codes(encoded, shifts) for encoded in self.groups]
            if shifts.any()
            else self.codes
        )

    def worst_windows(self, extents, number):
        """Candidates of `worst_windows` from all groups."""
        return [one for encoded in self.groups for one in worst_windows(encoded, extents, number)]


def add_pairs(one, other):
    """Sum of pairs."""
    return one[0] + other[0], one[1] + other[1]


__all__ = ["Batch", "EncodedBatch", "Summary", "add_summaries", "summarise", "tree_sum"]
