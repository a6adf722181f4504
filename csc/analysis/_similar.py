"""The most similar atoms of one dictionary, up to sign and shift."""

from typing import Any, NamedTuple

import numpy as np
from scipy import fft

from csc._backend import to_host
from csc._typing import Array
from csc._validation import check_atoms, check_count
from csc.analysis._matching import unit

MAX_CANDIDATES = 128  # of one atom
CANDIDATES_AT_ONCE = 32  # limits the memory


class SimilarAtoms(NamedTuple):
    """For each of K atoms the n most similar others, the most similar first.

    Attributes
    ----------
    indices : int array (K, n)
    cosines : array (K, n)
        Moduli of the cosines at the best shift, in [0, 1].

    Examples
    --------
    >>> import numpy as np, csc
    >>> atoms = np.array([[[1.0, 2.0, 0.0]], [[0.0, -1.0, -2.0]], [[0.0, 1.0, 0.0]]])
    >>> csc.analysis.similar_atoms(atoms, 1).indices.ravel()
    array([1, 0, 0])
    """

    indices: np.ndarray
    cosines: np.ndarray


def similar_atoms(atoms: Array | Any, n: int = 5) -> SimilarAtoms:
    """Find the most similar other atoms of every atom, up to sign and shift.

    The cosine of a pair is that of `match_dictionaries`, at the best sign and shift:

        c(j, k) = max_v |sum_l a_j[l] a_k[l - v]| / (||a_j|| ||a_k||)

    It is at most sum_f |A_j(f)| |A_k(f)|, with A the Fourier transforms of the atoms, of unit norm:
    pairs are evaluated in the order of this bound until it falls below the n-th best cosine, or
    until 128 of an atom are. So the result is exact for up to 129 atoms, and for more of them
    wherever the bound ends the search.

    Parameters
    ----------
    atoms : (K, C, *s) float32 or float64 array, or Dictionary
    n : int
        Others for each atom; K - 1 where there are fewer.

    Returns
    -------
    SimilarAtoms

    Raises
    ------
    TypeError
        If ``atoms`` is not a float array or ``n`` not an integer.
    ValueError
        If ``atoms`` has the wrong number of axes, contains NaN, or is all zero.

    Examples
    --------
    Two equal atoms, one shifted and of other sign, are similar at cosine 1:

    >>> import numpy as np, csc
    >>> atoms = np.array([[[1.0, 2.0, 0.0]], [[0.0, -1.0, -2.0]], [[0.0, 1.0, 0.0]]])
    >>> csc.analysis.similar_atoms(atoms, 2).cosines.round(3)
    array([[1.   , 0.894],
           [1.   , 0.894],
           [0.894, 0.894]])
    """
    atoms = to_host(check_atoms(getattr(atoms, "atoms", atoms)))
    n = min(check_count("n", n), len(atoms) - 1)
    spectra, weights, spatial_shape = _spectra(unit(atoms.astype(np.float64)))
    axes = tuple(range(1, len(spatial_shape) + 1))
    size = np.abs(spectra) * np.sqrt(weights)
    bounds = size.reshape(len(atoms), -1) @ size.reshape(len(atoms), -1).T
    np.fill_diagonal(bounds, -1)
    indices, cosines = np.zeros((len(atoms), n), int), np.zeros((len(atoms), n))
    for k, bound in enumerate(bounds):
        order = np.argsort(-bound, kind="stable")[:-1][:MAX_CANDIDATES]
        found = np.empty(0)
        for start in range(0, len(order), CANDIDATES_AT_ONCE):
            some = order[start : start + CANDIDATES_AT_ONCE]
            if len(found) >= n and bound[some[0]] <= np.partition(found, -n)[-n]:
                break
            products = (spectra[k].conj() * spectra[some]).sum(axis=1)
            at_shifts = fft.irfftn(products, s=spatial_shape, axes=axes)
            found = np.append(found, np.abs(at_shifts).max(axis=axes))
        best = np.argsort(-found, kind="stable")[:n]
        indices[k], cosines[k] = order[best], np.minimum(found[best], 1)
    return SimilarAtoms(indices, cosines)


def _spectra(atoms):
    """Fourier transforms of padded atoms, the weight of each frequency in a bound, and the spatial shape."""
    spatial_shape = tuple(fft.next_fast_len(2 * s - 1, real=True) for s in atoms.shape[2:])
    spectra = fft.rfftn(atoms, s=spatial_shape, axes=tuple(range(2, atoms.ndim)))
    weights = np.full(spectra.shape[-1], 2.0)  # a frequency and its negative
    weights[0] = 1  # the highest frequency may count twice: the bound stays one
    return spectra, weights / np.prod(spatial_shape), spatial_shape
