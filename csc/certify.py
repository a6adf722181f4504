"""Certificates of optimality: they see arrays and dictionaries, never a solver.

All are computed in float64 whatever the precision of the codes, so that a float32 solution
is judged by the problem and not by its rounding.
"""

from math import inf

from csc._device import namespace

BLOCK = 2**17  # codes certified at once: as float64 they stay in the second-level cache


def lasso_gap(x, dictionary, z, penalty, mask=None):
    """Duality gap of the lasso ``1/2 ||M (x - D z)||^2 + lmbda sum(w |z|)`` at codes ``z``.

    With the residual ``r = M (x - D z)`` of each signal shrunk to dual feasibility,

        theta = r / max(1, max_k |D^T r|_k / (lmbda w_k)),
        gap = 1/2 ||r||^2 + lmbda sum(w |z|) - 1/2 ||M x||^2 + 1/2 ||M x - theta||^2,

    which bounds the excess of the objective over its minimum [1]_. For non-negative codes
    the maximum runs over ``D^T r`` without the modulus.

    Parameters
    ----------
    x : array (N, C, *S)
        Signals.
    dictionary : Dictionary
    z : array (N, K, *V)
        Codes.
    penalty : L1
    mask : array, optional
        1 where ``x`` was observed, broadcastable to ``x``.

    Returns
    -------
    gap : array (N,), float64
        One gap a signal, in units of the objective; their sum certifies the batch.

    References
    ----------
    .. [1] S.-J. Kim et al., "An interior-point method for large-scale l1-regularized least
       squares", IEEE J. Sel. Topics Signal Process. 1(4), 2007.

    Examples
    --------
    >>> import numpy as np, csc
    >>> from csc.certify import lasso_gap
    >>> x, D = np.array([[[3.0, 1.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> z = np.array([[[2.0], [0.0]]])  # soft-thresholded: optimal
    >>> lasso_gap(x, D, z, csc.L1(1.0))
    array([0.])
    """
    return lasso_certificate(x, dictionary, z, penalty, mask)[1]


def lasso_certificate(x, dictionary, z, penalty, mask=None):
    """Objective and duality gap of each signal, ``(N,)`` each: `lasso_gap` with its primal."""
    weights = penalty.weights
    if mask is not None or (weights is not None and weights.ndim == z.ndim):
        return _certify(x, dictionary, z, penalty, mask)
    size = max(1, BLOCK // z[0].size)
    blocks = [slice(i, i + size) for i in range(0, len(z), size)]
    parts = [_certify(x[b], dictionary, z[b], penalty, None) for b in blocks]
    return tuple(namespace(z).concatenate(column) for column in zip(*parts, strict=True))


def _certify(x, dictionary, z, penalty, mask):
    D, x, z = dictionary.as_double, x.astype("float64"), z.astype("float64")
    r = _masked(x - D(z), mask)
    q = D.adjoint(r)
    shrink = 1 / namespace(z).maximum(_excess(q, penalty), 1)
    half_energy, cost = 0.5 * _inner(r, r), penalty.values(z)
    # <M x, r> = ||r||^2 + <z, D^T r> turns the gap into a sum without cancellation
    gap = half_energy * (1 - shrink) ** 2 + cost - shrink * _inner(z, q)
    return half_energy + cost, namespace(z).maximum(gap, 0)  # below 0 only by rounding


def kkt_violation(x, dictionary, z, penalty, mask=None):
    """Largest distance from ``D^T r`` to ``lmbda w`` times the subdifferential of ``|z|``.

    Zero exactly at a minimiser; in the units of ``lmbda``. Parameters as in `lasso_gap`.

    Returns
    -------
    violation : array (N,), float64

    Examples
    --------
    >>> import numpy as np, csc
    >>> from csc.certify import kkt_violation
    >>> x, D = np.array([[[3.0, 1.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> kkt_violation(x, D, np.array([[[2.5], [0.0]]]), csc.L1(1.0))
    array([0.5])
    """
    if penalty.positive and (z < 0).any():
        return namespace(z).full(len(z), inf)
    xp, D = namespace(z), dictionary.as_double
    x, z = x.astype("float64"), z.astype("float64")
    q = D.adjoint(_masked(x - D(z), mask))
    price = _prices(penalty, z)
    at_zero = xp.maximum((q if penalty.positive else abs(q)) - price, 0)
    return xp.where(z == 0, at_zero, abs(q - price * xp.sign(z))).reshape(len(z), -1).max(axis=1)


def _masked(a, mask):
    # where, not a product: NaN outside the mask is allowed and means nothing
    return a if mask is None else namespace(a).where(mask != 0, a, 0)


def _prices(penalty, z):
    weights = 1.0 if penalty.weights is None else penalty.weights.astype("float64")
    return namespace(z).broadcast_to(float(penalty.lmbda) * weights, z.shape)


def _excess(q, penalty):
    """Largest correlation over its price, signal by signal: above 1 it breaks feasibility."""
    xp = namespace(q)
    if penalty.weights is None and penalty.lmbda > 0:
        return _largest(q, penalty.positive) / float(penalty.lmbda)
    price = _prices(penalty, q)
    free = price == 0  # an unpenalised code must be orthogonal to the residual: only 0 is sure
    forbidden = xp.where(q > 0, inf, xp.where(q < 0, -inf, 0))
    ratio = xp.where(free, forbidden, q / xp.where(free, 1, price))
    return _largest(ratio, penalty.positive)


def _largest(q, positive):
    rows = q.reshape(len(q), -1)
    top = rows.max(axis=1)
    return top if positive else namespace(q).maximum(top, -rows.min(axis=1))


def _inner(a, b):
    return namespace(a).einsum("ni,ni->n", a.reshape(len(a), -1), b.reshape(len(b), -1))
