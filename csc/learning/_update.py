"""Update of the atoms from sufficient statistics."""

from csc._backend import namespace
from csc.learning._statistics import correlate, data_term

# Measured: larger blocks need shorter steps, smaller ones more iterations of the loop.
ATOMS_PER_BLOCK = 16
RELAXATION = 1.6  # factor on the move of an update; 2 would not lower the objective at all


def descend(atoms, statistics, constraint, n_passes=1, stride=(), n_fixed=0):
    """Block majorisation of ``1/2 <Phi * D, D> - <Psi, D>`` over constrained atoms.

    A block ``b`` of atoms takes a projected gradient step. The step lengths come from a Gershgorin
    bound, ``Phi_bb <= diag(sum_j ||Phi_bj||)``, so that no step raises the objective, for any
    closed constraint set; atoms that are constrained together have one step length, as the projection
    is that of their Euclidean distance. ``||Phi_bj||`` is the norm of the operator that correlates with the
    lags, at most the largest modulus of its spectrum. For patches and blocks of one atom this is
    the block coordinate descent of [1]_, Algorithm 2.

    Parameters
    ----------
    atoms : array (K, C, *s)
        Initial atoms, not modified.
    statistics : Statistics
    constraint : Constraint
    n_passes : int
        Sweeps over all atoms.
    stride : tuple
        Of the codes; () for patches.
    n_fixed : int
        Number of first atoms that stay as they are.

    Returns
    -------
    atoms : array (K, C, *s)
        Same dtype; computed in float64.

    References
    ----------
    .. [1] J. Mairal, F. Bach, J. Ponce, G. Sapiro, "Online learning for matrix factorization
       and sparse coding", JMLR 11, 2010.
    """
    phi, psi, _ = statistics
    d, psi = atoms.astype("float64"), psi.reshape(atoms.shape)
    group_size = getattr(constraint, "group_size", 1)
    size = max(ATOMS_PER_BLOCK // group_size, 1) * group_size
    blocks = [slice(start, start + size) for start in range(0, len(d), size)]
    steps = [_steps(phi[b, b], group_size).reshape(-1, *(1,) * (d.ndim - 1)) for b in blocks]
    for _ in range(n_passes):
        for b, step in zip(blocks, steps, strict=True):
            moved = constraint.project(d[b] - step * (correlate(phi[b], d, stride) - psi[b]))
            first = max(n_fixed - b.start, 0)
            d[b][first:] = moved[first:]
    return d.astype(atoms.dtype)


def relax(old, new, statistics, constraint, stride=(), n_fixed=0):
    """Over-relaxed update: ``new`` minimises the objective at fixed codes, but the codes follow.

        D = P( old + w (new - old) ),   1 < w < 2

    This is over-relaxation, as in SOR [1]_, of the alternation between codes and atoms. If ``new``
    is the minimiser and P the identity, the objective at the current codes decreases by
    ``w (2 - w)`` times the decrease at ``new``. If the actual decrease is less than half of that at
    ``new``, ``new`` is returned.

    Parameters
    ----------
    old, new : array (K, C, *s)
        Before and after `descend`.
    statistics, constraint, stride
        As in `descend`.

    Returns
    -------
    atoms : array (K, C, *s)

    References
    ----------
    .. [1] D. M. Young, "Iterative methods for solving partial difference equations of elliptic
       type", Trans. AMS 76, 1954.
    """
    relaxed = old + old.dtype.type(RELAXATION) * (new - old)
    further = constraint.project(relaxed).astype(old.dtype)
    further[:n_fixed] = old[:n_fixed]
    before, nearest, after = (data_term(statistics, d, stride) for d in (old, new, further))
    return further if after <= (before + nearest) / 2 else new


def _steps(phi, group_size):
    """Step lengths of a block of atoms ``(B,)``, equal within a group; 0 for unused ones."""
    axes = tuple(range(2, phi.ndim))
    norms = abs(namespace(phi).fft.rfftn(phi, axes=axes)).max(axis=axes) if axes else abs(phi)
    curvature = norms.sum(axis=1)
    curvature = curvature.reshape(-1, group_size).max(axis=1).repeat(group_size)
    used = curvature > 0
    return used / (curvature + ~used)
