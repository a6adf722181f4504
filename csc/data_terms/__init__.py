"""Data terms: how far the fit ``u = D z`` may lie from the signals ``x``, sample by sample.

Here: `LeastSquares`, `Huber`, `LeastAbsolute`, `Poisson`, `Logistic`, `ByChannel` and `ChannelNorm`, each with the loss of one
sample, its slope, curvature, proximal operator and conjugate; and the sums over samples that
problems and certificates need.

May import: the modules of `csc` whose names begin with ``_``.

A new data term: a frozen dataclass with the methods of `Huber`; `csc.testing.check_data_term`
checks it, and docs/howto_data_terms.md shows one.
"""

from csc.data_terms._by_channel import ByChannel
from csc.data_terms._channel_norm import ChannelNorm
from csc.data_terms._robust import Huber, LeastAbsolute
from csc.data_terms._smooth import LEAST_SQUARES, LeastSquares, Logistic, Poisson
from csc.data_terms._sums import (
    dual_point,
    dual_values,
    is_plain,
    largest_curvature,
    majoriser,
    observed_weights,
    values,
)

__all__ = ["ByChannel", "Huber", "LeastAbsolute", "LeastSquares", "Logistic", "Poisson"]
