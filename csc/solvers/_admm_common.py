"""What alternating directions without a closed form share: an inner solver, a rule for rho."""

from math import inf

MOST = 2.0  # factor by which rho may change at a time
EVEN = 1.2  # ratio of residuals that is balanced


def conjugate_gradients(apply, b, x, n_steps, *, floor, share=0.0):
    """Some steps towards the solution of ``A x = b`` from ``x``, A symmetric [1]_.

    Parameters
    ----------
    apply : callable
        ``x -> A x``, A positive semi-definite.
    b, x : arrays of one shape
    n_steps : int
        Most steps.
    floor, share : floats
        Stop once ``||b - A x||`` is at most ``floor ||b||``, or ``share`` of what it was.

    References
    ----------
    .. [1] M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear systems",
       J. Res. Nat. Bur. Stand. 49(6), 1952, (3:1a)-(3:1f).
    """
    r = b - apply(x)
    p, rr = r, (r * r).sum()
    enough = max(share**2 * rr, floor**2 * (b * b).sum())
    for _ in range(n_steps):
        if rr <= enough:
            break
        Ap = apply(p)
        step = rr / (p * Ap).sum()
        x, r = x + step * p, r - step * Ap
        before, rr = rr, (r * r).sum()
        p = r + (rr / before) * p
    return x


def balance(primal, dual):
    """Factor of rho that brings two squared residuals nearer to each other."""
    return 2.0 if primal > 100 * dual else 0.5 if dual > 100 * primal else 1.0


def even(primal, dual, codes, multiplier):
    """Factor of rho: the root of the ratio of relative residuals, which have no unit [1]_.

    Parameters
    ----------
    primal, dual : floats
        Squared distances of the codes from their copies, and of the copies from the last ones.
    codes, multiplier : floats
        Squared sizes of the codes, and of the dual variable over rho.

    References
    ----------
    .. [1] B. Wohlberg, "ADMM penalty parameter selection by residual balancing",
       arXiv:1704.06209, 2017, sec. IV.
    """
    if dual == 0 < primal:  # the copies stand still, as zeros do below their threshold
        return MOST
    if min(primal, dual, codes, multiplier) == 0:
        return 1.0
    ratio = ((primal / codes) / (dual / multiplier)) ** 0.5
    if 1 / EVEN <= ratio <= EVEN:
        return 1.0
    return min(max(ratio**0.5, 1 / MOST), MOST)


def strength(penalty):
    """Mean finite price of a code: ``lmbda`` may be but the unit of the weights."""
    weights = getattr(penalty, "weights", None)
    if weights is None:
        return float(penalty.lmbda)
    return float(penalty.lmbda) * float(weights[weights < inf].mean())


def layer_scales(dictionary):
    """``||D_1||^2 ... ||D_i||^2`` of every layer i, ``||D||^2`` the mean squared norm of atoms."""
    scales, product = [], 1.0
    for D in dictionary.layers:
        product *= energy(D.atoms) / len(D.atoms)
        scales.append(product)
    return tuple(scales)


def energy(a):
    """``||a||^2``, without an array of squares."""
    flat = a.reshape(-1)
    return float(flat @ flat)
