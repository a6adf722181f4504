"""A complex linear operator, applied to real and imaginary parts. Loads ``scipy.sparse.linalg``."""

from scipy.sparse.linalg import LinearOperator, aslinearoperator

from csc._backend import namespace


class PartsOperator(LinearOperator):
    """``[[Re A, -Im A], [Im A, Re A]]``."""

    def __init__(self, operator):
        self.A = aslinearoperator(operator)
        m, n = self.A.shape
        super().__init__("float64", (2 * m, 2 * n))

    def _matmat(self, X):
        return _parts(self.A.matmat(_joined(X)))

    def _rmatmat(self, X):
        return _parts(self.A.rmatmat(_joined(X)))


def _joined(rows):
    """Complex rows from real and imaginary ones."""
    half = len(rows) // 2
    return rows[:half] + 1j * rows[half:]


def _parts(rows):
    """Real and imaginary parts of rows, one after the other."""
    return namespace(rows).concatenate([rows.real, rows.imag])
