"""Codes with few nonzero entries, stored as indices and values."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from csc._backend import namespace


@dataclass(frozen=True, eq=False)
class SparseCodes:
    """Codes ``(N, K, *V)`` as the indices and values of the nonzero entries.

    Parameters
    ----------
    shape : tuple
        ``(N, K, *V)``.
    index : array (A,), int64
        Flat indices into ``(N, *V, K)``, increasing: codes of one position are neighbours.
    values : array (A,)

    Examples
    --------
    >>> import numpy as np
    >>> from csc.operators._sparse_codes import SparseCodes
    >>> z = np.array([[[0.0, 2.0], [3.0, 0.0]]])  # one signal, two atoms, two positions
    >>> sparse = SparseCodes.of(z)
    >>> sparse.index, sparse.values
    (array([1, 2]), array([3., 2.]))
    >>> (sparse.dense() == z).all()
    np.True_
    """

    shape: tuple
    index: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, z):
        """Sparse form of dense codes; sparse ones are returned as they are."""
        if isinstance(z, cls):
            return z
        xp = namespace(z)
        rows = xp.moveaxis(z, 1, -1).reshape(-1)
        index = xp.flatnonzero(rows)
        return cls(z.shape, index, rows[index])

    @classmethod
    def zeros(cls, shape, dtype):
        """Codes that are all zero."""
        return cls(tuple(shape), np.empty(0, np.int64), np.empty(0, dtype))

    @property
    def dtype(self):
        """Precision of the values."""
        return self.values.dtype

    @property
    def signals(self):
        """Signal to which each code belongs."""
        return self.index // prod(self.shape[1:])

    @cached_property
    def coordinates(self):
        """Coordinates ``(n, k, *v)`` of the codes, one array per axis."""
        n, k, *v = self.shape
        n, *v, k = np.unravel_index(self.index, (n, *v, k))
        return (n, k, *v)

    def astype(self, dtype):
        """The same codes in another precision."""
        return SparseCodes(self.shape, self.index, self.values.astype(dtype))

    def dense(self):
        """Dense codes ``(N, K, *V)``."""
        z = np.zeros(self.shape, self.values.dtype)
        z[self.coordinates] = self.values
        return z

    def pick(self, a):
        """Entries of ``a`` at the codes: one for each atom ``(K,)``, or of any shape like the codes."""
        if a.ndim == 1:
            return a[self.index - self.shape[1] * (self.index // self.shape[1])]  # % is slower
        return np.broadcast_to(a, self.shape)[self.coordinates]

    def sums(self, a):
        """Sum ``a``, one number per code, over the codes of each signal: ``(N,)`` in float64."""
        if self.shape[0] == 1:
            return a.sum(dtype="float64", keepdims=True)
        return np.bincount(self.signals, weights=a, minlength=self.shape[0])


def dense_codes(z):
    """Codes as an array, whether they are sparse or one already."""
    return z.dense() if isinstance(z, SparseCodes) else z


def code_values(z):
    """Values of codes in an array of any shape, which has all non-zero ones."""
    return z.values if isinstance(z, SparseCodes) else z
