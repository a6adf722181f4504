"""Dictionary update from sufficient statistics."""

from csc._backend import namespace
from csc.learning._statistics import correlate, data_term

ATOMS_PER_BLOCK = (
    16  # atoms moved at once; measured: larger blocks step shorter, smaller ones loop longer
)
RELAXATION = (
    1.6  # times the move of an update from all signals; 2 would gain nothing at these codes
)


def descend(atoms, statistics, constraint, n_passes=1, stride=()):
    """Block majorisation of ``1/2 <Phi * D, D> - <Psi, D>`` over constrained atoms.

    Atoms ``b`` move together by a projected gradient step whose lengths come from a Gershgorin
    bound, ``Phi_bb <= diag(sum_j ||Phi_bj||)``, so no step can raise the objective, whatever
    closed set the atoms must lie in. ``||Phi_bj||`` is that of the operator which correlates with
    the lags, at most the largest modulus of its spectrum. With blocks of one patch atom this is
    the block coordinate descent of [1]_, Algorithm 2.

    Parameters
    ----------
    atoms : array (K, C, *s)
        Start; left unchanged.
    statistics : Statistics
    constraint : Constraint
    n_passes : int
        Sweeps over all atoms.
    stride : tuple
        Of the codes; patches need none.

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
    blocks = [slice(start, start + ATOMS_PER_BLOCK) for start in range(0, len(d), ATOMS_PER_BLOCK)]
    steps = [_steps(phi[b, b]).reshape(-1, *(1,) * (d.ndim - 1)) for b in blocks]
    for _ in range(n_passes):
        for b, step in zip(blocks, steps, strict=True):
            d[b] = constraint.project(d[b] - step * (correlate(phi[b], d, stride) - psi[b]))
    return d.astype(atoms.dtype)


def relax(old, new, statistics, constraint, stride=()):
    """Atoms beyond ``new``, which minimises the objective at codes that will move after it.

        D = P( old + w (new - old) ),   1 < w < 2

    Over-relaxation, as in SOR [1]_, of the alternation between codes and atoms. Where ``new`` is
    the minimiser and P does nothing, the objective at the present codes falls by the part
    ``w (2 - w)`` of what ``new`` gains. If it is less than half of that, ``new`` stays.

    Parameters
    ----------
    old, new : array (K, C, *s)
        Before and after `descend`.
    statistics, constraint, stride
        As there.

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
    before, nearest, after = (data_term(statistics, d, stride) for d in (old, new, further))
    return further if after <= (before + nearest) / 2 else new


def _steps(phi):
    """Lengths of the steps of some atoms ``(B,)``; an unused atom stays."""
    axes = tuple(range(2, phi.ndim))
    norms = abs(namespace(phi).fft.rfftn(phi, axes=axes)).max(axis=axes) if axes else abs(phi)
    curvature = norms.sum(axis=1)
    used = curvature > 0
    return used / (curvature + ~used)
