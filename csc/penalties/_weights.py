"""Weights of an `L1` or `ElasticNet` penalty: one lambda per atom, where there is one; the ridge."""

from csc._backend import namespace

FORBIDDEN_LMBDA_FACTOR = 1e3  # times the largest possible correlation, for weights of inf


def ridge_of(penalty):
    """Weight of ``z^2 / 2`` in a penalty: 0 except for `ElasticNet`."""
    return float(penalty.lmbda) * float(getattr(penalty, "ridge", 0.0))


def atom_weights(weights, code_shape, like):
    """Weights that NumPy broadcasts to codes ``(N, K, *V)`` as one per atom, ``(K,)``.

    Parameters
    ----------
    weights : array or None
        None means ones.
    code_shape : tuple
    like : array
        Of the precision, and on the device, of the result.

    Returns
    -------
    array (K,), or None where weights differ between signals or places
    """
    xp, out = namespace(like), namespace(like).ones(code_shape[1], like.dtype)
    if weights is None:
        return out
    shape = (1,) * (len(code_shape) - weights.ndim) + weights.shape
    if any(n > 1 for axis, n in enumerate(shape) if axis != 1):
        return None
    return xp.multiply(out, weights.ravel(), out=out)


def finite_lmbda(lmbda, weights, atoms, x):
    """``lmbda w`` of each atom ``(K,)``; for inf a number that no correlation reaches."""
    xp, lmbda = namespace(weights), weights.dtype.type(lmbda)
    forbidden = xp.isinf(weights)
    if not forbidden.any():
        return lmbda * weights
    weighted_lmbda = lmbda * xp.where(forbidden, 0, weights)
    largest = _largest_norm(atoms) * _largest_norm(x)
    return xp.where(
        forbidden,
        max(FORBIDDEN_LMBDA_FACTOR * largest, weighted_lmbda.max(), 1e-30),
        weighted_lmbda,
    )


def _largest_norm(a):
    """Largest Euclidean norm of the items of an array."""
    return namespace(a).linalg.norm(a.reshape(len(a), -1), axis=1).max()
