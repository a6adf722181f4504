"""What kind of problem it is: answers that solvers and certificates need, each computed once."""

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import NamedTuple

import numpy as np

from csc._backend import kernels, namespace
from csc._typing import Array, DataTerm, Penalty, Shape
from csc.data_terms import LEAST_SQUARES, is_plain, observed_weights
from csc.operators import CirculantGram, Dictionary, MeasuredDictionary
from csc.penalties import (
    L1,
    ElasticNet,
    GroupL21,
    L1Ball,
    SparseGroupL21,
    atom_weights,
    finite_lmbda,
)
from csc.problems._small_form import SmallForm, is_small, small_form


class GramForm(NamedTuple):
    """A patch problem as products of atoms and signals: solvers need no more."""

    gram: np.ndarray  # (K, K)  D^T D
    correlations: np.ndarray  # (N, K)  D^T x
    energies: np.ndarray  # (N,)  ||x||^2


@dataclass(frozen=True, eq=False)
class ProblemStructure:
    """Structure of a `Problem`, which decides what solvers suit it.

    It holds the arrays of the problem and not the problem itself: without a cycle of references,
    their memory is free as soon as the problem is.

    Parameters
    ----------
    x, dictionary, penalty, mask, code_shape, data_term
        Of the problem.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.eye(2)[:, None])
    >>> problem = csc.Problem(np.array([[[3.0, 1.0]]]), D, csc.L1(1.0))
    >>> problem.structure.is_patch, problem.structure.atom_lmbda
    (True, array([1., 1.]))
    """

    x: Array
    dictionary: Dictionary | MeasuredDictionary
    penalty: Penalty
    mask: Array | None
    code_shape: Shape
    data_term: DataTerm = LEAST_SQUARES

    @property
    def is_least_squares(self) -> bool:
        """Whether the data term is least squares without weights."""
        return is_plain(self.data_term)

    @cached_property
    def sample_weights(self) -> Array | None:
        """Weights of the data term times the mask, of the shape of ``x``; None if all are 1."""
        return observed_weights(self.data_term, self.x, self.mask)

    @property
    def is_patch(self) -> bool:
        """Whether atoms have one position, signals are seen whole, and the data term is plain."""
        whole = self.mask is None and self.is_least_squares
        return whole and self.dictionary.is_patch(self.x.shape[2:])

    @property
    def is_masked_patch(self) -> bool:
        """Whether the atoms have one position, and a mask says what was seen of the signals."""
        masked = self.mask is not None and self.is_least_squares
        return masked and self.dictionary.is_patch(self.x.shape[2:])

    @cached_property
    def gram_form(self) -> GramForm:
        """Gram matrix, correlations and energies of a patch problem."""
        return self._gram_form(self.x, self.dictionary)

    @cached_property
    def gram_form_double(self) -> GramForm:
        """`gram_form` in float64: coherent atoms lose digits that float32 does not have."""
        if self.x.dtype == "float64":
            return self.gram_form
        return self._gram_form(self.x.astype("float64"), self.dictionary.as_double)

    def _gram_form(self, x, D):
        energies, rows = namespace(x).empty(len(x)), x.reshape(len(x), -1)
        self.kernels.inner_products(rows, rows, energies)
        correlations = namespace(x).ascontiguousarray(D.adjoint(x).reshape(len(x), -1))
        return GramForm(D.patch_gram, correlations, energies)

    @cached_property
    def has_one_mask(self) -> bool:
        """Whether all signals were observed at the same samples."""
        mask = self.mask
        return mask is None or len(mask) == 1 or bool((mask == mask[:1]).all())

    @cached_property
    def is_small(self) -> bool:
        """Whether signals have so few codes that they are coded as patches; see `SmallForm`.

        Elastic nets of patches, too: as lassos, with the ridge in the Gram matrix.
        """
        is_patch = self.is_patch and type(self.penalty) is not ElasticNet
        return self.is_least_squares and not is_patch and is_small(self)

    @cached_property
    def small_form(self) -> SmallForm:
        """All columns of the dictionary and their Gram matrix, if `is_small`."""
        return small_form(self)

    @cached_property
    def atom_lmbda(self) -> Array | None:
        """``lmbda w`` of each atom ``(K,)``, or None where weights differ between places.

        For a weight of inf it is a number that no correlation reaches.
        """
        if type(self.penalty) not in (L1, ElasticNet):
            return None
        weights = atom_weights(self.penalty.weights, self.code_shape, self.x)
        if weights is None:
            return None
        if self.penalty.weights is None:
            return weights.dtype.type(self.penalty.lmbda) * weights
        return finite_lmbda(self.penalty.lmbda, weights, self.dictionary.atoms, self.x)

    @cached_property
    def patch_lmbda(self) -> Array | None:
        """``lmbda w`` of a lasso on patches: ``(K,)``, or ``(N, K)`` where weights differ between signals.

        None for other penalties, and on a GPU where they differ.
        """
        if type(self.penalty) is not L1:
            return None
        if self.atom_lmbda is not None or not self.on_host:
            return self.atom_lmbda
        weights = np.broadcast_to(self.penalty.weights, self.code_shape).astype(self.x.dtype)
        weights = weights.reshape(self.code_shape[:2])
        return finite_lmbda(self.penalty.lmbda, weights, self.dictionary.atoms, self.x)

    @cached_property
    def code_lmbda(self) -> Array | None:
        """`atom_lmbda`, or ``lmbda w`` as an array that broadcasts to the codes of signals.

        None for other penalties than L1, and for patches whose weights differ between signals.
        """
        if self.atom_lmbda is not None or type(self.penalty) is not L1 or self.is_patch:
            return self.atom_lmbda
        weights = self.penalty.weights.astype(self.x.dtype)
        weights = weights.reshape((1,) * (len(self.code_shape) - weights.ndim) + weights.shape)
        return finite_lmbda(self.penalty.lmbda, weights, self.dictionary.atoms, self.x)

    @property
    def kernels(self) -> ModuleType:
        """Kernels of the device that holds the signals; not all devices have all."""
        return kernels(self.x)

    @property
    def on_host(self) -> bool:
        """Whether arrays are NumPy's: some pursuits run on the CPU only."""
        return namespace(self.x) is np

    @cached_property
    def has_soft_threshold(self) -> bool:
        """Whether the prox is a soft threshold per atom, times a factor."""
        if type(self.penalty) not in (L1, ElasticNet) or not self.dictionary.is_convolution:
            return False
        return self.atom_lmbda is not None

    @property
    def has_spectra(self) -> bool:
        """Whether D is a product at every frequency: it wraps around and every sample is seen."""
        D = self.dictionary
        whole = self.on_host and self.mask is None and self.is_least_squares
        return whole and D.mode == "circular" and D.geometry.is_dense

    def solve_ridge(self, v: Array, rho: float) -> Array:
        """argmin over z  ``1/2 ||x - D z||^2 + rho / 2 ||z - v||^2``, if `has_spectra`."""
        rho = self.x.dtype.type(rho)
        return self._spectra.solve(self._correlations + rho * v, rho)

    @cached_property
    def _spectra(self):
        return CirculantGram.of(self.dictionary.atoms, self.x.shape[2:])

    @cached_property
    def _correlations(self):
        return self.dictionary.adjoint(self.x)

    @property
    def sees_whole_atoms(self) -> bool:
        """Whether no border cuts an atom and no sample is missing."""
        whole = self.dictionary.mode in {"full", "circular"}
        return whole and self.mask is None and self.on_host and self.is_least_squares

    @cached_property
    def has_local_dual(self) -> bool:
        """Whether dual points may be rescaled sample by sample: a lasso with lambdas > 0."""
        if type(self.penalty) is not L1 or not self.dictionary.is_convolution or not self.on_host:
            return False
        return self.code_lmbda is not None and bool((self.code_lmbda > 0).all())

    @property
    def has_group_dual(self) -> bool:
        """Whether it has groups or an l1 ball, whose gap is computed from sparse codes.

        On signals for which `is_small` is false.
        """
        penalty, kinds = self.penalty, (GroupL21, SparseGroupL21, L1Ball)
        if type(penalty) not in kinds or getattr(penalty, "groups", None) is not None:
            return False
        signals = self.on_host and self.dictionary.is_convolution and not self.is_patch
        if not signals or not self.is_least_squares:
            return False
        return (type(penalty) is L1Ball or penalty.lmbda > 0) and not self.is_small

    @property
    def certifies_sparse_codes(self) -> bool:
        """Whether the objective and the gap of sparse codes are computed without dense ones."""
        if self.is_patch or not self.on_host or not self.dictionary.is_convolution:
            return False
        if type(self.penalty) is ElasticNet:
            return self.penalty.lmbda > 0
        return self.has_local_dual or self.has_group_dual or not self.penalty.convex

    @cached_property
    def has_positive_lmbda(self) -> bool:
        """Whether the problem is a lasso with a lambda > 0 for every atom."""
        if type(self.penalty) is not L1 or not self.dictionary.is_convolution:
            return False
        return self.atom_lmbda is not None and bool((self.atom_lmbda > 0).all())
