"""Products with atoms as large as their signals: a matrix, or lists of what is not 0 in it."""

from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from csc._backend import kernels, namespace

# Costs of a number, in cycles: packed for a whole product, in a list, of rows that are turned. On
# two cores with 256 and 1024 atoms of 64 to 6272 samples, 1 to 30 % of them not 0, 1 to 5000 rows.
PACKED, LISTED, TURNED = 4, 2, 4
BYTES = 64  # that a whole product multiplies in a cycle


class PatchMatrix:
    """Correlations with, and sums of, the rows of a matrix of atoms ``(K, n)``.

    Examples
    --------
    >>> import numpy as np
    >>> from csc.operators._patch_matrix import PatchMatrix
    >>> atoms = PatchMatrix(np.array([[3.0, 4.0]]))
    >>> atoms.correlate(np.array([[1.0, 1.0]])), atoms.synthesize(np.array([[2.0]]))
    (array([[7.]]), array([[6., 8.]]))
    """

    def __init__(self, matrix):
        self._matrix = matrix

    def correlate(self, rows):
        """``(N, K)``: products of rows ``(N, n)`` with every atom."""
        return self._multiply(rows, self._matrix, 0)

    def synthesize(self, codes):
        """``(N, n)``: sums of atoms, of codes ``(N, K)``."""
        return self._multiply(codes, self._matrix.T, 1)

    def takes_lists(self, n_rows):
        """Whether lists are faster for so many rows: few rows, or very few terms."""
        if namespace(self._matrix) is not np:
            return False
        whole = PACKED + n_rows * self._matrix.itemsize / BYTES
        lists = LISTED * self._n_terms + TURNED * sum(self._matrix.shape)
        return n_rows * lists < self._matrix.size * whole

    @cached_property
    def _n_terms(self):
        return np.count_nonzero(self._matrix)

    @cached_property
    def _lists(self):
        return csr_array(self._matrix), csr_array(self._matrix.T)

    def _multiply(self, rows, matrix, which):
        """``rows matrix^T``."""
        if self.takes_lists(len(rows)):
            return np.ascontiguousarray((self._lists[which] @ rows.T).T)
        out = namespace(rows).empty((len(rows), len(matrix)), matrix.dtype)
        kernels(rows).correlate_patches(rows, matrix, out)
        return out
