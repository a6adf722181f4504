"""Products with atoms as large as their signals, as a dense or a sparse matrix."""

from functools import cached_property

import numpy as np
import scipy  # its modules load when first used

from csc._backend import kernels, namespace

# Cycles per number: to pack it for a dense product, to multiply it in a sparse matrix, to transpose
# a row. Measured on two cores with 256 and 1024 atoms of 64 to 6272 samples, 1 to 30 % of them not
# 0, and 1 to 5000 rows.
PACK_CYCLES, LIST_CYCLES, TRANSPOSE_CYCLES = 4, 2, 4
BYTES_PER_CYCLE = 64  # multiplied in a dense product


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

    def uses_sparse(self, n_rows):
        """Whether the sparse matrix is faster for this number of rows."""
        if namespace(self._matrix) is not np:
            return False
        dense = PACK_CYCLES + n_rows * self._matrix.itemsize / BYTES_PER_CYCLE
        sparse = LIST_CYCLES * self._n_terms + TRANSPOSE_CYCLES * sum(self._matrix.shape)
        return n_rows * sparse < self._matrix.size * dense

    @cached_property
    def _n_terms(self):
        return np.count_nonzero(self._matrix)

    @cached_property
    def _sparse(self):
        return scipy.sparse.csr_array(self._matrix), scipy.sparse.csr_array(self._matrix.T)

    def _multiply(self, rows, matrix, which):
        """``rows matrix^T``."""
        if self.uses_sparse(len(rows)):
            return np.ascontiguousarray((self._sparse[which] @ rows.T).T)
        out = namespace(rows).empty((len(rows), len(matrix)), matrix.dtype)
        kernels(rows).correlate_patches(rows, matrix, out)
        return out
