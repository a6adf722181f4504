"""Certificates of optimality: functions of arrays, a dictionary and a penalty.

All are computed in float64 whatever the precision of the codes, so that a float32 solution
is judged by the problem and not by its rounding.
"""

from typing import Any

import numpy as np

from csc._backend import namespace, to_device
from csc._typing import Array
from csc._validation import check_mask, check_real, split_missing
from csc.certificates._elastic_net import SMALL_RIDGE
from csc.certificates._free_codes import (
    MAX_CERTIFICATE_STEPS,
    dual_with_free_codes,
    residual_of_free_codes,
)
from csc.penalties import ElasticNet, GroupL21, L1Ball

CODES_PER_BLOCK = 2**17  # certified at once: as float64 they stay in the second-level cache
CODES_ROUNDING = 1e-6  # of the largest correlation with the signals: that of codes in float32
RELATIVE_ROUNDING = 1e-10  # of the largest correlation with the signals: below, rounding


def duality_gap(
    x: Array, dictionary: Any, z: Array, penalty: Any, mask: Array | None = None
) -> Array:
    """Duality gap of ``1/2 ||M (x - D z)||^2 + g(z)`` at codes ``z``, for a convex penalty g.

    With the residual ``r = M (x - D z)`` of each signal and ``theta = s r``, where s <= 1 is the
    largest factor that brings ``s D^T r`` into the domain of the conjugate ``g*`` (where codes
    have no penalty, r is first made orthogonal to their atoms),

        gap = 1/2 ||r||^2 + g(z) - (<M x, theta> - 1/2 ||theta||^2 - g*(D^T theta)),

    which bounds the excess of the objective over its minimum (Fenchel duality; for the lasso
    [1]_).

    Parameters
    ----------
    x : array (N, C, *S)
        Signals.
    dictionary : Dictionary
    z : array (N, K, *V)
        Codes.
    penalty : L1, ElasticNet or GroupL21
    mask : array, optional
        1 where ``x`` was observed, broadcastable to ``x``.

    Returns
    -------
    gap : array (N,), float64
        Gap of each signal, in units of the objective; their sum certifies the batch.

    References
    ----------
    .. [1] S.-J. Kim et al., "An interior-point method for large-scale l1-regularized least
       squares", IEEE J. Sel. Topics Signal Process. 1(4), 2007.

    Examples
    --------
    >>> import numpy as np, csc
    >>> from csc.certificates import duality_gap
    >>> x, D = np.array([[[3.0, 1.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> z = np.array([[[2.0], [0.0]]])  # soft-thresholded: optimal
    >>> duality_gap(x, D, z, csc.L1(1.0))
    array([0.])
    """
    return certificate(x, dictionary, z, penalty, mask)[1]


def certificate(
    x: Array, dictionary: Any, z: Array, penalty: Any, mask: Array | None = None
) -> tuple[Array, Array]:
    """Objective and duality gap of each signal, ``(N,)`` each: `duality_gap` with its primal.

    Parameters as in `duality_gap`.

    Examples
    --------
    >>> import numpy as np, csc
    >>> x, D = np.array([[[3.0, 4.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> z = np.array([[[2.0], [3.0]]])
    >>> [a.round(3) for a in csc.certificates.certificate(x, D, z, csc.L1(1.0))]
    [array([6.]), array([0.])]
    """
    x, z, mask = _checked(x, z, mask)
    weights = getattr(penalty, "weights", None)
    if mask is not None or np.ndim(weights) == z.ndim:
        return _certify(x, dictionary, z, penalty, mask)
    size = max(1, CODES_PER_BLOCK // z[0].size)
    blocks = [slice(i, i + size) for i in range(0, len(z), size)]
    parts = [_certify(x[b], dictionary, z[b], penalty, None) for b in blocks]
    return tuple(namespace(z).concatenate(column) for column in zip(*parts, strict=True))


def _certify(x, dictionary, z, penalty, mask):
    D, x, z = dictionary.as_double, x.astype("float64"), z.astype("float64")
    r = _masked(x - D(z, x.shape[2:]), mask)
    free = penalty.free(z) if hasattr(penalty, "free") else None
    theta = r if free is None else orthogonal_to_free(r, D, z, free, penalty, mask)
    q = D.adjoint(theta)
    if free is not None:
        q = without_rounding(q, free, D.adjoint(_masked(x, mask)))
    has_overlaps = type(penalty) is GroupL21 and penalty.groups is not None
    top = penalty.dual_norm(q, near=z) if has_overlaps else penalty.dual_norm(q)
    s = 1 / namespace(z).maximum(top, 1)
    half_energy, cost = 0.5 * _inner(r, r), penalty.values(z)
    # <M x, theta> = <r, theta> + <z, D^T theta> turns the gap into a sum without cancellation
    apart = half_energy * (1 - s) ** 2 if theta is r else _half_distance(r, theta, s)
    gap = apart + cost - s * _inner(z, q) + penalty.conjugate(q, s)
    if type(penalty) is L1Ball:
        gap = _gap_of_ball((x, D, z, penalty, mask), r, q, gap)
    elif type(penalty) is ElasticNet and penalty.lmbda > 0:
        gap = _gap_of_small_ridge(half_energy, z, q, penalty, gap)
    return half_energy + cost, namespace(z).maximum(gap, 0)  # below 0 only by rounding


def _gap_of_small_ridge(half_energy, z, q, penalty, gap):
    """The gap of an elastic net; at the lasso's dual point, where rounding exceeds the ridge."""
    xp, cost = namespace(z), penalty.values(z)
    of_ridge = 0.5 * float(penalty.lmbda) * float(penalty.ridge) * _inner(z, z)
    sizes = xp.maximum(q, 0) if penalty.positive else abs(q)
    top = sizes.reshape(len(q), -1).max(axis=1) / float(penalty.lmbda)
    s = 1 / xp.maximum(top, 1)
    other = half_energy * (1 - s) ** 2 + cost - s * _inner(z, q)
    return xp.where(of_ridge < SMALL_RIDGE * cost, xp.minimum(gap, other), gap)


def _gap_of_ball(of, r, q, gap):
    """The gap of codes in a ball, also with the dual point 0, and with a residual without rounding.

    Inside of the ball ``D^T r`` is 0 at a minimum, and the gap is its rounding times the radius, which may
    be large. There, the residual is made orthogonal to all atoms in float64: a better dual point.
    """
    x, D, z, penalty, mask = of
    xp = namespace(z)
    norms = abs(z).reshape(len(z), -1).sum(axis=1)
    gap = xp.where(norms <= penalty.radius, xp.minimum(gap, 0.5 * _inner(r, r)), gap)
    rounding = CODES_ROUNDING * abs(D.adjoint(_masked(x, mask))).max()
    if not ((norms < penalty.radius).all() and abs(q).max() <= rounding):
        return gap
    every = np.ones(z.shape, bool)
    on_host = [to_device(a, "cpu") for a in (r, D, every)]
    theta = residual_of_free_codes(
        *on_host, False, to_device(mask, "cpu"), max_steps=MAX_CERTIFICATE_STEPS
    )
    theta = xp.asarray(theta)
    q = D.adjoint(theta)
    one = xp.ones(len(z))
    own = _half_distance(r, theta, one) - _inner(z, q) + penalty.conjugate(q, one)
    return xp.minimum(gap, own)


def orthogonal_to_free(r, D, z, free, penalty, mask):
    """`dual_with_free_codes`, computed on the host."""
    on_host = (to_device(a, "cpu") for a in (r, D, z, free))
    return namespace(r).asarray(
        dual_with_free_codes(*on_host, penalty.positive, to_device(mask, "cpu"))
    )


def without_rounding(q, free, correlations):
    """Correlations q, zero for free codes where only rounding is left of the signals'."""
    xp = namespace(q)
    rounding = RELATIVE_ROUNDING * abs(correlations).max()
    return xp.where(free & (abs(q) <= rounding), 0, q)


def _half_distance(r, theta, s):
    apart = r - s.reshape(-1, *(1,) * (r.ndim - 1)) * theta
    return 0.5 * _inner(apart, apart)


def kkt_violation(
    x: Array, dictionary: Any, z: Array, penalty: Any, mask: Array | None = None
) -> Array:
    """Largest distance from ``D^T r`` to the subdifferential of the penalty at ``z``.

    Zero exactly at a minimiser; in the units of ``lmbda``. Parameters as in `duality_gap`.

    Returns
    -------
    violation : array (N,), float64
        Infinite for a signal with negative codes where the penalty asks for ``z >= 0``.

    Examples
    --------
    >>> import numpy as np, csc
    >>> from csc.certificates import kkt_violation
    >>> x, D = np.array([[[3.0, 1.0]]]), csc.Dictionary(np.eye(2)[:, None])
    >>> kkt_violation(x, D, np.array([[[2.5], [0.0]]]), csc.L1(1.0))
    array([0.5])
    """
    x, z, mask = _checked(x, z, mask)
    D, x, z = dictionary.as_double, x.astype("float64"), z.astype("float64")
    return penalty.subdiff_distance(z, D.adjoint(_masked(x - D(z, x.shape[2:]), mask)))


def _checked(x, z, mask):
    x, mask = split_missing(x, mask)
    x, z = check_real("x", x), check_real("z", z)
    return x, z, None if mask is None else check_mask(mask, x)


def _masked(a, mask):
    # where, not a product: NaN outside the mask is allowed and means nothing
    return a if mask is None else namespace(a).where(mask != 0, a, 0)


def _inner(a, b):
    return namespace(a).einsum("ni,ni->n", a.reshape(len(a), -1), b.reshape(len(b), -1))
