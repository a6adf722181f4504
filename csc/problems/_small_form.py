"""Signals with few codes: their dictionary is one matrix, as that of patches is."""

from math import prod
from typing import NamedTuple

import numpy as np
import scipy  # its modules load when first used

from csc._backend import kernels, namespace
from csc.operators import gram_of, matrix_and_gram
from csc.penalties import (
    L1,
    ElasticNet,
    GroupL21,
    L1Ball,
    SparseGroupL21,
    finite_lmbda,
    ridge_of,
)

KINDS = L1, ElasticNet, GroupL21, SparseGroupL21, L1Ball
MAX_SMALL_CODES = 1024  # of one signal: their Gram matrix has 8 MB
# Of the dense matrix where masks differ. It is mostly zeros, and active codes are faster where it is larger:
MAX_MASKED_ENTRIES = 2**18


class Products(NamedTuple):
    """What a `SmallForm` needs of some signals, in float64."""

    correlations: np.ndarray  # (N, V K)
    energies: np.ndarray  # (N,)
    seen: np.ndarray | None  # (N, n) observed samples, if masks differ


class SmallForm(NamedTuple):
    """A problem as products of all columns of its dictionary.

    Codes are ordered as in `SparseCodes`: position by position, and at each the atoms.
    """

    matrix: object  # (V K, n), sparse or dense: a row for each code; times the mask, if one for all
    gram: np.ndarray | None  # (V K, V K), its diagonal with the ridge; None if masks differ
    lmbda: np.ndarray  # (V K,)  lmbda w of each code

    def products(self, x, mask):
        """`Products` of signals."""
        x = x.reshape(len(x), -1).astype("float64")
        seen = None if mask is None else mask.reshape(len(x), -1) != 0
        x = x if mask is None else x * seen
        energies = np.einsum("ni,ni->n", x, x)
        if self.gram is not None:
            return Products(np.ascontiguousarray((self.matrix @ x.T).T), energies, None)
        correlations = np.empty((len(x), len(self.matrix)))
        kernels(x).correlate_patches(x, self.matrix, correlations)
        return Products(correlations, energies, seen)


def is_small(structure):
    """Whether a problem suits `small_form`: few codes, the same weights for all signals.

    Where masks differ, there must be no groups, and the dense matrix must be small, see `_suits_dense_matrix`.

    Parameters
    ----------
    structure : ProblemStructure
    """
    penalty = structure.penalty
    if namespace(structure.x) is not np or type(penalty) not in KINDS:
        return False
    if getattr(penalty, "groups", None) is not None:
        return False
    has_lmbda = penalty.lmbda > 0 or type(penalty) is L1Ball
    if prod(structure.code_shape[1:]) > MAX_SMALL_CODES or not has_lmbda:
        return False
    weights = getattr(penalty, "weights", None)
    if weights is not None and (not (weights > 0).all() or _differs(weights, structure)):
        return False
    return structure.has_one_mask or (
        type(penalty) in (L1, ElasticNet, L1Ball) and _suits_dense_matrix(structure)
    )


def _suits_dense_matrix(structure):
    """Whether atoms cover whole signals or are measured, so that the matrix is dense anyway, or it is small."""
    x, D = structure.x, structure.dictionary
    if not D.is_convolution or D.is_patch(x.shape[2:]):
        return True
    return prod(structure.code_shape[1:]) * x[0].size <= MAX_MASKED_ENTRIES


def _differs(weights, structure):
    """Whether weights are not the same for all signals."""
    return weights.ndim == len(structure.code_shape) and len(weights) > 1


def small_form(structure):
    """`SmallForm` of a problem for which `is_small` is true."""
    x, D, penalty, mask = structure.x, structure.dictionary, structure.penalty, structure.mask
    if mask is None:
        matrix, gram = matrix_and_gram(D, x.shape[2:])
    elif not structure.has_one_mask:
        matrix, gram = D.synthesis_matrix(x.shape[2:]), None
        matrix = matrix.toarray() if scipy.sparse.issparse(matrix) else matrix
        matrix = np.ascontiguousarray(matrix, "float64")
    else:
        seen = (mask[0].ravel() != 0).astype("float64")
        matrix = D.synthesis_matrix(x.shape[2:]) @ scipy.sparse.diags_array(seen)
        gram = gram_of(matrix)
    if gram is not None and (ridge := ridge_of(penalty)):
        gram = gram + ridge * np.eye(len(gram))
    weights = getattr(penalty, "weights", None)
    weights = np.ones(()) if weights is None else weights.astype("float64")
    weights = np.broadcast_to(weights, (1, *structure.code_shape[1:]))
    atoms = D.atoms if D.is_convolution else matrix
    lmbda = finite_lmbda(penalty.lmbda, weights, atoms, x)
    return SmallForm(matrix, gram, np.ascontiguousarray(np.moveaxis(lmbda, 1, -1)).ravel())
