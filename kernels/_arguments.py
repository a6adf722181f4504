"""Groups of arguments that kernels of all devices take."""

from typing import Any, NamedTuple

import numpy as np


class MomentumPoint(NamedTuple):
    """The extrapolated point ``y = z + momentum (z - z_old)``."""

    z: Any  # array of codes
    z_old: Any  # array of the codes before
    momentum: Any  # a number, or an array without axes on a device


class SoftThreshold(NamedTuple):
    """The proximal operator ``v -> factor soft(v, thresholds)`` of an l1 or elastic-net penalty."""

    thresholds: Any  # (K,)
    factor: Any  # 1 without an l2 term
    positive: bool  # whether codes must not be negative


class Terms(NamedTuple):
    """Batch-last convolution: the terms of the sums, for each chunk and each group of rows."""

    spans: np.ndarray  # (chunks, groups, 3)  first and last offset, first value
    nonzero_range: np.ndarray  # (chunks, 6)  the positions at which a chunk has nonzero terms
    offsets: np.ndarray  # (T,)
    values: np.ndarray  # of ROWS_PER_GROUP rows for each offset, or of one
    rows_per_group: int  # 1 or ROWS_PER_GROUP


class Grid(NamedTuple):
    """Batch-last convolution: where rows are read in the buffer, and where their sums are written.

    Row r at position q is ``target[rows[r, 0] + n * steps[0] + q . steps[1:]]`` for q within the
    bounds ``rows[r, 1:]``, low and high on each axis.
    """

    batch: tuple  # B signals per group, N signals
    positions: tuple  # Q0, Q1, Q2
    reads: tuple  # steps in the buffer: a group of signals, axis 0, axis 1
    steps: tuple  # steps in the target: a signal, axes 0, 1, 2
    rows: np.ndarray  # (groups * rows_per_group, 7)


class BufferLayout(NamedTuple):
    """Batch-last convolution: where signals are copied in the buffer."""

    batch: tuple  # B, N
    shape: tuple  # C, P0, P1, phases, P2
    signal_shape: tuple  # S0, S1, S2
    low: tuple  # zeros (or wrapped samples) before the first sample
    steps: tuple  # of the signals: n, c, axes 0, 1, 2
    wraps: bool
