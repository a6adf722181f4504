"""Synthetic signals that follow the multi-layer sparse model exactly, to test algorithms.

Here: `make_multilayer_dictionary`, `make_sparse_signals`, `make_cosparse_signals`. Photographs are in `csc.images`.

May import: `csc.operators`, and the modules of `csc` whose names begin with ``_``.

A new generator: a function ``make_...`` with ``rng=`` that returns the data and the true codes.
"""

from csc.datasets._synthetic import (
    Sample,
    make_cosparse_signals,
    make_multilayer_dictionary,
    make_sparse_signals,
)

__all__ = ["Sample", "make_cosparse_signals", "make_multilayer_dictionary", "make_sparse_signals"]
