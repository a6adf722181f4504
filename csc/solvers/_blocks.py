"""Exact minimisation over blocks of neighbouring active codes."""

import numpy as np

BLOCK_SIZE = 150  # codes, also those at zero; measured: 100 to 300 are equally fast
UNEVEN_SHARE = 0.34  # of the codes, in the first part of each split: blocks with other borders


def minimise_in_blocks(active, tol, *, uneven):
    """Minimise over one block of active codes after another, each exactly.

    Block coordinate descent [1]_. Atoms that are shifted by one sample are nearly parallel. Descent
    on one code at a time, and conjugate gradients, then take thousands of steps to exchange
    neighbouring codes, which an exact solve exchanges at once.

    Parameters
    ----------
    active : ActiveSet or ActiveGroups
        Its ``minimum`` solves a block, given by its Gram matrix. A block has whole groups of
        ``active.size`` codes.
    tol : float
        Sum of the duality gaps of the blocks, relative to the objective.
    uneven : bool
        Whether to split codes unevenly. Blocks of two calls then have different borders.

    References
    ----------
    .. [1] P. Tseng, "Convergence of a block coordinate descent method for nondifferentiable
       minimization", J. Optim. Theory Appl. 109, 2001.
    """
    codes, layout = active.codes, active.layout
    if not len(codes.index):
        return
    atoms, scratch = layout.padded_atoms.astype("float64"), np.zeros(active.r.size)
    seen = np.ones(active.r.shape) if active.mask is None else active.mask
    workspace = seen.reshape(-1).astype("float64"), atoms, scratch
    residual_energy = float(active.energies(active.r).sum())
    residual_energy += active.ridge * float((codes.values**2).sum())
    share = UNEVEN_SHARE if uneven else 0.5
    blocks = _split(0, len(codes.index), share, active.size)
    for block in blocks:
        residual_energy = _minimise(active, block, workspace, residual_energy, tol / len(blocks))
    active.refresh()


def _split(start, stop, share, size):
    """Numbers of sorted codes, cut until no block has more than BLOCK_SIZE of them."""
    if stop - start <= BLOCK_SIZE:
        return [np.arange(start, stop)]
    cut = start + max(1, int(share * (stop - start)) // size) * size
    return _split(start, cut, share, size) + _split(cut, stop, share, size)


def _minimise(active, block, workspace, residual_energy, tol):
    z = active.codes.values[block].astype("float64")
    columns = active.columns.at(block)
    gram = columns.gram(*workspace)
    gram[np.diag_indices(len(gram))] += active.ridge
    r = columns.adjoint(active.observed(active.r)).astype("float64") - active.ridge * z
    q = r + gram @ z
    energy = np.array([residual_energy + z @ (r + q)])
    out = active.minimum(gram, q, energy, z, block, tol)
    move = out - z
    columns.add(-move.astype(active.layout.dtype), active.r)
    active.codes.values[block] = out
    return max(residual_energy - 2 * (move @ r) + move @ gram @ move, 0.0)
