"""Signals with few codes, solved as patches are: by the Gram matrix of all codes."""

from math import prod

import numpy as np

from csc.operators import SparseCodes

NUMBERS_PER_BLOCK = 2**22  # of correlations computed at a time: 32 MB


def code_small_signals(problem, z, kernel):
    """Codes of a kernel for patches, with all columns of the dictionary as its atoms.

    Parameters
    ----------
    problem : Problem
        Its structure has a `SmallForm`.
    z : array (N, K, *V) or SparseCodes
        Codes to start from.
    kernel : callable
        ``kernel(form, products, start, out, gaps)`` fills codes and duality gaps of some signals.

    Returns
    -------
    z : like ``z``
    gap : float
        Sum of the duality gaps, before the codes are rounded to the precision of the signals.
    """
    structure, start = problem.structure, SparseCodes.of(z)
    n_codes = prod(problem.code_shape[1:])
    size = max(1, NUMBERS_PER_BLOCK // n_codes)
    bounds = np.arange(0, len(problem.x) + size, size).clip(max=len(problem.x))
    index, values, gap = [np.empty(0, np.int64)], [np.empty(0)], 0.0
    for first, stop in zip(bounds[:-1], bounds[1:], strict=True):
        rows = _dense_rows(start, first, stop, n_codes)
        mask = None if problem.mask is None else problem.mask[first:stop]
        products = structure.small_form.products(problem.x[first:stop], mask)
        out, gaps = np.empty_like(rows), products[1].copy()
        kernel(structure.small_form, products, rows, out, gaps)
        gap += float(gaps.sum())
        flat = np.flatnonzero(out)
        index.append(flat + first * n_codes)
        values.append(out.ravel()[flat])
    codes = SparseCodes(problem.code_shape, np.concatenate(index), np.concatenate(values))
    codes = codes.astype(problem.x.dtype)
    return (codes if isinstance(z, SparseCodes) else codes.dense()), gap


def _dense_rows(codes, first, stop, n_codes):
    """Codes of some signals ``(n, V K)`` in float64."""
    rows = np.zeros((stop - first, n_codes))
    low, high = np.searchsorted(codes.index, (first * n_codes, stop * n_codes))
    rows.ravel()[codes.index[low:high] - first * n_codes] = codes.values[low:high]
    return rows
