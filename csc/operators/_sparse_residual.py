"""Sparse codes and their residual, for solvers and certificates of convolutional problems."""

import numpy as np

from csc._backend import kernels
from csc._memory import keep_freed
from csc.operators._support_operator import PaddedSignals, RestrictedDictionary

LARGE_SAMPLES = 2**17  # arrays of so many are new memory each time


class SparseResidual:
    """Codes z on a support and the residual ``r = x - D z``, padded as `PaddedSignals` pads.

    Parameters
    ----------
    x : array (N, C, *S)
    dictionary : Dictionary
    codes : SparseCodes
    dtype : dtype
        Precision to work in.
    mask : array, optional
        1 = observed; broadcastable to ``x``.

    Attributes
    ----------
    layout : PaddedSignals
    x, mask, r : arrays (N, C, *P)
        Padded signals, mask (None if every sample counts) and residual.
    codes : SparseCodes
    columns : RestrictedDictionary
        D on the support of the codes.
    """

    def __init__(self, x, dictionary, codes, dtype, mask=None):
        if x.size >= LARGE_SAMPLES:
            keep_freed()
        self.layout = PaddedSignals(dictionary, x.shape, dtype)
        self.x, self.mask = self.layout.observed(x, mask)
        self.r = np.empty_like(self.x)
        self.put(codes.astype(self.layout.dtype))
        self.refresh()

    def put(self, codes, columns=None):
        """Replace the codes; call `refresh` to update the residual."""
        self.codes = codes
        if columns is None:
            columns = RestrictedDictionary(self.layout, codes.index)
        self.columns = columns

    def refresh(self):
        """Compute the residual from the codes again, so that rounding errors do not accumulate."""
        np.copyto(self.r, self.x)
        self.columns.add(-self.codes.values, self.r)

    def pick(self, a):
        """As `SparseCodes.pick`."""
        return self.codes.pick(a)

    def observed(self, r):
        """``M r`` of a padded residual."""
        return r if self.mask is None else r * self.mask

    def energies(self, r):
        """``||M r||^2`` of each signal ``(N,)``, in float64, of a padded residual."""
        rows, energies = self.layout.rows(self.observed(r)), np.empty(len(r))
        kernels(rows).inner_products(rows, rows, energies)
        return energies
