"""Products with atoms as large as their signals: a matrix, or lists of what is not 0 in it."""

from functools import cached_property

import numpy as np
from scipy.sparse import csr_array

from csc._device import kernels, namespace

# Density up to which lists are taken. On two cores, 256 atoms of 256 samples: lists are 2 to 4
# times as fast at 0.02 to 0.1; 512 atoms of 1024 samples at 0.3: 0.6 times.
DENSITY = 0.1


class PatchMatrix:
    """Correlations with, and sums of, the rows of a matrix of atoms ``(K, n)``.

    Examples
    --------
    >>> import numpy as np
    >>> from csc.patches import PatchMatrix
    >>> atoms = PatchMatrix(np.array([[3.0, 4.0]]))
    >>> atoms.correlate(np.array([[1.0, 1.0]])), atoms.synthesize(np.array([[2.0]]))
    (array([[7.]]), array([[6., 8.]]))
    """

    def __init__(self, matrix):
        self._matrix = matrix

    def correlate(self, rows):
        """``(N, K)``: products of rows ``(N, n)`` with every atom."""
        return self._multiply(rows, self._matrix, self._lists and self._lists[0])

    def synthesize(self, codes):
        """``(N, n)``: sums of atoms, of codes ``(N, K)``."""
        return self._multiply(codes, self._matrix.T, self._lists and self._lists[1])

    @cached_property
    def _lists(self):
        """The matrix and its transpose as lists, or None where whole products are faster."""
        matrix = self._matrix
        if namespace(matrix) is not np or (matrix != 0).mean() > DENSITY:
            return None
        return csr_array(matrix), csr_array(matrix.T)

    @staticmethod
    def _multiply(rows, matrix, lists):
        """``rows matrix^T``."""
        if lists is not None and namespace(rows) is np:
            return np.ascontiguousarray((lists @ rows.T).T)
        out = namespace(rows).empty((len(rows), len(matrix)), matrix.dtype)
        kernels(rows).correlate_patches(rows, matrix, out)
        return out
