"""What alternating directions without a closed form share: an inner solver, a rule for rho."""

from math import inf


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


def strength(penalty):
    """Mean finite price of a code: ``lmbda`` may be but the unit of the weights."""
    weights = getattr(penalty, "weights", None)
    if weights is None:
        return float(penalty.lmbda)
    return float(penalty.lmbda) * float(weights[weights < inf].mean())
