"""Coherence and local sparsity, measured.

Atoms are normalised here. Inner products of atoms are taken by correlation, never from a dense
Gram matrix, at the shifts that the stride allows.
"""

from math import prod, sqrt

import numpy as np
from scipy.ndimage import correlate, uniform_filter

from csc._typing import Array, Extents, Stride
from csc._validation import check_codes, check_count
from csc.operators import Dictionary


def correlations(dictionary: Dictionary) -> Array:
    """Inner products of unit-norm atoms at all shifts that the stride allows.

    Parameters
    ----------
    dictionary : Dictionary

    Returns
    -------
    array (K, K, *(2r - 1)), float64
        ``|<d_j, d_k shifted>|``, zero shift in the middle; ``r = ceil(s / t)``.

    Raises
    ------
    ValueError
        If an atom is zero: it has no direction.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.array([[[3.0, 4.0]]]))
    >>> csc.theory.correlations(D).ravel().round(2)
    array([0.48, 1.  , 0.48])
    """
    if not isinstance(dictionary, Dictionary):
        raise TypeError(
            f"dictionary must be a csc.Dictionary, got {type(dictionary).__name__}; of layers take "
            "effective()"
        )
    atoms = dictionary.as_double.atoms
    norms = np.sqrt((atoms**2).sum(axis=tuple(range(1, atoms.ndim)), keepdims=True))
    if not norms.all():
        raise ValueError(f"atom {int(norms.argmin())} is zero: it has no direction; remove it")
    unit = Dictionary(atoms / norms, "full", dictionary.stride)
    gram, strides = abs(unit.gram()), unit.geometry.stride
    middle = [s - 1 for s in unit.extents]
    shifts = [slice(m % t, None, t) for m, t in zip(middle, strides, strict=True)]
    return gram[(..., *shifts)]


def mutual_coherence(dictionary: Dictionary) -> float:
    """Largest inner product of two different columns of D, ``mu(D) = max |<d_i, d_j>|`` [1]_.

    Columns are unit-norm atoms at all positions.

    Parameters
    ----------
    dictionary : Dictionary

    Returns
    -------
    float
        In [0, 1].

    References
    ----------
    .. [1] D. Donoho, M. Elad, "Optimally sparse representation in general (nonorthogonal)
       dictionaries via l1 minimization", PNAS 100(5), 2003.

    Examples
    --------
    >>> import numpy as np, csc
    >>> round(csc.theory.mutual_coherence(csc.Dictionary(np.array([[[1.0, 1.0]]]))), 6)
    0.5
    """
    return float(shifted_coherence(dictionary).max())


def shifted_coherence(dictionary: Dictionary) -> Array:
    """Largest inner product of atoms at each shift, ``mu_s = max_{i,j} |<d_i, d_j at s>|`` [1]_.

    At zero shift only of different atoms. Shifts go from -(r - 1) to r - 1 on each axis, in steps
    of the stride.

    Parameters
    ----------
    dictionary : Dictionary

    Returns
    -------
    array (*(2r - 1)), float64

    References
    ----------
    .. [1] V. Papyan, J. Sulam, M. Elad, "Working locally thinking globally", IEEE TSP 65(21),
       2017.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.theory.shifted_coherence(csc.Dictionary(np.array([[[3.0, 4.0]]]))).round(2)
    array([0.48, 0.  , 0.48])
    """
    return _others(correlations(dictionary)).max(axis=(0, 1))


def babel(dictionary: Dictionary, k: int) -> float:
    """Babel function: most that any k columns of D add up to on another one [1]_.

    ``mu_1(k) = max_i max_{|J| = k} sum_{j in J} |<d_i, d_j>|``, at most ``k mu``.

    Parameters
    ----------
    dictionary : Dictionary
    k : int

    Returns
    -------
    float

    References
    ----------
    .. [1] J. Tropp, "Greed is good: algorithmic results for sparse approximation", IEEE Trans. Inf.
       Theory 50(10), 2004.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.array([[[1.0, 1.0]]]))
    >>> [round(csc.theory.babel(D, k), 6) for k in (1, 2, 3)]
    [0.5, 1.0, 1.0]
    """
    check_count("k", k)
    products = _others(correlations(dictionary))
    rows = np.sort(products.reshape(len(products), -1), axis=1)[:, ::-1]
    return float(rows[:, :k].sum(axis=1).max())


def welch_bound(n_atoms: int, extents: Extents, channels: int = 1, stride: Stride = 1) -> float:
    """Least mutual coherence that a convolutional dictionary can have [1]_.

    The Gram matrix of M unit-norm columns in a space of d dimensions has energy at least
    ``M^2 / d``. A convolutional dictionary on S samples has ``M = K S / T`` columns (T the product
    of the strides) in ``d = C S`` dimensions, and each meets only the ``K Q - 1`` others that
    overlap it, ``Q = prod(2 ceil(s / t) - 1)``; so

        mu^2 >= (K / (C T) - 1) / (K Q - 1).

    Parameters
    ----------
    n_atoms : int
    extents : tuple of ints
        Of the atoms.
    channels : int
    stride : int or tuple of ints

    Returns
    -------
    float
        0 where the columns may be orthogonal.

    References
    ----------
    .. [1] V. Papyan, J. Sulam, M. Elad, "Working locally thinking globally", IEEE TSP 65(21),
       2017 (one dimension, one channel, no stride).

    Examples
    --------
    >>> import csc
    >>> round(csc.theory.welch_bound(2, (64,)), 3)
    0.063
    """
    steps = tuple(stride) if isinstance(stride, tuple | list) else (stride,) * len(extents)
    reach = prod(2 * -(-s // t) - 1 for s, t in zip(extents, steps, strict=True))
    dual_infeasibility = n_atoms / (channels * prod(steps)) - 1
    return sqrt(max(dual_infeasibility, 0) / max(n_atoms * reach - 1, 1))


def stripe_norm(codes: Array, dictionary: Dictionary) -> Array:
    """``||z||_{0,inf}``: most non-zero codes whose atoms all touch one atom's place [1]_.

    A stripe holds the codes of all atoms at the positions less than ``ceil(s / t)`` away, those
    whose atoms overlap an atom in the middle.

    Parameters
    ----------
    codes : array (N, K, *V)
    dictionary : Dictionary

    Returns
    -------
    array (N,), int

    References
    ----------
    .. [1] V. Papyan, J. Sulam, M. Elad, "Working locally thinking globally", IEEE TSP 65(21),
       2017.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.ones((1, 1, 2)))
    >>> csc.theory.stripe_norm(np.array([[[1.0, 0, 2, 0, 0, 3]]]), D)
    array([2])
    """
    codes = check_codes("codes", codes)
    counts, sizes = _counts(codes, dictionary), [1]
    sizes += [2 * r - 1 for r in _reach(dictionary)]
    mode = "constant"
    if dictionary.mode == "circular":  # where the stripe is the whole circle, count it once
        sizes, mode = [min(pair) for pair in zip(sizes, counts.shape, strict=True)], "wrap"
    sums = uniform_filter(counts, sizes, mode=mode) * prod(sizes)
    return np.rint(sums).astype(int).reshape(len(codes), -1).max(axis=1)


def patch_norm(codes: Array, extents: Extents) -> Array:
    """``||z||^P_{0,inf}``: most non-zero codes, of all atoms, in a window [1]_.

    The window is the box of an atom of the next layer, at any place.

    Parameters
    ----------
    codes : array (N, K, *V)
    extents : tuple of ints
        Of the next layer's atoms.

    Returns
    -------
    array (N,), int

    References
    ----------
    .. [1] V. Papyan, Y. Romano, M. Elad, "Convolutional neural networks analyzed via convolutional
       sparse coding", JMLR 18, 2017.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.theory.patch_norm(np.array([[[1.0, 0, 2, 0, 0, 3]]]), (2,))
    array([1])
    """
    codes = check_codes("codes", codes)
    counts = (codes != 0).sum(axis=1).astype("float64")
    sums = uniform_filter(counts, [1, *extents], mode="constant") * prod(extents)
    return np.rint(sums).astype(int).reshape(len(codes), -1).max(axis=1)


def stripe_coherence(codes: Array, dictionary: Dictionary) -> Array:
    """``zeta_i = sum_s n_{i,s} mu_s``: coherence met by the codes that are there [1]_.

    n_{i,s} counts the non-zero codes s away from position i, mu_s is `shifted_coherence`.

    Parameters
    ----------
    codes : array (N, K, *V)
    dictionary : Dictionary

    Returns
    -------
    array (N, *V), float64
        At every position; OMP and basis pursuit succeed if all are below ``(1 + mu_0) / 2``.

    References
    ----------
    .. [1] V. Papyan, J. Sulam, M. Elad, "Working locally thinking globally", IEEE TSP 65(21),
       2017, sec. VI.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.array([[[3.0, 4.0]]]))
    >>> csc.theory.stripe_coherence(np.array([[[1.0, 0, 2, 0]]]), D).round(2)
    array([[0.  , 0.96, 0.  , 0.48]])
    """
    counts, mu = _counts(check_codes("codes", codes), dictionary), shifted_coherence(dictionary)
    mode = "wrap" if dictionary.mode == "circular" else "constant"
    return correlate(counts, mu[None], mode=mode)


def _counts(codes, dictionary):
    """How many codes are not zero at each position, ``(N, *V)``."""
    if codes.ndim != dictionary.atoms.ndim or codes.shape[1] != dictionary.n_atoms:
        raise ValueError(
            f"codes must be (N, K, *V) with K = {dictionary.n_atoms} and "
            f"{dictionary.atoms.ndim - 2} spatial axes, got shape {codes.shape}"
        )
    return (codes != 0).sum(axis=1).astype("float64")


def _reach(dictionary):
    """Positions from one atom to the first that does not overlap it, one number an axis."""
    axes = zip(dictionary.extents, dictionary.geometry.stride, strict=True)
    return [-(-s // t) for s, t in axes]


def _others(products):
    """Inner products with those of each atom with itself in place left out."""
    products = products.copy()
    middle = tuple(n // 2 for n in products.shape[2:])
    i = np.arange(len(products))
    products[(i, i, *middle)] = 0
    return products
