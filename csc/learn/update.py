"""Dictionary update from sufficient statistics."""

BLOCK = 16  # atoms moved at once; measured: larger blocks step shorter, smaller ones loop longer


def descend(atoms, statistics, constraint, n_passes=1):
    """Block majorisation of ``1/2 <Phi, D D^T> - <Psi, D>`` over constrained atoms.

    Atoms ``b`` move together by a projected gradient step whose lengths come from the
    Gershgorin bound ``Phi_bb <= diag(sum_j |Phi_bj|)``, so no step can raise the objective,
    whatever closed set the atoms must lie in. With blocks of one atom this is the block
    coordinate descent of [1]_, Algorithm 2.

    Parameters
    ----------
    atoms : array (K, C, *s)
        Start; left unchanged.
    statistics : Statistics
    constraint : Constraint
    n_passes : int
        Sweeps over all atoms.

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
    shape, d = atoms.shape, atoms.reshape(len(atoms), -1).astype("float64")
    for _ in range(n_passes):
        for start in range(0, len(d), BLOCK):
            b = slice(start, start + BLOCK)
            curvature = abs(phi[b, b]).sum(axis=1)
            used = curvature > 0
            step = used / (curvature + ~used)  # an unused atom stays
            moved = d[b] - step[:, None] * (phi[b] @ d - psi[b])
            d[b] = constraint.project(moved.reshape(-1, *shape[1:])).reshape(moved.shape)
    return d.reshape(shape).astype(atoms.dtype)
