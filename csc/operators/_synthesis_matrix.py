"""The dictionary of small signals as one matrix."""

import numpy as np
from scipy.sparse import csr_array


def synthesis_matrix(dictionary, extents):
    """D of signals with given extents, in float64 and sparse: ``D z`` is ``z @ matrix``.

    Parameters
    ----------
    dictionary : Dictionary
    extents : tuple
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
    positions, axes = geometry.code_extents(extents), range(len(extents))
    corners = np.indices(positions).reshape(len(positions), -1)
    sample = [corners[a][:, None] * geometry.stride[a] - geometry.low[a] + inner[a] for a in axes]
    wraps = geometry.mode == "circular"
    inside = np.full(sample[0].shape, True)
    if not wraps:
        for u, n in zip(sample, extents, strict=True):
            inside &= (u >= 0) & (u < n)
    shape = atoms.shape[1], *extents
    sample = np.ravel_multi_index((c[None], *sample), shape, mode="wrap" if wraps else "clip")
    row = np.arange(corners.shape[1])[:, None] * len(atoms) + k
    values = np.broadcast_to(atoms[(k, c, *inner)].astype("float64"), inside.shape)
    shape = corners.shape[1] * len(atoms), int(np.prod(shape))
    return csr_array((values[inside], (row[inside], sample[inside])), shape=shape)
