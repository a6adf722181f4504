"""The dictionary of small signals as one matrix."""

import numpy as np
import scipy  # its modules load when first used


def synthesis_matrix(dictionary, spatial_shape):
    """D of signals with given spatial shape, in float64 and sparse: ``D z`` is ``z @ matrix``.

    Parameters
    ----------
    dictionary : Dictionary
    spatial_shape : tuple
        *S*.

    Returns
    -------
    csr_array (prod(V) * K, C * prod(S))
        One row for each code: position by position, and at each the atoms, as in `SparseCodes`.

    Examples
    --------
    >>> import numpy as np, csc
    >>> from csc.operators import synthesis_matrix
    >>> synthesis_matrix(csc.Dictionary(np.array([[[1.0, 2.0]]])), (3,)).toarray()
    array([[1., 2., 0.],
           [0., 1., 2.]])
    """
    geometry, atoms = dictionary.geometry, dictionary.atoms
    k, c, *inner = np.nonzero(atoms)
    positions, axes = geometry.spatial_code_shape(spatial_shape), range(len(spatial_shape))
    corners = np.indices(positions).reshape(len(positions), -1)
    sample = [corners[a][:, None] * geometry.stride[a] - geometry.low[a] + inner[a] for a in axes]
    wraps = geometry.mode == "circular"
    inside = np.full(sample[0].shape, True)
    if not wraps:
        for u, n in zip(sample, spatial_shape, strict=True):
            inside &= (u >= 0) & (u < n)
    shape = atoms.shape[1], *spatial_shape
    sample = np.ravel_multi_index((c[None], *sample), shape, mode="wrap" if wraps else "clip")
    row = np.arange(corners.shape[1])[:, None] * len(atoms) + k
    values = np.broadcast_to(atoms[(k, c, *inner)].astype("float64"), inside.shape)
    shape = corners.shape[1] * len(atoms), int(np.prod(shape))
    return scipy.sparse.csr_array((values[inside], (row[inside], sample[inside])), shape=shape)


def matrix_and_gram(dictionary, spatial_shape):
    """`synthesis_matrix` and the Gram matrix of its rows, dense.

    The dictionary keeps the last ones, which a path of lambdas computes once. Do not change them.

    Parameters
    ----------
    dictionary : Dictionary or MeasuredDictionary
    spatial_shape : tuple
        *S*.
    """
    kept = dictionary.__dict__.get("_matrix_and_gram")  # looked at once: threads may replace it
    if kept is None or kept[0] != tuple(spatial_shape):
        matrix = dictionary.synthesis_matrix(spatial_shape)
        kept = tuple(spatial_shape), matrix, gram_of(matrix)
        object.__setattr__(dictionary, "_matrix_and_gram", kept)
    return kept[1:]


def gram_of(matrix):
    """Products of all pairs of rows, dense."""
    gram = matrix @ matrix.T
    return gram.toarray() if scipy.sparse.issparse(gram) else gram
