"""Product dictionaries: every atom of one channel times every vector over the channels."""

from collections.abc import Sequence

from csc._backend import check_same_device, namespace
from csc._typing import Array, Mode, Stride
from csc._validation import check_atoms, check_count, check_floats, check_real
from csc.operators._dictionary import Dictionary


def product_dictionary(
    atoms: Array | Sequence[Array], vectors: Array, mode: Mode = "full", stride: Stride = 1
) -> Dictionary:
    """Dictionary of all products of grey atoms and colours, ``d[k, j, c] = a[k] b[j, c]`` [1]_.

    Atom ``k J + j`` is the grey atom k in the colour j. A colour may also be a spectrum or a topography:
    any vector over the channels, such as principal components of the pixels. Sparse codes then say
    which shapes occur in which colours: `codes_of_products`. With ``csc.SparseGroupL21(lmbda, J)``
    the colours of a shape at one position are a group.

    The K J atoms are an ordinary `csc.Dictionary`. A solve takes as long as with as many other atoms.

    Parameters
    ----------
    atoms : array (K, 1, *s), float32 or float64, or a list of such arrays
    vectors : array (J, C), of the same dtype
        Colours, one per row.
    mode, stride
        As of `csc.Dictionary`.

    Returns
    -------
    Dictionary
        K J atoms of C channels.

    Raises
    ------
    TypeError, ValueError
        If shapes, precisions or devices do not agree.

    References
    ----------
    .. [1] C. Garcia-Cardona, B. Wohlberg, "Convolutional dictionary learning for multi-channel
       signals", Asilomar Conference on Signals, Systems, and Computers, 2018.

    Examples
    --------
    >>> import numpy as np, csc
    >>> colours = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0]])  # grey, and red against green
    >>> D = csc.operators.product_dictionary(np.ones((5, 1, 4, 4)), colours)
    >>> D.atoms.shape
    (10, 3, 4, 4)
    """
    vectors = check_floats("vectors", vectors)
    if vectors.ndim != 2:
        raise ValueError(f"vectors must be (J, C), one per row, got shape {vectors.shape}")
    if isinstance(atoms, list | tuple):
        return Dictionary([_products(one, vectors) for one in atoms], mode, stride)
    return Dictionary(_products(atoms, vectors), mode, stride)


def _products(atoms, vectors):
    """Products ``(K J, C, *s)``."""
    atoms = check_atoms(atoms)
    check_same_device(atoms=atoms, vectors=vectors)
    if atoms.shape[1] != 1:
        raise ValueError(f"atoms must have one channel, (K, 1, *s), got shape {atoms.shape}")
    if atoms.dtype != vectors.dtype:
        raise TypeError(
            f"atoms are {atoms.dtype} but vectors are {vectors.dtype}; use one precision, for "
            "example vectors.astype(atoms.dtype)"
        )
    products = namespace(atoms).einsum("k...,jc->kjc...", atoms[:, 0], vectors)
    return products.reshape(-1, *products.shape[2:])


def codes_of_products(z: Array, n_vectors: int) -> Array:
    """Codes of a `product_dictionary`, one axis for the atoms and one for the vectors.

    Parameters
    ----------
    z : array (N, K J, *V)
    n_vectors : int
        J.

    Returns
    -------
    array (N, K, J, *V)
        A view if possible.

    Raises
    ------
    ValueError
        If ``n_vectors`` does not divide the number of atoms.

    Examples
    --------
    >>> import numpy as np, csc
    >>> csc.operators.codes_of_products(np.zeros((2, 10, 7, 7)), 2).shape
    (2, 5, 2, 7, 7)
    """
    z, n_vectors = check_real("z", z), check_count("n_vectors", n_vectors)
    if z.ndim < 3 or z.shape[1] % n_vectors:
        raise ValueError(
            f"z must be (N, K * {n_vectors}, *V), the codes of a product_dictionary with n_vectors = "
            f"{n_vectors}, got shape {z.shape}"
        )
    n, _, *spatial = z.shape
    return z.reshape(n, -1, n_vectors, *spatial)
