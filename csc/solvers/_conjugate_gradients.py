"""Conjugate gradients: of the solvers that solve a linear system in every step."""

from csc._backend import namespace

MAX_STEPS = 60  # for one step of the codes
GROWTH = 1.5  # of the number of steps, while the codes stay as they are
FEW_ZEROED = 0.02  # of the non-zero codes, by a full step: they stay


def adapted_steps(n_steps, is_calm, least, most=MAX_STEPS):
    """The next number of steps: more after a full step that zeroed few codes, else fewer."""
    n_steps = n_steps * GROWTH if is_calm else n_steps / GROWTH
    return int(min(max(n_steps, least), most))


def inner_product(a, b):
    """``<a, b>`` on this thread: a BLAS shares long products among threads that then wait busily."""
    return namespace(a).einsum("i,i->", a.ravel(), b.ravel())


def conjugate_gradients(apply, b, n_steps, *, start=None, rel_tol=0.0, reduction=0.0):
    """Conjugate gradients for ``A x = b``, A symmetric and positive semi-definite [1]_.

    Parameters
    ----------
    apply : callable
        ``x -> A x``.
    b : array
    n_steps : int
        Largest number of steps.
    start : array, optional
        The first x; zeros by default, which saves a product.
    rel_tol, reduction : floats
        Stop once ``||b - A x||`` is at most ``rel_tol ||b||``, or ``reduction`` times its first
        value.

    References
    ----------
    .. [1] M. R. Hestenes, E. Stiefel, "Methods of conjugate gradients for solving linear systems",
       J. Res. Nat. Bur. Stand. 49(6), 1952, (3:1a)-(3:1f).
    """
    x, r = (0 * b, b) if start is None else (start, b - apply(start))
    p, rr = r, inner_product(r, r)
    tol_squared = max(reduction**2 * rr, rel_tol**2 * inner_product(b, b))
    for _ in range(n_steps):
        if rr <= tol_squared:
            break
        Ap = apply(p)
        curvature = inner_product(p, Ap)
        if curvature <= 0:  # only by rounding, or along directions that A does not see
            break
        step = rr / curvature
        x, r = x + step * p, r - step * Ap
        before, rr = rr, inner_product(r, r)
        p = r + (rr / before) * p
    return x
