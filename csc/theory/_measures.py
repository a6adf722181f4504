"""Measures of coherence and local sparsity.

Atoms are normalised here. Their inner products are computed by correlation, without a dense Gram
matrix, at the shifts that the stride allows.
"""

from math import prod, sqrt

import numpy as np
import scipy  # its modules load when first used

from csc._typing import Array, Mode, Shape, Stride
from csc._validation import check_choice, check_codes, check_count, check_shape
from csc.operators import MODES, Dictionary


def correlations(dictionary: Dictionary) -> Array:
    """Inner products of unit-norm atoms at all shifts that the stride allows.

    Parameters
    ----------
    dictionary : Dictionary

    Returns
    -------
    array (K, K, *(2r - 1)), float64
        ``|<d_j, d_k shifted>|``, zero shift in the middle; ``r = ceil(s / t)`` for atoms of spatial
        shape s and stride t.

    Raises
    ------
    ValueError
        If an atom is zero.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.array([[[3.0, 4.0]]]))
    >>> csc.theory.correlations(D).ravel().round(2)
    array([0.48, 1.  , 0.48])
    """
    _check_dictionary(dictionary)
    atoms = dictionary.as_double.atoms
    axes = tuple(range(1, atoms.ndim))
    largest = abs(atoms).max(axis=axes, keepdims=True)
    if not largest.all():
        raise ValueError(
            f"atom {int(largest.argmin())} is zero, so it cannot have unit norm; remove it"
        )
    atoms = atoms / largest  # squares do not overflow
    norms = np.sqrt((atoms**2).sum(axis=axes, keepdims=True))
    unit = Dictionary(atoms / norms, "full", dictionary.stride)
    gram, strides = abs(unit.gram()), unit.geometry.stride
    middle = [s - 1 for s in unit.atom_shape]
    shifts = [slice(m % t, None, t) for m, t in zip(middle, strides, strict=True)]
    return gram[(..., *shifts)]


def mutual_coherence(dictionary: Dictionary) -> float:
    """Mutual coherence: the largest inner product of two columns of D, ``max |<d_i, d_j>|`` [1]_.

    The columns are the unit-norm atoms at all positions, whole: see the notes.

    Parameters
    ----------
    dictionary : Dictionary

    Returns
    -------
    float
        In [0, 1].

    Notes
    -----
    In the modes "valid" and "same", the border of a signal cuts atoms. Their parts may be more alike,
    up to a coherence of 1, and the theorems say nothing about codes at these positions. In the
    mode "circular", signals must have at least 2 s - 1 samples per axis, for atoms of s samples: in
    shorter ones two atoms overlap on both sides.

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
    """Largest inner product of atoms at each shift s, ``mu_s = max_{i,j} |<d_i, d_j at s>|``.

    At zero shift only different atoms are compared. Shifts go from -(r - 1) to r - 1 on each axis,
    in steps of the stride. See Papyan et al. 2017a.

    Parameters
    ----------
    dictionary : Dictionary

    Returns
    -------
    array (*(2r - 1)), float64

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.theory.shifted_coherence(csc.Dictionary(np.array([[[3.0, 4.0]]]))).round(2)
    array([0.48, 0.  , 0.48])
    """
    return _others(correlations(dictionary)).max(axis=(0, 1))


def babel(dictionary: Dictionary, k: int) -> float:
    """Babel function: the largest sum of inner products of one column of D with k others [1]_.

    ``mu_1(k) = max_i max_{|J| = k} sum_{j in J} |<d_i, d_j>|``, at most ``k mu``.

    Parameters
    ----------
    dictionary : Dictionary
    k : int
        Number of other columns.

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


def welch_bound(n_atoms: int, atom_shape: Shape, channels: int = 1, stride: Stride = 1) -> float:
    """Welch bound: the smallest mutual coherence that a convolutional dictionary can have.

    The Gram matrix of M unit-norm columns in a space of d dimensions has energy at least
    ``M^2 / d``. A convolutional dictionary on S samples has ``M = K S / T`` columns (T the product
    of the strides) in ``d = C S`` dimensions. Each column overlaps only ``K Q - 1`` others, with
    ``Q = prod(2 ceil(s / t) - 1)``. Therefore

        mu^2 >= (K / (C T) - 1) / (K Q - 1).

    Papyan et al. 2017a give the case of one dimension, one channel and no stride.

    Parameters
    ----------
    n_atoms : int
    atom_shape : tuple of ints
        Spatial shape of the atoms.
    channels : int
    stride : int or tuple of ints

    Returns
    -------
    float
        0 if the columns can be orthogonal.

    Examples
    --------
    >>> import csc
    >>> round(csc.theory.welch_bound(2, (64,)), 3)
    0.063
    """
    atom_shape = check_shape("atom_shape", atom_shape)
    strides = stride if isinstance(stride, tuple | list) else (stride,) * len(atom_shape)
    strides = check_shape("stride", strides, len(atom_shape))
    check_count("n_atoms", n_atoms)
    check_count("channels", channels)
    n_shifts = prod(2 * -(-s // t) - 1 for s, t in zip(atom_shape, strides, strict=True))
    redundancy = n_atoms / (channels * prod(strides))
    return sqrt(max(redundancy - 1, 0) / max(n_atoms * n_shifts - 1, 1))


def stripe_norm(codes: Array, dictionary: Dictionary) -> Array:
    """Stripe norm ``||z||_{0,inf}``: the largest number of non-zero codes in a stripe.

    The stripe of a position holds the codes of all atoms at the positions less than ``ceil(s / t)``
    away: those whose atoms overlap an atom at this position. See Papyan et al. 2017a.

    Parameters
    ----------
    codes : array (N, K, *V)
    dictionary : Dictionary

    Returns
    -------
    array (N,), int

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.ones((1, 1, 2)))
    >>> csc.theory.stripe_norm(np.array([[[1.0, 0, 2, 0, 0, 3]]]), D)
    array([2])
    """
    _check_dictionary(dictionary)
    codes = check_codes("codes", codes)
    counts, sizes = _counts(codes, dictionary), [2 * r - 1 for r in _overlap_radius(dictionary)]
    return np.rint(window_sums(counts, sizes, dictionary.mode)).astype(int).max(axis=1)


def patch_norm(codes: Array, atom_shape: Shape, mode: Mode = "full") -> Array:
    """Patch norm ``||z||^P_{0,inf}``: the largest number of non-zero codes in a window.

    The window has the size of an atom of the next layer. See Papyan et al. 2017b.

    Parameters
    ----------
    codes : array (N, K, *V)
    atom_shape : tuple of ints
        Spatial shape of the atoms of the next layer.
    mode : {"full", "valid", "same", "circular"}
        Of the next layer; in the mode "circular" windows wrap around.

    Returns
    -------
    array (N,), int

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.theory.patch_norm(np.array([[[1.0, 0, 2, 0, 0, 3]]]), (2,))
    array([1])
    """
    codes = check_codes("codes", codes)
    counts = (codes != 0).sum(axis=1).astype("float64")
    return np.rint(window_sums(counts, atom_shape, mode)).astype(int).max(axis=1)


def stripe_coherence(codes: Array, dictionary: Dictionary) -> Array:
    """Stripe coherence ``zeta_i = sum_s n_{i,s} mu_s`` of codes at every position i.

    n_{i,s} is the number of non-zero codes at shift s from position i, mu_s is
    `shifted_coherence`. See Papyan et al. 2017a, section VI.

    Parameters
    ----------
    codes : array (N, K, *V)
    dictionary : Dictionary

    Returns
    -------
    array (N, *V), float64
        OMP and basis pursuit succeed if all values are below ``(1 + mu_0) / 2``.

    Examples
    --------
    >>> import numpy as np, csc
    >>> D = csc.Dictionary(np.array([[[3.0, 4.0]]]))
    >>> csc.theory.stripe_coherence(np.array([[[1.0, 0, 2, 0]]]), D).round(2)
    array([[0.  , 0.96, 0.  , 0.48]])
    """
    _check_dictionary(dictionary)
    counts, mu = _counts(check_codes("codes", codes), dictionary), shifted_coherence(dictionary)
    mode = "wrap" if dictionary.mode == "circular" else "constant"
    return scipy.ndimage.correlate(counts, mu[None], mode=mode)


def window_sums(values, window, mode):
    """Sums ``(N, n)`` of ``values`` ``(N, *V)`` over a window at all positions.

    Beyond the border values are 0, or in the mode "circular" those of the opposite side; there a window
    is at most the whole signal.
    """
    check_choice("mode", mode, MODES)
    sizes = check_shape("atom_shape", window, values.ndim - 1)
    circular = mode == "circular"
    if circular:
        sizes = [min(pair) for pair in zip(sizes, values.shape[1:], strict=True)]
    border = "wrap" if circular else "constant"
    means = scipy.ndimage.uniform_filter(values, [1, *sizes], mode=border)
    return (means * prod(sizes)).reshape(len(values), -1)


def _check_dictionary(dictionary):
    if not isinstance(dictionary, Dictionary):
        raise TypeError(
            f"dictionary must be a csc.Dictionary, got {type(dictionary).__name__}; for layers "
            "use effective()"
        )


def _counts(codes, dictionary):
    """Number of non-zero codes at each position, ``(N, *V)``."""
    if codes.ndim != dictionary.atoms.ndim or codes.shape[1] != dictionary.n_atoms:
        raise ValueError(
            f"codes must be (N, K, *V) with K = {dictionary.n_atoms} and "
            f"{dictionary.atoms.ndim - 2} spatial axes, got shape {codes.shape}"
        )
    return (codes != 0).sum(axis=1).astype("float64")


def _overlap_radius(dictionary):
    """Shift, in positions per axis, from which two atoms do not overlap."""
    axes = zip(dictionary.atom_shape, dictionary.geometry.stride, strict=True)
    return [-(-s // t) for s, t in axes]


def _others(products):
    """Inner products, with those of each atom with itself at zero shift set to 0."""
    products = products.copy()
    middle = tuple(n // 2 for n in products.shape[2:])
    i = np.arange(len(products))
    products[(i, i, *middle)] = 0
    return products
