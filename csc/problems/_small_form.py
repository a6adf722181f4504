"""Signals with few codes: their dictionary is one matrix, as that of patches is."""

from math import prod
from typing import NamedTuple

import numpy as np
import scipy  # its modules load when first used

from csc._backend import namespace
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


class SmallForm(NamedTuple):
    """A problem as products of all columns of its dictionary.

    Codes are ordered as in `SparseCodes`: position by position, and at each the atoms.
    """

    matrix: object  # (V K, n), sparse or dense: one row for each code, 0 where nothing was observed
    gram: np.ndarray  # (V K, V K)  of the rows, plus the ridge of an elastic net on its diagonal
    lmbda: np.ndarray  # (V K,)  lmbda w of each code

    def products(self, x, mask):
        """Correlations ``(N, V K)`` and energies ``(N,)`` of signals, in float64."""
        x = x.reshape(len(x), -1).astype("float64")
        x = x if mask is None else x * (mask.reshape(len(x), -1) != 0)
        correlations = np.ascontiguousarray((self.matrix @ x.T).T)
        return correlations, np.einsum("ni,ni->n", x, x)


def is_small(structure):
    """Whether a problem suits `small_form`: few codes, the same matrix and weights for all signals.

    Parameters
    ----------
    structure : ProblemStructure
    """
    penalty, n = structure.penalty, len(structure.x)
    if namespace(structure.x) is not np or type(penalty) not in KINDS:
        return False
    if getattr(penalty, "groups", None) is not None:
        return False
    has_lmbda = penalty.lmbda > 0 or type(penalty) is L1Ball
    if prod(structure.code_shape[1:]) > MAX_SMALL_CODES or not has_lmbda:
        return False
    weights, mask = getattr(penalty, "weights", None), structure.mask
    if weights is not None and (not (weights > 0).all() or _differs(weights, structure)):
        return False
    return mask is None or n == 1 or bool((mask == mask[:1]).all())


def _differs(weights, structure):
    """Whether weights are not the same for all signals."""
    return weights.ndim == len(structure.code_shape) and len(weights) > 1


def small_form(structure):
    """`SmallForm` of a problem for which `is_small` is true."""
    x, D, penalty, mask = structure.x, structure.dictionary, structure.penalty, structure.mask
    if mask is None:
        matrix, gram = matrix_and_gram(D, x.shape[2:])
    else:
        seen = (mask[0].ravel() != 0).astype("float64")
        matrix = D.synthesis_matrix(x.shape[2:]) @ scipy.sparse.diags_array(seen)
        gram = gram_of(matrix)
    if ridge := ridge_of(penalty):
        gram = gram + ridge * np.eye(len(gram))
    weights = getattr(penalty, "weights", None)
    weights = np.ones(()) if weights is None else weights.astype("float64")
    weights = np.broadcast_to(weights, (1, *structure.code_shape[1:]))
    atoms = D.atoms if D.is_convolution else matrix
    lmbda = finite_lmbda(penalty.lmbda, weights, atoms, x)
    return SmallForm(matrix, gram, np.ascontiguousarray(np.moveaxis(lmbda, 1, -1)).ravel())
