"""A dictionary behind a linear measurement operator: compressed sensing, blur and the like."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy  # its modules load when first used

from csc._repr_html import AtomsReprMixin
from csc._typing import Array, Shape
from csc._validation import check_floats, check_shape
from csc.operators._dictionary import Dictionary

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator

LANCZOS_TOL = 1e-3  # relative, of the squared norm
NORM_MARGIN = 1.02  # factor that makes the Lanczos estimate an upper bound


@dataclass(frozen=True, eq=False)
class MeasuredDictionary(AtomsReprMixin):
    """Measurements of synthesised signals, ``y = A D z``: a dictionary whose signals are y.

    Replaces a `Dictionary` in a `Problem`, whose signals are then measurements ``(N, m)``.
    First-order solvers and all certificates work unchanged.

    Parameters
    ----------
    dictionary : Dictionary
        D.
    operator : LinearOperator, array or sparse matrix (m, C * prod(S))
        A, applied to one flattened signal ``(C, *S)``. Not copied: do not change it in place.
    signal_shape : tuple of ints
        Spatial shape *S* of the signals.

    Raises
    ------
    TypeError
        If the operator is complex; see `csc.operators.complex_operator`.
    ValueError
        If the operator does not take signals of this spatial shape, or is a matrix with NaN or inf.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.eye(3)[:, None])
    >>> every_other = csc.MeasuredDictionary(D, np.eye(3)[::2], (3,))
    >>> problem = csc.Problem(np.array([[3.0, 2.0]]), every_other, csc.L1(1.0))
    >>> solution = csc.solve(problem, tol=1e-9)
    >>> solution.codes.ravel(), solution.reconstruction().ravel()
    (array([2., 0., 1.]), array([2., 0., 1.]))

    References
    ----------
    .. [1] E. Candes, J. Romberg, T. Tao, "Robust uncertainty principles", IEEE Trans. Inf. Theory
       52(2), 2006 (sparse signals from few measurements).
    """

    dictionary: Dictionary
    operator: "LinearOperator"
    signal_shape: Shape

    mode = "measured"
    is_convolution = False

    def __post_init__(self):
        if not isinstance(self.dictionary, Dictionary):
            raise TypeError(
                f"dictionary must be a csc.Dictionary, got {type(self.dictionary).__name__}"
            )
        operator = scipy.sparse.linalg.aslinearoperator(self.operator)
        if np.dtype(operator.dtype).kind == "c":
            raise TypeError(
                f"operator must be real, got {operator.dtype}; csc.operators.complex_operator "
                "makes it one of real and imaginary parts"
            )
        if hasattr(self.operator, "sum") and not np.isfinite(self.operator.sum()):
            raise ValueError("operator holds NaN or inf")
        signal_shape = check_shape(
            "signal_shape", self.signal_shape, len(self.dictionary.atom_shape)
        )
        self.dictionary.spatial_code_shape(signal_shape)  # raises if they do not fit
        size = self.dictionary.atoms.shape[1] * prod(signal_shape)
        if operator.shape[1] != size:
            raise ValueError(
                f"operator must take C * prod(S) = {size} samples for signals of spatial shape "
                f"{signal_shape}, got shape {operator.shape}"
            )
        object.__setattr__(self, "operator", operator)
        object.__setattr__(self, "signal_shape", signal_shape)

    def __repr__(self):
        return f"MeasuredDictionary({self.operator.shape[0]} measurements, {self.dictionary!r})"

    @property
    def atoms(self) -> Array:
        """Atoms of the dictionary."""
        return self.dictionary.atoms

    @property
    def dtype(self) -> np.dtype[Any]:
        """Precision of the atoms, and of all that is computed."""
        return self.dictionary.dtype

    @property
    def n_atoms(self) -> int:
        """K."""
        return self.dictionary.n_atoms

    def spatial_code_shape(self, signal_shape: Shape = ()) -> Shape:  # noqa: ARG002
        """Spatial shape *V* of the codes."""
        return self.dictionary.spatial_code_shape(self.signal_shape)

    def is_patch(self, signal_shape: Shape) -> bool:  # noqa: ARG002
        """False: the Gram matrix of a patch dictionary is not that of its measurements."""
        return False

    def __call__(self, z: Array, shape: Shape | None = None) -> Array:  # noqa: ARG002
        """Measure the signals of codes ``(N, K, *V)``: ``(N, m)``."""
        signals = self.reconstruct(z)
        return self._as_rows(self.operator.matmat(signals.reshape(len(signals), -1).T))

    def reconstruct(self, z: Array) -> Array:
        """The signals ``D z`` before the measurement, ``(N, C, *S)``."""
        return self.dictionary(z, self.signal_shape)

    def adjoint(self, y: Array) -> Array:
        """``D^T A^T y``: ``(N, K, *V)``."""
        y = self.check_signals("y", y)
        rows = self._as_rows(self.operator.rmatmat(y.T))
        return self.dictionary.adjoint(rows.reshape(len(y), -1, *self.signal_shape))

    def synthesis_matrix(self, signal_shape: Shape = ()) -> Array:  # noqa: ARG002
        """``A D`` as a dense matrix in float64, one row for each code."""
        signals = self.dictionary.synthesis_matrix(self.signal_shape).toarray()
        return np.ascontiguousarray(np.asarray(self.operator.matmat(signals.T)).T, "float64")

    def lipschitz(self, signal_shape: Shape | None = None) -> float:  # noqa: ARG002
        """``||A D||^2`` by the Lanczos method to 1e-3, plus two percent."""
        return self._norm_squared

    @cached_property
    def _norm_squared(self):
        double, m = self.as_double, self.operator.shape[0]

        def gram(y):
            return double(double.adjoint(y.reshape(1, -1))).ravel()

        start = np.random.default_rng(0).standard_normal(m)
        if m == 1:
            return NORM_MARGIN * float(gram(np.ones(1))[0])
        square = scipy.sparse.linalg.LinearOperator((m, m), gram, dtype="float64")
        options = {"tol": LANCZOS_TOL, "v0": start, "return_eigenvectors": False}
        top = scipy.sparse.linalg.eigsh(square, 1, **options)
        return NORM_MARGIN * float(top[0])

    @cached_property
    def as_double(self) -> "MeasuredDictionary":
        """The same in float64, for certificates."""
        if self.dtype == "float64":
            return self
        return MeasuredDictionary(self.dictionary.as_double, self.operator, self.signal_shape)

    def check_signals(self, name: str, y: Array) -> Array:
        """Return measurements ``(N, m)`` of the dictionary's precision, or raise an error."""
        y = check_floats(name, y)
        if y.ndim != 2 or y.shape[1] != self.operator.shape[0]:
            raise ValueError(
                f"{name} must be (N, m) with m = {self.operator.shape[0]} measurements, got "
                f"shape {y.shape}"
            )
        if y.dtype != self.dtype:
            raise TypeError(
                f"{name} is {y.dtype} but the atoms are {self.dtype}; use one precision"
            )
        return y

    def _as_rows(self, columns):
        return np.ascontiguousarray(np.asarray(columns).T, dtype=self.dtype)
